//! Payments that do not come about: a recipient whom the token refuses for good, and an entitlement annulled between its
//! decision and its transaction.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sluice_chain::At;
use sluice_core::command::Action;
use sluice_core::decide::Input;
use sluice_core::ids::EntitlementId;
use sluice_core::limits::{SKIP_RETRIES_MAX, SKIP_RETRY_AFTER};
use sluice_core::log::entry::{Body, Due, EpochBegan};
use sluice_core::sequencer::{Decider, Group};
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use sluice_engine::follower::{Committed, Follower};
use sluice_engine::sequencer::{Observations, Submission};
use sluice_engine::settlement::{Accounts, Settlement};
use sluice_engine::snapshots::Snapshots;
use sluice_engine::watcher::Watcher;
use sluice_store::{Append, Attempt, LeaderSession, LogRow, Options, Store};
use support::{STREAM, Setup, World, eventually, log_key, tokens, wallet};

/// A leader whose clock the test moves: what falls due in minutes falls due when the test says so.
struct Fast {
    session: LeaderSession,
    follower: Follower,
    decider: Decider,
    now: Arc<AtomicU64>,
}

impl Fast {
    async fn append(&mut self, submission: Submission) {
        let inputs = submission.bodies.iter().cloned().map(Input::Observed).collect();
        let group = self.decider.group(inputs, self.now.load(Ordering::SeqCst)).expect("decided");
        if !group.entries.is_empty() {
            self.session.append(&append_of(&group, &submission)).await.expect("appended");
        }
        let Group { entries, encoded, .. } = group;
        let rows = entries.iter().cloned().zip(encoded).map(|(entry, bytes)| Committed { entry, bytes });
        self.follower.advance(rows.collect()).expect("applied");
        let mine = entries.into_iter().filter(|entry| submission.bodies.contains(&entry.body)).collect();
        // A submitter that gave up waiting reads the log.
        let _ = submission.done.send(mine);
    }
}

fn append_of(group: &Group, submission: &Submission) -> Append {
    let rows = group.entries.iter().zip(&group.encoded).zip(&group.leaves).map(|((entry, bytes), leaf)| {
        LogRow { kind: entry.body.kind(), entry: bytes.clone(), leaf: *leaf, intake: entry.body.intake() }
    });
    let attempts = group.entries.iter().filter_map(|entry| {
        let Body::AttemptSigned(signed) = &entry.body else { return None };
        let raw = submission.raw.iter().find(|raw| raw.hash == signed.tx_hash).expect("its bytes");
        Some(Attempt {
            seq: entry.seq,
            campaign: signed.campaign,
            batch: signed.batch,
            chain: raw.chain_id,
            lane: signed.lane,
            nonce: signed.nonce,
            hash: signed.tx_hash,
            raw: raw.raw.clone(),
        })
    });
    Append {
        first: group.entries[0].seq,
        rows: rows.collect(),
        postings: group.postings.clone(),
        attempts: attempts.collect(),
        tiles: group.appended.tiles.clone(),
        facts: group.facts.clone(),
        ..Append::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_refused_at_every_retry_stays_skipped_and_its_money_reserved() {
    // Without coin in its lane the node decides and signs nothing; then it stops.
    let world = World::with(Setup { funded_lanes: false, ..Setup::default() }).await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let push = Action::Push { campaign: world.campaign, round: 1, from: 0, to: 10 };
    let pushed = world.command(&node, push, 1).await;
    assert!(matches!(pushed.entry.body, Body::Pushed(_)), "{:?}", pushed.entry.body);
    node.stop().await;
    world.fund(world.sequencers[0].1[0].address()).await;
    world.refuse_recipient(wallet(5).address()).await;
    let bad = snapshot.find(wallet(5).address()).start;

    let store = Store::connect(world.database.url(), Options::default()).await.expect("the database");
    let follower = Follower::new(STREAM, log_key(world.charter, 0));
    while follower.catch_up(&store).await.expect("the log") {}
    let at_least = world.chain.epoch(world.charter, At::Latest).await.expect("an epoch") + 1;
    let session = tokio::sync::Mutex::new(LeaderSession::open(&store, STREAM).await.expect("a session"));
    // The lease outlives the test, which renews nothing.
    let taken = eventually("the epoch", || async {
        let lease = Duration::from_secs(3_600);
        session.lock().await.take_epoch("a test", lease, at_least).await.expect("an answer")
    })
    .await;
    let now = Arc::new(AtomicU64::new(taken.now));
    let decider = follower.decider(taken.epoch);
    let mut fast =
        Fast { session: session.into_inner(), follower: follower.clone(), decider, now: Arc::clone(&now) };
    let (observations, mut submissions) = Observations::channel();
    let leader = tokio::spawn(async move {
        while let Some(submission) = submissions.recv().await {
            fast.append(submission).await;
        }
    });
    let began = Body::EpochBegan(EpochBegan { node: 77, sequencer: 1 });
    observations.append(vec![began], Vec::new()).await.expect("the term begins");

    let snapshots = || Snapshots::new(world.folder.path());
    let (chain, charter) = (world.chain.clone(), world.charter);
    let mut watcher =
        Watcher::new(chain.clone(), charter, follower.clone(), snapshots(), observations.clone(), true);
    let (control, lanes) = world.sequencers[0].clone();
    let mut settlement = Settlement::new(
        chain,
        charter,
        taken.epoch,
        Accounts { control, lanes },
        follower.clone(),
        snapshots(),
        store.clone(),
        observations.clone(),
        sluice_core::fees::FeePolicy::default(),
        Arc::default(),
    );

    let status =
        || follower.read(|s| s.campaign(world.campaign)?.status(EntitlementId { round: 1, index: bad }));
    let mut retries = 0;
    let start = tokio::time::Instant::now();
    loop {
        watcher.tick().await.expect("the watcher goes on");
        settlement.tick().await.expect("the settlement goes on");
        match status() {
            Some(ClaimState::Skipped { retry: true, .. }) => {
                let due = follower.read(|s| {
                    let item = Due::SkipRetry {
                        campaign: world.campaign,
                        entitlement: EntitlementId { round: 1, index: bad },
                    };
                    s.due.time_of(&item)
                });
                let Some(due) = due else { continue };
                let wait = u64::try_from(SKIP_RETRY_AFTER.as_millis()).expect("seconds") << retries;
                let recorded = follower.read(|s| s.recorded_at);
                assert!(due <= recorded + wait, "the wait doubles: {due} after {recorded}");
                retries += 1;
                now.store(due, Ordering::SeqCst);
                observations.append(Vec::new(), Vec::new()).await.expect("time passes");
            }
            Some(ClaimState::Skipped { retry: false, .. }) => break,
            _ => {}
        }
        assert!(start.elapsed() < support::PATIENCE, "after {retries} retries: {:?}", status());
    }
    assert_eq!(retries, SKIP_RETRIES_MAX);

    // From here on nothing happens by itself: not after a day, and not when the token would pay again.
    world.refuse_nobody().await;
    now.fetch_add(86_400_000, Ordering::SeqCst);
    observations.append(Vec::new(), Vec::new()).await.expect("time passes");
    let planned = planned(&store).await;
    for _ in 0..10 {
        watcher.tick().await.expect("the watcher goes on");
        settlement.tick().await.expect("the settlement goes on");
    }
    assert_eq!(self::planned(&store).await, planned);
    assert!(matches!(status(), Some(ClaimState::Skipped { retry: false, .. })));
    let funds = |account| follower.read(|s| s.campaigns[&world.campaign].funds.balance(account));
    assert_eq!(funds(Ledger::Reserved).unsigned_abs(), tokens(6).get());
    assert_eq!(funds(Ledger::Paid).unsigned_abs(), terms.total.get() - tokens(6).get());
    assert_eq!((funds(Ledger::Free), funds(Ledger::Voided)), (0, 0));
    assert_eq!(world.balance(wallet(5).address()).await, 0);
    assert_eq!(world.balance(world.distributor).await, tokens(6).get());
    leader.abort();
}

async fn planned(store: &Store) -> usize {
    let rows = store.read_log(STREAM, 0, 10_000).await.expect("the log");
    rows.iter().filter(|row| matches!(row.decode().expect("an entry").body, Body::BatchPlanned(_))).count()
}
