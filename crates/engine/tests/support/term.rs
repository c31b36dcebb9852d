//! A term of leadership whose parts a test steps one by one. Only the sequencer runs by itself.

use std::sync::Arc;

use sluice_core::ids::{Epoch, Seq};
use sluice_core::limits::LEASE;
use sluice_core::log::entry::{Body, Entry, EpochBegan};
use sluice_engine::clock::DatabaseClock;
use sluice_engine::follower::Follower;
use sluice_engine::sequencer::{Observations, Sequencer, Verified};
use sluice_engine::settlement::{Accounts, LaneStatus, Settlement};
use sluice_engine::snapshots::Snapshots;
use sluice_engine::watcher::Watcher;
use sluice_store::{LeaderSession, Options, SealKey, Store};
use tokio::sync::mpsc;

use super::{SEAL_SECRET, STREAM, World, eventually, log_key};

pub struct Term {
    pub store: Store,
    pub follower: Follower,
    pub observations: Observations,
    pub epoch: Epoch,
    pub clock: Arc<DatabaseClock>,
    pub verified: mpsc::Sender<Verified>,
    sequencer: tokio::task::JoinHandle<()>,
}

impl Drop for Term {
    fn drop(&mut self) {
        self.sequencer.abort();
    }
}

impl World {
    /// Takes the epoch after every node has stopped.
    pub async fn term(&self) -> Term {
        let store = Store::connect(self.database.url(), Options::default()).await.expect("the database");
        let store = store.with_seal_key(SealKey::new(&SEAL_SECRET));
        store.migrate().await.expect("migrated");
        let node = store.register_node("a test").await.expect("a number");
        let session = tokio::sync::Mutex::new(LeaderSession::open(&store, STREAM).await.expect("a session"));
        let at_least = self.chain.epoch(self.charter, sluice_chain::At::Latest).await.expect("an epoch") + 1;
        let taken = eventually("the epoch", || async {
            session.lock().await.take_epoch("a test", LEASE, at_least).await.expect("an answer")
        })
        .await;
        let follower = Follower::new(STREAM, log_key(self.charter, 0));
        while follower.catch_up(&store).await.expect("the log") {}
        let clock = Arc::new(DatabaseClock::new(taken.now));
        let (observations, submissions) = Observations::channel();
        let (verified, verified_out) = mpsc::channel(16);
        let (again, _) = mpsc::unbounded_channel();
        let sequencer = Sequencer::new(
            session.into_inner(),
            follower.clone(),
            Arc::clone(&clock),
            taken.epoch,
            submissions,
            verified_out,
            again,
        );
        let sequencer = tokio::spawn(async move {
            let ended = sequencer.run().await;
            eprintln!("the term ended: {ended:?}");
        });
        let began = Body::EpochBegan(EpochBegan { node, sequencer: 1 });
        observations.append(vec![began], Vec::new()).await.expect("the term begins");
        Term { store, follower, observations, epoch: taken.epoch, clock, verified, sequencer }
    }
}

impl Term {
    pub fn watcher(&self, world: &World) -> Watcher {
        Watcher::new(
            world.chain.clone(),
            world.charter,
            self.follower.clone(),
            Snapshots::new(world.folder.path()),
            self.observations.clone(),
            true,
        )
    }

    pub fn settlement(
        &self,
        world: &World,
        lanes: Vec<sluice_chain::signer::Account>,
        status: Arc<std::sync::Mutex<Vec<LaneStatus>>>,
    ) -> Settlement {
        let accounts = Accounts { control: world.sequencers[0].0.clone(), lanes };
        Settlement::new(
            world.chain.clone(),
            world.charter,
            self.epoch,
            accounts,
            self.follower.clone(),
            Snapshots::new(world.folder.path()),
            self.store.clone(),
            self.observations.clone(),
            sluice_core::fees::FeePolicy::default(),
            status,
        )
    }

    pub fn seq(&self) -> Seq {
        self.follower.seq()
    }

    /// The entries above a position.
    pub async fn log_after(&self, seq: Seq) -> Vec<Entry> {
        let rows = self.store.read_log(STREAM, seq, 10_000).await.expect("the log");
        rows.iter().map(|row| row.decode().expect("an entry")).collect()
    }
}
