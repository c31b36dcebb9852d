//! A campaign paid: every call that settlement would send is planned on one thread and executed by the EVM on another, then
//! every balance is compared with the list.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use alloy_primitives::U256;
use anyhow::{Context, bail, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sluice_core::entitlement::Word;
use sluice_snapshot::Snapshot;

use super::bitmap::Bitmap;
use super::calls::{Call, Caller};
use super::chain_state::ChainState;
use super::evm::{Evm, balance_slot};
use super::field::{OnChain, Point};

/// Calls planned ahead of the EVM: some hundred kilobytes.
const AHEAD: usize = 8;
/// Seconds after the chain's last block in which everything is paid.
const LATER: u64 = 12;
/// Every so many-th balance is also asked of the token itself, by `balanceOf`.
const ASK_EVERY: usize = 1_000;
/// Calls between two words about how far it is.
const WORD_EVERY: u64 = 5_000;

/// What paying a campaign came to. Without mistakes, everything from `calls_differ` on is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Paid {
    /// Recipients, by the planned calls.
    pub(super) recipients: u64,
    pub(super) calls: u64,
    /// Calls of whole ranges among them.
    pub(super) dense: u64,
    pub(super) gas: u64,
    /// Planning and executing, seconds.
    pub(super) paying: f64,
    /// Comparing, seconds.
    pub(super) comparing: f64,
    /// Calls whose transfers were not as many as planned.
    pub(super) calls_differ: u64,
    /// Transfers when the first call was sent again.
    pub(super) paid_twice: u64,
    /// Listed wallets whose balance is not what their list says.
    pub(super) wrong: u64,
    /// Wallets beside the list that have the token now; a Distributor that has some left counts as one.
    pub(super) strangers: u64,
}

/// What is paid, and where.
pub(super) struct Job<'a> {
    /// For people who watch.
    pub(super) name: String,
    pub(super) snapshot: &'a Snapshot,
    /// Whom claims of their own decided: they are paid first.
    pub(super) claimed: &'a Bitmap,
    pub(super) on_chain: OnChain,
    pub(super) point: Point,
    /// At most so many calls; balances are compared only where there is no bound.
    pub(super) calls_at_most: Option<u64>,
    /// Ends it early.
    pub(super) stop: &'a AtomicBool,
}

impl Job<'_> {
    /// Pays on this chain.
    ///
    /// # Errors
    /// When a call reverts, or the work was stopped.
    pub(super) fn run(&self, mut state: ChainState) -> anyhow::Result<Paid> {
        let OnChain { distributor, token } = self.on_chain;
        let slots = state.slots(token);
        let funded = state.slot(token, balance_slot(distributor));
        ensure!(
            funded == U256::from(self.snapshot.total().get()),
            "{}: the Distributor has {funded} base units, and its list adds up to {}",
            self.name,
            self.snapshot.total().get()
        );
        let recipients = self.calls_at_most.map_or(self.snapshot.count(), |_| 0);
        state.reserve(token, usize::try_from(recipients).context("a list fits into memory")?);
        let mut evm = Evm::new(state, self.point.block + 1, self.point.time + LATER);
        let begin = Instant::now();
        let mut paid = self.pay(&mut evm)?;
        paid.paying = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        if self.calls_at_most.is_none() {
            paid.wrong = wrong(evm.state(), self.on_chain, self.snapshot)? + self.ask(&mut evm)?;
            // The Distributor's own balance is no more, and the list's are new.
            let expected = slots - 1 + self.snapshot.count();
            paid.strangers = evm.state().slots(token).abs_diff(expected);
        }
        paid.comparing = begin.elapsed().as_secs_f64();
        Ok(paid)
    }

    fn pay(&self, evm: &mut Evm) -> anyhow::Result<Paid> {
        let (sender, calls) = sync_channel(AHEAD);
        std::thread::scope(|scope| {
            let planner = scope.spawn(move || self.plan(&sender));
            let paid = self.execute(evm, calls);
            let planned = planner.join().expect("the planner does not panic");
            // Whose fault it was: the planner's, unless the EVM no longer listened.
            paid.and_then(|paid| planned.map(|()| paid))
        })
    }

    /// Plans all calls, those of claims first, and the first of them once more at the end.
    fn plan(&self, to: &SyncSender<Step>) -> anyhow::Result<()> {
        let mut caller = Caller::new(self.snapshot, self.point.epoch);
        let mut left = self.calls_at_most.unwrap_or(u64::MAX);
        for part in [Some(self.claimed), None] {
            match part {
                Some(claimed) => caller.decide(claimed)?,
                None => caller.decide_all()?,
            }
            while left > 0 {
                let Some(call) = caller.next()? else { break };
                left -= 1;
                if to.send(Step::Pay(call)).is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(call) = caller.first_again()? {
            // Nobody listens only where a call failed, which is told.
            let _ = to.send(Step::Again(call));
        }
        Ok(())
    }

    fn execute(&self, evm: &mut Evm, calls: Receiver<Step>) -> anyhow::Result<Paid> {
        let OnChain { distributor, token } = self.on_chain;
        let (lane, mut paid) = (self.point.lane, Paid::default());
        for step in calls {
            if self.stop.load(Ordering::Relaxed) {
                bail!("stopped");
            }
            match step {
                Step::Pay(call) => {
                    let done = evm
                        .send(lane, distributor, call.data, token)
                        .with_context(|| format!("{}: call {}", self.name, paid.calls + 1))?;
                    paid.calls += 1;
                    paid.dense += u64::from(call.dense);
                    paid.recipients += call.recipients;
                    paid.gas += done.gas;
                    paid.calls_differ += u64::from(done.transfers != call.recipients);
                    if paid.calls.is_multiple_of(WORD_EVERY) {
                        eprintln!("{}: {} of {} paid", self.name, paid.recipients, self.snapshot.count());
                    }
                }
                // It may also revert, which pays nobody.
                Step::Again(call) => {
                    let done = evm.send(lane, distributor, call.data, token);
                    paid.paid_twice = done.map_or(0, |done| done.transfers);
                }
            }
        }
        Ok(paid)
    }

    /// Asks the token for some balances: the slots that are compared could be the wrong ones.
    fn ask(&self, evm: &mut Evm) -> anyhow::Result<u64> {
        let mut wrong = 0;
        for word in self.snapshot.words(0..self.snapshot.count()).iter().step_by(ASK_EVERY) {
            let has = evm.balance_of(self.on_chain.token, word.recipient())?;
            wrong += u64::from(has != U256::from(word.amount().get()));
        }
        Ok(wrong)
    }
}

enum Step {
    Pay(Call),
    Again(Call),
}

/// How many listed wallets have not exactly what their list says.
fn wrong(state: &ChainState, on_chain: OnChain, snapshot: &Snapshot) -> anyhow::Result<u64> {
    let words = snapshot.words(0..snapshot.count());
    ensure!(words.len() as u64 == snapshot.count(), "the snapshot is cut short");
    let is_wrong = |word: &Word| {
        state.slot(on_chain.token, balance_slot(word.recipient())) != U256::from(word.amount().get())
    };
    Ok(words.par_iter().filter(|word| is_wrong(word)).count() as u64)
}

impl Paid {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            recipients: self.recipients + other.recipients,
            calls: self.calls + other.calls,
            dense: self.dense + other.dense,
            gas: self.gas + other.gas,
            paying: self.paying + other.paying,
            comparing: self.comparing + other.comparing,
            calls_differ: self.calls_differ + other.calls_differ,
            paid_twice: self.paid_twice + other.paid_twice,
            wrong: self.wrong + other.wrong,
            strangers: self.strangers + other.strangers,
        }
    }

    /// Mistakes of any kind.
    pub(super) fn mistakes(&self) -> u64 {
        self.calls_differ + self.paid_twice + self.wrong + self.strangers
    }
}

#[cfg(test)]
mod tests {
    use super::super::lists::Campaign;
    use super::*;
    use crate::generate;
    use alloy_primitives::Address;

    #[test]
    fn a_balance_that_is_off_by_one_unit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let campaign = Campaign::all(generate::campaigns(1, 1, 200, 10_000)).remove(0);
        campaign.build(folder.path()).unwrap();
        let snapshot = campaign.open(folder.path()).unwrap();
        let on_chain = OnChain { distributor: Address::repeat_byte(1), token: Address::repeat_byte(2) };
        let mut state = ChainState::default();
        assert_eq!(wrong(&state, on_chain, &snapshot).unwrap(), 200);
        for word in snapshot.words(0..200) {
            state.store(on_chain.token, balance_slot(word.recipient()), U256::from(word.amount().get()));
        }
        assert_eq!(wrong(&state, on_chain, &snapshot).unwrap(), 0);
        let one = snapshot.entitlement(77).unwrap();
        state.store(on_chain.token, balance_slot(one.recipient), U256::from(one.amount.get() + 1));
        assert_eq!(wrong(&state, on_chain, &snapshot).unwrap(), 1);
    }
}
