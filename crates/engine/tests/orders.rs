//! Commands where a crowd of claims waits: they come in, and are decided before it.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::B256;
use sluice_core::command::{Action, Approval, Command, Demand, HoldTarget};
use sluice_core::ids::DemandId;
use sluice_core::limits::{DECIDE_WITHIN, INTAKE_GROUP_MAX, INTAKE_READ_MAX};
use sluice_core::log::entry::Body;
use sluice_core::signing::command_digest;
use sluice_engine::feed::Feed;
use sluice_engine::intake::{Intake, SubmitError};
use sluice_engine::snapshots::Snapshots;
use sluice_engine::verify::Verifier;
use sluice_store::{IntakeOutcome, IntakeWriter, NewIntake};
use support::term::Term;
use support::{FAR, World, eventually, wallet};
use tokio::sync::mpsc;
use uuid::Uuid;

/// More than are decided within thirty seconds where nothing is known of how fast that goes.
const CROWD: usize = 3_200;

fn new_id() -> DemandId {
    DemandId(Uuid::now_v7())
}

/// A hold of the whole campaign, signed by one institution.
fn hold(world: &World, term: &Term, id: DemandId) -> Demand {
    let charter = term.follower.read(|state| state.home_charter().cloned()).expect("it was read");
    let mut command = Command {
        action: Action::Hold { target: HoldTarget::Campaign { campaign: world.campaign } },
        subject_version: term.seq(),
        reason: "while everybody claims".into(),
        valid_at: 0,
        deadline: FAR * 1_000,
        mandate: B256::ZERO,
        delegation: B256::ZERO,
        listed_at: None,
        approvals: Vec::new(),
    };
    command.approvals = world.institutions[..2]
        .iter()
        .map(|key| {
            let signer = key.signer_bytes();
            let authority = charter.view.institution_of(&signer).expect("an institution");
            let digest = command_digest(&command, id, authority, charter.charter).expect("signed alone");
            Approval { authority, signer, signature: key.sign_digest(digest).expect("signs") }
        })
        .collect();
    Demand::Command(command)
}

/// A crowd of one campaign waits at this node, and its room is full: a hold on that campaign is taken at once, and of the crowd
/// no more is decided before it than was read already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_comes_in_where_the_room_is_full_and_is_decided_before_those_who_wait() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    node.stop().await;
    let term = world.term().await;
    let (store, follower, clock) = (term.store.clone(), term.follower.clone(), Arc::clone(&term.clock));
    let number = store.register_node("the door").await.expect("a number");
    let mut writer = IntakeWriter::new(store.clone(), number);
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let demand = Demand::Claim(claim.clone());
    let row = || NewIntake {
        campaign: world.campaign,
        id: new_id(),
        body_hash: demand.body_hash(),
        body: demand.encode(),
        place: 0,
        estimate_ms: 0,
        decide_within: DECIDE_WITHIN,
    };
    let mut crowd = Vec::new();
    while crowd.len() < CROWD {
        let group = (0..INTAKE_GROUP_MAX).map(|_| row()).collect();
        for outcome in writer.append(group).await.expect("written") {
            let IntakeOutcome::Accepted(row) = outcome else { panic!("{outcome:?}") };
            follower.room().enter(row.key, None);
            crowd.push(row.key);
        }
    }

    let chains = BTreeMap::from([(31_337, world.chain.clone())]);
    let snapshots = Snapshots::new(world.folder.path());
    let verifier =
        Verifier::new(follower.clone(), snapshots, store.clone(), Arc::new(chains), Arc::clone(&clock));
    let (intake, writer) =
        Intake::new(follower.clone(), verifier.clone(), store.clone(), clock, writer, Arc::default());
    let writing = tokio::spawn(writer.run());
    let other = world.claim(&snapshot, 1, &wallet(2), wallet(2).address());
    let refused = intake.submit_claim(world.campaign, new_id(), other, None).await;
    assert!(matches!(refused, Err(SubmitError::Busy { .. })), "{refused:?}");
    let id = new_id();
    intake.submit(id, hold(&world, &term, id), None).await.expect("a hold finds room");

    let before = term.seq();
    let (_again, again) = mpsc::unbounded_channel();
    let mut feed = Feed::new(store, follower, verifier, term.verified.clone(), again, Arc::default());
    // One reading, of which the rest of the crowd is no part.
    feed.tick().await.expect("rows are read");
    let entry = eventually("the hold is decided", || async {
        let log = term.log_after(before).await;
        log.into_iter().find(|entry| matches!(&entry.body, Body::Ordered(done) if done.id == id))
    })
    .await;
    let log = term.log_after(before).await;
    let ahead = log.iter().take_while(|e| e.seq < entry.seq).filter(|e| e.body.intake().is_some()).count();
    assert!(ahead <= usize::try_from(INTAKE_READ_MAX).expect("a count"), "{ahead} were decided before it");
    let held = term.follower.read(|state| crowd.iter().filter(|key| !state.is_answered(**key)).count());
    assert!(held > CROWD / 2, "{held} of the crowd still wait");
    writing.abort();
}
