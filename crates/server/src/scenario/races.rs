//! What happens at once: claims run, and beside them the citizens, the registrar, the agency, the payment operator,
//! compliance and the programme's owners act on the same people, each through a client of its own, at both nodes.

mod keys;
mod payees;
mod payments;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sluice_core::ids::Seq;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{Client, Signed};
use super::draw::Draw;
use super::ground::{PUSHED, Scene};
use super::record::Verdict;

pub(super) use keys::{Pushing, Rotation, Try, next_key};
pub(super) use payees::{Lapsed, Moved};
pub(super) use payments::{Hold, Stopped};
pub(super) use rules::{Activation, GatedClaim};

/// The time within which everything begins.
const WINDOW_MILLIS: u64 = 1_200;
/// How far apart two that race begin at most.
const APART_MILLIS: u64 = 40;

/// A demand with what became of it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) verdict: Verdict,
    pub(super) body: Value,
}

impl Answered {
    /// What a node says to a signed command.
    async fn of(client: &Client, node: usize, signed: &Signed) -> anyhow::Result<Self> {
        let (verdict, body) = client.order(node, signed).await?;
        Ok(Self { verdict, body })
    }
}

/// Tells those who race with somebody that it begins: without it, who is slower would never meet who is faster.
struct Cue(watch::Sender<bool>);

impl Cue {
    fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    fn fire(&self) {
        self.0.send_replace(true);
    }

    async fn wait(&self) {
        // The sender is this cue's own, so the wait ends with a value.
        let _ = self.0.subscribe().wait_for(|fired| *fired).await;
    }
}

/// What those who race with the payment job and with the rules wait for.
struct Cues {
    /// A range is about to be ordered.
    ranges: Vec<Cue>,
    /// Half of a hand's ranges are.
    half: Cue,
    /// The new rules are about to come into force.
    activating: Cue,
}

/// Somebody's claim on the round that is pushed.
#[derive(Clone, Debug)]
pub(super) struct OwnClaim {
    pub(super) person: usize,
    pub(super) index: u64,
    pub(super) answer: Answered,
}

/// Everything that happened at once.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) moved: Vec<Moved>,
    pub(super) lapsed: Vec<Lapsed>,
    pub(super) claims: Vec<OwnClaim>,
    pub(super) gated: Vec<GatedClaim>,
    pub(super) activation: Option<Activation>,
    pub(super) pushing: Vec<Pushing>,
    pub(super) rotation: Option<Rotation>,
    pub(super) holds: Vec<Hold>,
    /// What the auditor may not do.
    pub(super) auditor: Option<Answered>,
}

enum Part {
    Moved(Moved),
    Lapsed(Lapsed),
    Claim(OwnClaim),
    Gated(GatedClaim),
    Activation(Activation),
    Pushing(Vec<Pushing>),
    Rotation(Rotation),
    Hold(Hold),
    Auditor(Answered),
}

/// Who meets whom, by the seed.
pub(super) struct Plan {
    /// People who move while the registrar corrects them.
    pub(super) movers: Vec<usize>,
    /// People who move while two institutions bind them anew.
    pub(super) rebound: Vec<usize>,
    /// People who claim what the payment job pushes.
    pub(super) claimants: Vec<usize>,
    /// People whom compliance holds.
    pub(super) held: Vec<usize>,
}

impl Plan {
    pub(super) fn new(people: usize, draw: &mut Draw) -> Self {
        let both = draw.some(people * 2 / 5, people);
        let (movers, rebound) = both.split_at(both.len() * 2 / 3);
        Self {
            movers: movers.to_vec(),
            rebound: rebound.to_vec(),
            claimants: draw.some(people / 3, people),
            held: draw.some(people / 3, people),
        }
    }
}

/// Waits as long as the seed says: this paces the story, and nothing rests on it.
async fn pace(wait: Duration) {
    tokio::time::sleep(wait).await;
}

/// Lets everything happen at once, and waits until all of it was answered. Dropping it stops everybody.
pub(super) async fn run(scene: &Arc<Scene>, plan: &Plan, seed: u64) -> anyhow::Result<Happened> {
    let mut parts: JoinSet<anyhow::Result<Part>> = JoinSet::new();
    let mut ranges = keys::ranges(scene.list(PUSHED).count());
    let cues = Arc::new(Cues {
        ranges: ranges.iter().map(|_| Cue::new()).collect(),
        half: Cue::new(),
        activating: Cue::new(),
    });
    for person in plan.movers.iter().copied() {
        let (scene, draw) = (Arc::clone(scene), Draw::new(seed, &format!("mover {person}")));
        parts.spawn(async move { payees::moved(&scene, person, draw).await.map(Part::Moved) });
    }
    for person in plan.rebound.iter().copied() {
        let (scene, draw) = (Arc::clone(scene), Draw::new(seed, &format!("rebound {person}")));
        parts.spawn(async move { payees::lapsed(&scene, person, draw).await.map(Part::Lapsed) });
    }
    for person in plan.claimants.iter().copied() {
        let (scene, draw) = (Arc::clone(scene), Draw::new(seed, &format!("claimant {person}")));
        let cues = Arc::clone(&cues);
        parts.spawn(async move { payments::claim(&scene, &cues, person, draw).await.map(Part::Claim) });
    }
    for (at, ordered) in payments::holds(scene, &plan.held)?.into_iter().enumerate() {
        let (scene, draw) = (Arc::clone(scene), Draw::new(seed, &format!("hold {at}")));
        let cues = Arc::clone(&cues);
        parts.spawn(async move { payments::hold(&scene, &cues, ordered, draw).await.map(Part::Hold) });
    }
    for person in 0..scene.people.len() {
        let (scene, draw) = (Arc::clone(scene), Draw::new(seed, &format!("gated {person}")));
        let cues = Arc::clone(&cues);
        parts.spawn(async move { rules::claim(&scene, &cues, person, draw).await.map(Part::Gated) });
    }
    let one = |part: &str| (Arc::clone(scene), Arc::clone(&cues), Draw::new(seed, part));
    let (at, with, draw) = one("activation");
    parts.spawn(async move { rules::activation(&at, &with, draw).await.map(Part::Activation) });
    let (at, with, draw) = one("rotation");
    parts.spawn(async move { keys::rotation(&at, &with, draw).await.map(Part::Rotation) });
    let mut order = Draw::new(seed, "order of the ranges");
    order.shuffle(&mut ranges);
    let other = ranges.split_off(ranges.len() / 2);
    for (hand, ranges) in [("one hand", ranges), ("other hand", other)] {
        let (at, with, draw) = one(hand);
        parts.spawn(async move { keys::pushing(&at, &with, ranges, draw).await.map(Part::Pushing) });
    }
    let (at, _, draw) = one("auditor");
    parts.spawn(async move { payments::auditor_holds(&at, draw).await.map(Part::Auditor) });
    let mut happened = Happened::default();
    while let Some(part) = parts.join_next().await {
        match part?? {
            Part::Moved(moved) => happened.moved.push(moved),
            Part::Lapsed(lapsed) => happened.lapsed.push(lapsed),
            Part::Claim(claim) => happened.claims.push(claim),
            Part::Gated(claim) => happened.gated.push(claim),
            Part::Activation(activation) => happened.activation = Some(activation),
            Part::Pushing(pushing) => happened.pushing.extend(pushing),
            Part::Rotation(rotation) => happened.rotation = Some(rotation),
            Part::Hold(hold) => happened.holds.push(hold),
            Part::Auditor(answered) => happened.auditor = Some(answered),
        }
    }
    happened.moved.sort_by_key(|moved| moved.person);
    happened.lapsed.sort_by_key(|lapsed| lapsed.person);
    happened.claims.sort_by_key(|claim| claim.index);
    happened.gated.sort_by_key(|claim| claim.answer.verdict.position());
    happened.pushing.sort_by_key(|pushing| pushing.from);
    happened.holds.sort_by_key(|hold| hold.index);
    Ok(happened)
}

/// The position a body names under this key.
fn seq(body: &Value, key: &str) -> anyhow::Result<Seq> {
    body[key].as_u64().ok_or_else(|| anyhow::anyhow!("no position {key} in {body}"))
}
