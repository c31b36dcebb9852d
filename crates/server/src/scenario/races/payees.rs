//! Where a person is paid: the person's own word, the registrar's, and that of two institutions of the Charter.

use alloy_primitives::B256;
use sluice_core::command::Action;
use sluice_core::ids::Seq;

use super::{APART_MILLIS, Answered, WINDOW_MILLIS, pace, seq};
use crate::scenario::cast::{Person, Role};
use crate::scenario::client::{Client, Draft, Signed};
use crate::scenario::draw::Draw;
use crate::scenario::ground::Scene;

/// A person's move against the registrar's correction.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Moved {
    pub(in crate::scenario) person: usize,
    pub(in crate::scenario) citizen: Answered,
    pub(in crate::scenario) registrar: Answered,
}

/// A person's move against what two institutions approved together, having seen the person as it was.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Lapsed {
    pub(in crate::scenario) person: usize,
    pub(in crate::scenario) citizen: Answered,
    pub(in crate::scenario) approved: Answered,
    /// Signed again by both, where their approvals had lapsed.
    pub(in crate::scenario) again: Option<Answered>,
}

/// The version of a person, as this client sees it.
async fn version(client: &Client, node: usize, person: &Person) -> anyhow::Result<Seq> {
    seq(&client.state(node, &format!("/v1/persons/{}", person.id), None).await?.body, "version")
}

fn moves(scene: &Scene, person: &Person, seen: Seq) -> anyhow::Result<Signed> {
    let action = Action::ChangePayee { person: person.id, payee: person.chosen };
    let by = [(B256::ZERO, &person.wallet)];
    Draft { action, seen, by: &by, mandate: B256::ZERO, reason: "I have moved" }.sign(scene.law)
}

pub(super) async fn moved(scene: &Scene, at: usize, mut draw: Draw) -> anyhow::Result<Moved> {
    let person = &scene.people[at];
    let (citizen, registrar) = (scene.client("citizens"), scene.client(Role::Registrar.name()));
    let (theirs, ours) = (draw.node(), draw.node());
    let (first, second) = (draw.within(APART_MILLIS), draw.within(APART_MILLIS));
    pace(draw.within(WINDOW_MILLIS)).await;
    // Both look first: nobody acts on what was never seen.
    let (seen_by_citizen, seen_by_registrar) =
        tokio::try_join!(version(citizen, theirs, person), version(registrar, ours, person))?;
    let own = moves(scene, person, seen_by_citizen)?;
    let action =
        Action::BindPerson { person: person.id, payee: person.corrected, jurisdiction: String::new() };
    let correction =
        scene.under_mandate(Role::Registrar, action, seen_by_registrar, "corrected by the register")?;
    let (citizen, registrar) = tokio::try_join!(
        async {
            pace(first).await;
            Answered::of(citizen, theirs, &own).await
        },
        async {
            pace(second).await;
            Answered::of(registrar, ours, &correction).await
        }
    )?;
    Ok(Moved { person: at, citizen, registrar })
}

pub(super) async fn lapsed(scene: &Scene, at: usize, mut draw: Draw) -> anyhow::Result<Lapsed> {
    let person = &scene.people[at];
    let (citizen, owner) = (scene.client("citizens"), scene.client("programme owner"));
    let (theirs, ours) = (draw.node(), draw.node());
    let (first, second) = (draw.within(APART_MILLIS), draw.within(APART_MILLIS));
    let by = draw.some(2, scene.founders.len());
    pace(draw.within(WINDOW_MILLIS)).await;
    let (seen_by_citizen, seen) =
        tokio::try_join!(version(citizen, theirs, person), version(owner, ours, person))?;
    let own = moves(scene, person, seen_by_citizen)?;
    let bind =
        || Action::BindPerson { person: person.id, payee: person.corrected, jurisdiction: String::new() };
    let paper = scene.together(&by, bind(), seen, "found by court order")?;
    let (citizen, approved) = tokio::try_join!(
        async {
            pace(first).await;
            Answered::of(citizen, theirs, &own).await
        },
        async {
            pace(second).await;
            Answered::of(owner, ours, &paper).await
        }
    )?;
    let again = match approved.verdict.done() {
        Some(_) => None,
        None => {
            // Both look at the person as it is now, and sign once more.
            let seen = version(owner, ours, person).await?.max(citizen.verdict.position());
            let paper = scene.together(&by, bind(), seen, "found by court order, looked at again")?;
            Some(Answered::of(owner, ours, &paper).await?)
        }
    };
    Ok(Lapsed { person: at, citizen, approved, again })
}
