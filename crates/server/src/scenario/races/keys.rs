//! The payment operator starts its job range by range, two hands at both nodes, and takes another key in the middle of it.

use alloy_primitives::B256;
use anyhow::bail;
use sluice_chain::signer::Account;
use sluice_core::command::Action;
use sluice_core::ids::Seq;

use super::{Answered, Cues, pace, seq};
use crate::scenario::cast::{self, Role};
use crate::scenario::client::Draft;
use crate::scenario::draw::Draw;
use crate::scenario::ground::{PUSHED, Scene};

/// Entitlements of one order.
const RANGE: u64 = 3;
/// Between two orders of one hand, at most.
const BETWEEN_MILLIS: u64 = 60;
/// How far behind its cue the key is changed, at most.
const CHANGE_MILLIS: u64 = 40;
/// The two hands order on the same round, so each order makes the other's stale; it looks again and orders again.
const TRIES_MAX: usize = 30;

/// A range of the payment job.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Pushing {
    pub(in crate::scenario) from: u64,
    pub(in crate::scenario) to: u64,
    /// Every order of it, the last of which was not refused for a reason that goes away.
    pub(in crate::scenario) tries: Vec<Try>,
}

/// An order of a range.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Try {
    /// Signed with the key that is revoked in the middle of the job.
    pub(in crate::scenario) old_key: bool,
    pub(in crate::scenario) answer: Answered,
}

/// The old key is revoked and the new one added, in one command.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Rotation {
    pub(in crate::scenario) answer: Answered,
}

/// The key that follows the payment operator's first.
pub(in crate::scenario) fn next_key() -> anyhow::Result<Account> {
    cast::key("payment operator, second key")
}

/// The ranges of the job.
pub(super) fn ranges(count: u64) -> Vec<(u64, u64)> {
    (0..count.div_ceil(RANGE)).map(|at| (at * RANGE, ((at + 1) * RANGE).min(count))).collect()
}

/// The range an entitlement lies in.
pub(super) fn range_of(index: u64) -> usize {
    usize::try_from(index / RANGE).unwrap_or(usize::MAX)
}

pub(super) async fn rotation(scene: &Scene, cues: &Cues, mut draw: Draw) -> anyhow::Result<Rotation> {
    let (office, client) = (scene.office(Role::Operator), scene.client(Role::Operator.name()));
    let (node, wait) = (draw.node(), draw.within(CHANGE_MILLIS));
    cues.half.wait().await;
    pace(wait).await;
    let heard = client.state(node, "/v1/authorities", None).await?;
    let action = Action::ChangeKeys {
        authority: office.id,
        add: vec![next_key()?.signer_bytes()],
        revoke: vec![office.key.signer_bytes()],
    };
    let signed = scene.own(Role::Operator, action, heard.as_of, "the key's time is over")?;
    Ok(Rotation { answer: Answered::of(client, node, &signed).await? })
}

/// One hand of the job: its ranges, one after the other.
pub(super) async fn pushing(
    scene: &Scene,
    cues: &Cues,
    ranges: Vec<(u64, u64)>,
    mut draw: Draw,
) -> anyhow::Result<Vec<Pushing>> {
    let (old, new) = (scene.office(Role::Operator).key.clone(), next_key()?);
    let (mut old_key, mut seen, mut done) = (true, 0, Vec::new());
    let half = ranges.len() / 2;
    for (number, (from, to)) in ranges.into_iter().enumerate() {
        pace(draw.within(BETWEEN_MILLIS)).await;
        if number == half {
            cues.half.fire();
        }
        cues.ranges[range_of(from)].fire();
        let mut pushing = Pushing { from, to, tries: Vec::new() };
        loop {
            let key = if old_key { &old } else { &new };
            let answer = push(scene, draw.node(), (from, to), key, seen).await?;
            seen = seen.max(answer.verdict.position());
            pushing.tries.push(Try { old_key, answer });
            match pushing.tries.last().map(|last| last.answer.verdict.code()) {
                Some("done" | "already_decided") => break,
                Some("not_authorized") if old_key => old_key = false,
                Some("stale") if pushing.tries.len() < TRIES_MAX => {}
                other => bail!("the payment operator's order of {from} to {to} was refused: {other:?}"),
            }
        }
        done.push(pushing);
    }
    Ok(done)
}

/// Looks at the round at a node that is as far as this hand has seen, and orders a range.
async fn push(
    scene: &Scene,
    node: usize,
    (from, to): (u64, u64),
    key: &Account,
    least: Seq,
) -> anyhow::Result<Answered> {
    let (office, client) = (scene.office(Role::Operator), scene.client(Role::Operator.name()));
    let path = format!("/v1/campaigns/{}/rounds/{PUSHED}", scene.campaign);
    let round = client.state(node, &path, Some(least)).await?;
    let by: [(B256, &Account); 1] = [(office.id, key)];
    let draft = Draft {
        action: Action::Push { campaign: scene.campaign, round: PUSHED, from, to },
        seen: seq(&round.body, "version")?,
        by: &by,
        mandate: scene.mandates[&Role::Operator],
        reason: "this month's payments",
    };
    Answered::of(client, node, &draft.sign(scene.law)?).await
}
