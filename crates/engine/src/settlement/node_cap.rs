//! What a chain's nodes take for one transaction in all. Some refuse what may cost more than a cap of their own (geth's
//! `--rpc.txfeecap`); it cannot be asked for, so it is learned from refusals and forgotten with the term.

use sluice_core::limits::NODE_CAP_GUESSED_MIN;

/// What was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeCap {
    /// The dearest transaction that was taken, wei.
    taken: u128,
    /// What is taken at most, wei; `None` while nothing was refused.
    cap: Option<u128>,
}

impl NodeCap {
    /// The most that a transaction may cost, wei; `None` while nothing was refused.
    pub(super) fn wei(&self) -> Option<u128> {
        self.cap
    }

    /// A node took a transaction that may cost this much.
    pub(super) fn took(&mut self, cost: u128) {
        self.taken = self.taken.max(cost);
        self.cap = self.cap.map(|cap| cap.max(self.taken));
    }

    /// All nodes refused a transaction that may cost this much; perhaps they said what they take. Where they do not, or
    /// say nothing that would explain it (they round), half is tried next, so that a few refusals find what they take. What
    /// is guessed ends at [`NODE_CAP_GUESSED_MIN`]: a node that refuses even that has another reason.
    pub(super) fn refused(&mut self, cost: u128, said: Option<u128>) {
        if self.taken >= cost {
            // Another node answers now.
            self.taken = 0;
        }
        let guess = (cost / 2).max(NODE_CAP_GUESSED_MIN);
        let now = said.filter(|said| (1..cost).contains(said)).unwrap_or(guess);
        let lowest = self.cap.map_or(now, |cap| cap.min(now));
        self.cap = Some(lowest.max(self.taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A finney: far above what is guessed at least.
    const F: u128 = 1_000_000_000_000_000;

    #[test]
    fn it_is_what_the_nodes_say_or_found_by_halving() {
        let mut cap = NodeCap::default();
        cap.took(900 * F);
        assert_eq!(cap.wei(), None);
        cap.refused(1_500 * F, Some(1_000 * F));
        assert_eq!(cap.wei(), Some(1_000 * F));
        let mut silent = NodeCap::default();
        silent.refused(1_500 * F, None);
        silent.refused(750 * F, Some(750 * F));
        assert_eq!(silent.wei(), Some(375 * F), "a cap that was rounded up explains nothing");
        silent.refused(375 * F, Some(0));
        assert_eq!(silent.wei(), Some(375 * F / 2), "nor does one that was rounded down to nothing");
        silent.took(400 * F);
        assert_eq!(silent.wei(), Some(400 * F));
    }

    #[test]
    fn guesses_end_where_no_cap_is_and_what_is_said_counts_below_that() {
        let mut cap = NodeCap::default();
        let mut cost = 1_000 * F;
        for _ in 0..200 {
            cap.refused(cost, None);
            cost = cap.wei().unwrap();
        }
        assert_eq!(cap.wei(), Some(NODE_CAP_GUESSED_MIN));
        cap.refused(cost, Some(7));
        assert_eq!(cap.wei(), Some(7));
    }

    #[test]
    fn what_nodes_hold_is_never_taken_for_refused() {
        let mut cap = NodeCap::default();
        cap.took(900 * F);
        cap.refused(1_000 * F, None);
        assert_eq!(cap.wei(), Some(900 * F));
        cap.refused(800 * F, None);
        assert_eq!(cap.wei(), Some(400 * F), "another node answers now");
    }
}
