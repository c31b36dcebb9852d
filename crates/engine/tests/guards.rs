//! Each guard, reached with the guards before it out of the way. What keeps a payment from being made twice:
//!
//! | guard | reached here by |
//! |---|---|
//! | persist before send | a sequencer that takes the attempt and never says that it is committed |
//! | State's duplicate check | two rows for one entitlement, written past the door |
//! | the log's key | a second entry at a position, inserted past the append |
//! | the epoch fence | an append of the old leader's session after another took the epoch; and, as a process that was stopped and goes on, `crates/sim/tests/fence.rs` |
//! | the batch number on chain | a settled batch, sent again under a new nonce |
//! | the bitmap on chain | the same content under the next batch number |
//!
//! State's own checks are tested without a door or a decider in `crates/core/tests/state_machine/guards.rs`, the append
//! in `crates/store/tests/store/append.rs` and `leader.rs`, the contract in `contracts/test/Guards.t.sol`.

mod support;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U256};
use sluice_chain::calls::{self, BatchHead, Chunk};
use sluice_chain::deploy::Operator;
use sluice_chain::simulate::{SimCall, Simulated};
use sluice_chain::{At, RevertKind};
use sluice_core::command::Demand;
use sluice_core::fees::FeePolicy;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{BatchForm, Body};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::refusal::Code;
use sluice_engine::follower::Follower;
use sluice_engine::sequencer::Observations;
use sluice_engine::settlement::{Accounts, Settlement};
use sluice_engine::snapshots::Snapshots;
use sluice_store::{Append, AppendError, IntakeWriter, LeaderSession, LogRow, NewIntake, Options, Store};
use sqlx::{Connection, PgConnection};
use support::{STREAM, Setup, World, decided, eventually, log_key, tokens, wallet};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_before_its_attempt_is_committed() {
    let world = World::with(Setup { funded_lanes: false, ..Setup::default() }).await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let index = claim.index;
    let submitted =
        node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await.expect("accepted");
    decided(&node, submitted).await;
    // The node plans the batch and, without coin, signs nothing; then it stops. From here on the test is the leader.
    eventually("the lane needs funds", || async { node.status().lanes.first()?.missing }).await;
    let epoch = node.status().epoch;
    node.stop().await;
    let lane = world.sequencers[0].1[0].clone();
    world.fund(lane.address()).await;

    let store = Store::connect(world.database.url(), Options::default()).await.unwrap();
    let follower = Follower::new(STREAM, log_key(world.charter, 0));
    while follower.catch_up(&store).await.unwrap() {}
    let (observations, mut submissions) = Observations::channel();
    let accounts = Accounts { control: world.sequencers[0].0.clone(), lanes: vec![lane.clone()] };
    let mut settlement = Settlement::new(
        world.chain.clone(),
        world.charter,
        epoch,
        accounts,
        follower,
        Snapshots::new(world.folder.path()),
        store.clone(),
        observations,
        FeePolicy::default(),
        Arc::default(),
    );
    let height = world.chain.latest().await.unwrap().number;
    let silent = {
        let tick = settlement.tick();
        tokio::pin!(tick);
        let submission = tokio::select! {
            submission = submissions.recv() => submission.expect("an attempt is handed over"),
            done = &mut tick => panic!("the tick ended without a commit: {done:?}"),
        };
        assert!(matches!(submission.bodies[..], [Body::AttemptSigned(_)]), "{:?}", submission.bodies);
        // The attempt is signed and on its way to the database; blocks come, and nothing of it is anywhere.
        let blocks = async {
            eventually("three blocks", || async {
                (world.chain.latest().await.unwrap().number >= height + 3).then_some(())
            })
            .await;
        };
        tokio::select! {
            () = blocks => {}
            done = &mut tick => panic!("the tick ended without a commit: {done:?}"),
        }
        assert_eq!(world.waiting_transactions().await, 0);
        // Whether it was committed is never said: then it is not sent either.
        drop(submission);
        tick.await
    };
    assert!(silent.is_err(), "{silent:?}");
    assert_eq!(world.waiting_transactions().await, 0);
    assert_eq!(world.chain.nonce(lane.address(), At::Pending).await.unwrap(), 0);
    assert_eq!(world.balance(wallet(1).address()).await, 0);

    // With a sequencer that commits, the same batch goes out.
    let successor = world.node(0).await;
    world.final_at(&successor, EntitlementId { round: 1, index }).await;
    successor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rows_for_one_entitlement_are_decided_once() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    // Past the door, which would have refused the second: both rows in one commit, as two nodes' doors could let in.
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let index = claim.index;
    let demand = Demand::Claim(claim);
    let new = || NewIntake {
        campaign: world.campaign,
        id: DemandId(Uuid::now_v7()),
        body_hash: demand.body_hash(),
        body: demand.encode(),
        place: 0,
        estimate_ms: 0,
        decide_within: sluice_core::limits::DECIDE_WITHIN,
    };
    let writer = node.store().register_node("a second door").await.unwrap();
    let rows = [new(), new()];
    let ids = rows.each_ref().map(|row| row.id);
    IntakeWriter::new(node.store().clone(), writer).append(rows.to_vec()).await.unwrap();
    let mut outcomes = Vec::new();
    for id in ids {
        let entry = eventually("the row is answered", || async {
            match node.demand(world.campaign, id).await.unwrap()? {
                sluice_engine::node::DemandStatus::Decided { entry, .. } => Some(entry),
                sluice_engine::node::DemandStatus::Waiting(_) => None,
            }
        })
        .await;
        outcomes.push(entry.body);
    }
    let decisions = outcomes.iter().filter(|body| matches!(body, Body::ClaimDecided(_))).count();
    let refusals = outcomes
        .iter()
        .filter(|body| matches!(body, Body::ClaimRefused(refused) if refused.code == Code::AlreadyDecided));
    assert_eq!((decisions, refusals.count()), (1, 1), "{outcomes:?}");
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    assert_eq!(world.balance(wallet(1).address()).await, tokens(2).get());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_taken_once_and_an_old_epoch_appends_nothing() {
    let world = World::new().await;
    let node = world.node(0).await;
    eventually("the Charter is read", || async { node.home_charter() }).await;
    node.stop().await;
    let store = Store::connect(world.database.url(), Options::default()).await.unwrap();
    let old = tokio::sync::Mutex::new(LeaderSession::open(&store, STREAM).await.unwrap());
    let taken = eventually("the epoch", || async {
        old.lock().await.take_epoch("the old leader", sluice_core::limits::LEASE, 1).await.unwrap()
    })
    .await;
    let last = store.read_log(STREAM, taken.seq - 1, 1).await.unwrap().remove(0);
    let next = |seq| Append { first: seq, rows: vec![row(&last, taken.epoch, seq)], ..Append::default() };

    // The log's key, past the append: another entry at a position that is taken.
    let mut raw = PgConnection::connect(world.database.url()).await.unwrap();
    let copy = "INSERT INTO log (stream, seq, epoch, kind, entry, leaf)
                SELECT stream, seq, epoch, kind, entry, leaf FROM log WHERE seq = $1";
    let refused =
        sqlx::query(copy).bind(i64::try_from(taken.seq).unwrap()).execute(&mut raw).await.unwrap_err();
    let refused = refused.into_database_error().expect("the database's own refusal");
    assert!(refused.is_unique_violation(), "{refused}");

    // The fence: what was an append a moment ago is none when another has passed the epoch.
    old.lock().await.append(&next(taken.seq + 1)).await.expect("the epoch is in force");
    sqlx::query("UPDATE head SET epoch = epoch + 1, holder = 'the new leader'")
        .execute(&mut raw)
        .await
        .unwrap();
    match old.lock().await.append(&next(taken.seq + 2)).await {
        Err(AppendError::Fenced { epoch, .. }) => assert_eq!(epoch, taken.epoch),
        other => panic!("an old epoch appended: {other:?}"),
    }
    assert!(store.read_log(STREAM, taken.seq + 1, 1).await.unwrap().is_empty());
    store.close().await;
}

/// The same entry at another position, under another epoch: a row that follows from nothing but its place.
fn row(stored: &sluice_store::StoredEntry, epoch: u64, seq: u64) -> LogRow {
    let mut entry = stored.decode().expect("an entry");
    (entry.epoch, entry.seq) = (epoch, seq);
    let bytes = entry.encode();
    LogRow { kind: entry.body.kind(), leaf: leaf_hash(&bytes), entry: bytes, intake: entry.body.intake() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_settles_once_by_its_number_and_its_content_once_by_the_bitmap() {
    let world = World::new().await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let index = claim.index;
    let submitted =
        node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await.expect("accepted");
    decided(&node, submitted).await;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    let log = world.log(&node).await;
    let epoch = node.status().epoch;
    node.stop().await;
    let plan = log.iter().find_map(|entry| match &entry.body {
        Body::BatchPlanned(plan) => Some(plan.clone()),
        _ => None,
    });
    let plan = plan.expect("a batch");
    assert_eq!(plan.form, BatchForm::Sparse, "one claim of ten");
    let chunks: Vec<Chunk> = plan
        .words
        .iter()
        .map(|mask| {
            let sparse = snapshot.sparse(mask.word, U256::from_limbs(mask.mask)).unwrap();
            Chunk { mask: *mask, words: sparse.words, proof: sparse.path }
        })
        .collect();
    let lane = world.sequencers[0].1[0].clone();
    let data = |batch| calls::settle_sparse(BatchHead { epoch, batch, log_root: B256::ZERO }, &chunks);

    // The same batch under a new nonce: a fresh transaction of the right lane in the right epoch.
    let kind = revert_of(&world, lane.address(), data(plan.batch)).await;
    assert_eq!(kind, RevertKind::WrongBatch { given: plan.batch, next: plan.batch + 1 });
    // The number is right, the content is paid already.
    let paid_before = world.balance(wallet(1).address()).await;
    let left_before = world.balance(world.distributor).await;
    let by_lane = Operator { account: lane, ..world.operator.clone() };
    let sent = by_lane.send("settleSparse", Some(world.distributor), data(plan.batch + 1), U256::ZERO).await;
    sent.expect("it settles, and skips what is paid");
    assert_eq!(world.chain.next_batch(world.distributor, At::Latest).await.unwrap(), plan.batch + 2);
    assert_eq!(world.balance(wallet(1).address()).await, paid_before);
    assert_eq!(world.balance(world.distributor).await, left_before);
    assert_eq!(paid_before, tokens(2).get());
}

async fn revert_of(world: &World, from: alloy_primitives::Address, data: Bytes) -> RevertKind {
    let call =
        SimCall { from, to: world.distributor, data, gas_limit: world.chain.config().transaction_gas_cap };
    match world.chain.try_call(&call, At::Latest).await.expect("an answer") {
        Simulated::Reverts(revert) => revert.kind,
        other => panic!("it would settle again: {other:?}"),
    }
}
