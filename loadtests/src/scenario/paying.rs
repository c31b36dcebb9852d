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
    /// Seconds by the clock of all runs that paid it together, but for what an interruption cut short.
    pub(super) took: f64,
}

/// A campaign that is paid, as the journal keeps it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Finished {
    paid: Paid,
    /// When, seconds on the group's clock: one that stands still between two runs.
    at: f64,
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
        let (clock, next) =
            (Clock::of(&self.journal.lock().expect("no panic inside"), &self.campaigns), AtomicUsize::new(0));
        let all = Mutex::new(Paid::default());
        let worked = std::thread::scope(|scope| {
            let work = || -> anyhow::Result<()> {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < self.campaigns.len())
                {
                    let paid = self.pay_one(at, &state, &clock)?;
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
        let paying = Paying { paid: all.into_inner().expect("no panic inside"), took: clock.now() };
        self.journal.lock().expect("no panic inside").step(&step, || Ok(paying))
    }

    fn last(&self) -> usize {
        self.campaigns.last().map_or(0, |campaign| campaign.number)
    }

    fn pay_one(&self, at: usize, state: &ChainState, clock: &Clock) -> anyhow::Result<Paid> {
        let campaign = &self.campaigns[at];
        let step = step_of(campaign);
        if let Some(Finished { paid, .. }) = self.journal.lock().expect("no panic inside").done(&step) {
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
        let finished = Finished { paid, at: clock.now() };
        Ok(self.journal.lock().expect("no panic inside").step(&step, || Ok(finished))?.paid)
    }
}

/// A campaign's step in the journal.
fn step_of(campaign: &Campaign) -> String {
    format!("campaign {} paid", campaign.number)
}

/// How long a group has been worked on, in all runs.
struct Clock {
    /// Seconds of former runs, until the last campaign that they finished.
    former: f64,
    begun: Instant,
}

impl Clock {
    fn of(journal: &Journal, campaigns: &[Campaign]) -> Self {
        let finished = campaigns.iter().filter_map(|campaign| journal.done::<Finished>(&step_of(campaign)));
        Self { former: finished.map(|finished| finished.at).fold(0.0, f64::max), begun: Instant::now() }
    }

    fn now(&self) -> f64 {
        self.former + self.begun.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    #[test]
    fn what_a_former_run_took_counts_after_an_interruption() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let campaigns = Campaign::all(generate::campaigns(1, 4, 1_000, 10_000));
        let mut journal = Journal::open(&path, &1).unwrap();
        assert!(Clock::of(&journal, &campaigns).now() < 300.0);
        for (campaign, at) in campaigns.iter().zip([310.0, 300.0]) {
            let finished = Finished { paid: Paid::default(), at };
            journal.step(&step_of(campaign), || Ok(finished)).unwrap();
        }
        drop(journal);
        let resumed = Clock::of(&Journal::open(&path, &1).unwrap(), &campaigns);
        assert!((310.0..600.0).contains(&resumed.now()), "{}", resumed.now());
    }
}
