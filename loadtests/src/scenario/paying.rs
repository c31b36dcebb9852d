//! The payments of a group: its campaigns one after another and two at a time, each on a copy of the chain that the group
//! was decided on. Campaigns share nothing but the Charter, which settling does not change.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::bitmap::Bitmap;
use super::chain_state::ChainState;
use super::decide::{Decided, chain_file};
use super::lists::Campaign;
use super::pay::{Job, Paid};
use crate::resume::Journal;

/// Campaigns paid at once: as many as this machine has cores would also hold as many copies of balances.
const AT_ONCE: usize = 2;

/// What is to be paid.
pub(super) struct Group {
    pub(super) folder: PathBuf,
    pub(super) campaigns: Vec<Campaign>,
    pub(super) decided: Decided,
    pub(super) calls_at_most: Option<u64>,
    pub(super) journal: Arc<Mutex<Journal>>,
    pub(super) stop: Arc<AtomicBool>,
}

/// What paying a group came to.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Paying {
    /// All campaigns together.
    pub(super) paid: Paid,
    /// By the clock, seconds: what was done in former runs counts as it took then.
    pub(super) took: f64,
}

impl Group {
    /// Pays all campaigns that are not paid.
    ///
    /// # Errors
    /// The first that there is; campaigns paid before it stand in the journal.
    pub(super) fn pay(&self) -> anyhow::Result<Paying> {
        let step = format!("campaigns {} to {} paid", self.campaigns[0].number, self.last());
        if let Some(paying) = self.journal.lock().expect("no panic inside").done::<Paying>(&step) {
            return Ok(paying);
        }
        let path = chain_file(&self.folder, &self.campaigns);
        let dump = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let state = ChainState::read(&dump)?;
        let (begin, next) = (Instant::now(), AtomicUsize::new(0));
        let all = Mutex::new(Paid::default());
        let worked = std::thread::scope(|scope| {
            let work = || -> anyhow::Result<()> {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < self.campaigns.len())
                {
                    let paid = self.pay_one(at, &state)?;
                    let mut all = all.lock().expect("no panic inside");
                    *all = all.and(paid);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..AT_ONCE.min(self.campaigns.len())).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join().expect("paying does not panic"));
            joined.collect::<anyhow::Result<Vec<()>>>()
        });
        worked?;
        let paying =
            Paying { paid: all.into_inner().expect("no panic inside"), took: begin.elapsed().as_secs_f64() };
        self.journal.lock().expect("no panic inside").step(&step, || Ok(paying))
    }

    fn last(&self) -> usize {
        self.campaigns.last().map_or(0, |campaign| campaign.number)
    }

    fn pay_one(&self, at: usize, state: &ChainState) -> anyhow::Result<Paid> {
        let campaign = &self.campaigns[at];
        let step = format!("campaign {} paid", campaign.number);
        if let Some(paid) = self.journal.lock().expect("no panic inside").done::<Paid>(&step) {
            return Ok(paid);
        }
        let snapshot = campaign.open(&self.folder)?;
        let claimed = Bitmap::read(&campaign.file(&self.folder, "claimed"))?;
        let job = Job {
            name: format!("campaign {}", campaign.number),
            snapshot: &snapshot,
            claimed: &claimed,
            on_chain: self.decided.on_chain[at],
            point: self.decided.point,
            calls_at_most: self.calls_at_most,
            stop: &self.stop,
        };
        let paid = job.run(state.clone())?;
        eprintln!(
            "campaign {}: {} paid by {} calls in {:.1} s, compared in {:.1} s",
            campaign.number, paid.recipients, paid.calls, paid.paying, paid.comparing
        );
        self.journal.lock().expect("no panic inside").step(&step, || Ok(paid))
    }
}
