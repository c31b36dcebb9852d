//! Claims on what the payment job pushes, and compliance, which stops some of it.

use sluice_core::command::{Action, HoldTarget};

use super::{APART_MILLIS, Answered, Cues, OwnClaim, WINDOW_MILLIS, keys, pace};
use crate::cli::reach::new_demand;
use crate::scenario::cast::Role;
use crate::scenario::client::{Draft, Signed, sign_list};
use crate::scenario::draw::Draw;
use crate::scenario::ground::{PUSHED, Scene};

/// How far behind an order of the payment job a hold on what it pays comes, at most: a batch is planned about then.
const BEHIND_MILLIS: u64 = 400;

/// A hold of compliance, on what one person is owed.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Hold {
    /// Their index in the pushed round.
    pub(in crate::scenario) index: u64,
    pub(in crate::scenario) stopped: Stopped,
    pub(in crate::scenario) answer: Answered,
}

/// What a hold names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum Stopped {
    /// The person, wherever listed.
    Person,
    /// This one entitlement, in a list under one signature.
    Entitlement,
}

/// A hold that is signed and not yet handed in.
pub(super) struct Ordered {
    index: u64,
    stopped: Stopped,
    signed: Signed,
}

/// Sometimes early; else when the payment job comes to it, and a little later.
async fn meet(cues: &Cues, index: u64, behind: u64, draw: &mut Draw) {
    if draw.below(3) == 0 {
        return pace(draw.within(WINDOW_MILLIS / 2)).await;
    }
    cues.ranges[keys::range_of(index)].wait().await;
    pace(draw.within(behind)).await;
}

pub(super) async fn claim(scene: &Scene, cues: &Cues, at: usize, mut draw: Draw) -> anyhow::Result<OwnClaim> {
    let (client, person) = (scene.client("citizens"), &scene.people[at]);
    let node = draw.node();
    let (id, claim) = (new_demand(), scene.claim(PUSHED, person)?);
    meet(cues, claim.index, APART_MILLIS, &mut draw).await;
    let (verdict, body) = client.claim(node, scene.campaign, id, &claim).await?;
    Ok(OwnClaim { person: at, index: claim.index, answer: Answered { verdict, body } })
}

/// Compliance signs what it will hold: some people one by one, some entitlements as a list under one signature.
pub(super) fn holds(scene: &Scene, people: &[usize]) -> anyhow::Result<Vec<Ordered>> {
    let (persons, entitlements) = people.split_at(people.len() / 2);
    let mut all = Vec::new();
    for at in persons {
        let person = &scene.people[*at];
        let action = Action::Hold { target: HoldTarget::Person { person: person.id } };
        let signed = scene.under_mandate(Role::Compliance, action, 0, "an alert is looked into")?;
        all.push(Ordered { index: scene.index(PUSHED, person), stopped: Stopped::Person, signed });
    }
    let indexes: Vec<u64> = entitlements.iter().map(|at| scene.index(PUSHED, &scene.people[*at])).collect();
    let draft = |index: &u64| {
        let target =
            HoldTarget::Entitlements { campaign: scene.campaign, round: PUSHED, indexes: vec![*index] };
        Draft {
            action: Action::Hold { target },
            seen: 0,
            by: &[],
            mandate: scene.mandates[&Role::Compliance],
            reason: "a list of alerts",
        }
    };
    let (office, drafts) = (scene.office(Role::Compliance), indexes.iter().map(draft).collect::<Vec<_>>());
    let items = sign_list(scene.law, (office.id, &office.key), &drafts)?;
    let listed = items.into_iter().zip(indexes);
    all.extend(listed.map(|(signed, index)| Ordered { index, stopped: Stopped::Entitlement, signed }));
    Ok(all)
}

pub(super) async fn hold(
    scene: &Scene,
    cues: &Cues,
    ordered: Ordered,
    mut draw: Draw,
) -> anyhow::Result<Hold> {
    let (client, node) = (scene.client(Role::Compliance.name()), draw.node());
    let Ordered { index, stopped, signed } = ordered;
    meet(cues, index, BEHIND_MILLIS, &mut draw).await;
    Ok(Hold { index, stopped, answer: Answered::of(client, node, &signed).await? })
}

/// The auditor sees everything and changes nothing: its mandate says so.
pub(super) async fn auditor_holds(scene: &Scene, mut draw: Draw) -> anyhow::Result<Answered> {
    let (node, wait) = (draw.node(), draw.within(WINDOW_MILLIS));
    let target = HoldTarget::Person { person: scene.people[0].id };
    let signed = scene.under_mandate(Role::Auditor, Action::Hold { target }, 0, "I would rather not")?;
    pace(wait).await;
    Answered::of(scene.client(Role::Auditor.name()), node, &signed).await
}
