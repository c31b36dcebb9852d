//! Rules that change while people claim: two institutions approve the new version, the agency puts it into force, and
//! claims behind the gate run all the while.

use alloy_primitives::B256;
use sluice_core::command::Action;
use sluice_core::ids::Seq;

use super::{APART_MILLIS, Answered, Cues, WINDOW_MILLIS, pace, seq};
use crate::cli::reach::new_demand;
use crate::scenario::cast::Role;
use crate::scenario::client::Client;
use crate::scenario::draw::Draw;
use crate::scenario::ground::{GATED, Scene};

/// How long the new rules' approvals may take of the window, so that claims come before and after.
const ACTIVATION_MILLIS: u64 = 250;

/// How far behind the activation's own start claims come that meet it, at most.
const AROUND_MILLIS: u64 = 120;

/// A claim behind the gate.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct GatedClaim {
    pub(in crate::scenario) person: usize,
    pub(in crate::scenario) answer: Answered,
}

/// How the new rules came into force.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Activation {
    /// Two institutions approve, both having seen the proposal alone; who is second has not seen the first.
    pub(in crate::scenario) approvals: [Answered; 2],
    /// The approval that had lapsed, given again.
    pub(in crate::scenario) again: Option<Answered>,
    pub(in crate::scenario) activated: Answered,
}

pub(super) async fn claim(
    scene: &Scene,
    cues: &Cues,
    at: usize,
    mut draw: Draw,
) -> anyhow::Result<GatedClaim> {
    let (person, node) = (&scene.people[at], draw.node());
    let (id, claim) = (new_demand(), scene.claim(GATED, person)?);
    if draw.below(3) == 0 {
        pace(draw.within(WINDOW_MILLIS)).await;
    } else {
        cues.activating.wait().await;
        pace(draw.within(AROUND_MILLIS)).await;
    }
    let (verdict, body) = scene.client("citizens").claim(node, scene.campaign, id, &claim).await?;
    Ok(GatedClaim { person: at, answer: Answered { verdict, body } })
}

pub(super) async fn activation(scene: &Scene, cues: &Cues, mut draw: Draw) -> anyhow::Result<Activation> {
    let owner = scene.client("programme owner");
    let rules = scene.rules[1];
    let by = draw.some(2, scene.founders.len());
    let (one, other) = (draw.node(), draw.node());
    let apart = [draw.within(APART_MILLIS), draw.within(APART_MILLIS)];
    pace(draw.within(ACTIVATION_MILLIS)).await;
    let paper = |at: usize, seen: Seq| {
        scene.together(&[by[at]], Action::ApproveRules { rules }, seen, "read and found good")
    };
    let papers = [paper(0, scene.proposed)?, paper(1, scene.proposed)?];
    let (first, second) = tokio::try_join!(
        async {
            pace(apart[0]).await;
            Answered::of(owner, one, &papers[0]).await
        },
        async {
            pace(apart[1]).await;
            Answered::of(owner, other, &papers[1]).await
        }
    )?;
    let approvals = [first, second];
    let mut seen = approvals.iter().filter_map(|a| a.verdict.done()).max().unwrap_or(scene.proposed);
    let mut again = None;
    if let Some(lapsed) = approvals.iter().position(|approval| approval.verdict.done().is_none()) {
        let now = version(owner, one, rules, seen).await?;
        let given = Answered::of(owner, one, &paper(lapsed, now)?).await?;
        seen = given.verdict.position();
        again = Some(given);
    }
    let action = Action::ActivateRules { rules, at: 0 };
    let signed = scene.own(Role::Agency, action, seen, "the new cap")?;
    cues.activating.fire();
    let activated = Answered::of(scene.client(Role::Agency.name()), other, &signed).await?;
    Ok(Activation { approvals, again, activated })
}

/// The version of a rule set, as it stands at this position or later.
async fn version(client: &Client, node: usize, rules: B256, least: Seq) -> anyhow::Result<Seq> {
    let heard = client.state(node, "/v1/rule-sets", Some(least)).await?;
    let items = heard.body["items"].as_array().cloned().unwrap_or_default();
    let set = items.iter().find(|set| set["rule_set"] == serde_json::json!(rules));
    seq(set.unwrap_or(&serde_json::Value::Null), "version")
}
