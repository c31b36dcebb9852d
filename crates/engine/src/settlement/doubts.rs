//! Sends of which nobody knows what came of them: the connection broke, or an answer was none. The bytes may have been
//! taken, so nothing else is signed; they may have been lost, so they are sent again at the next look, which does no harm
//! and is sooner than after as many blocks as an attempt that was taken may wait.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use sluice_chain::send::Outcome;

/// So often the same bytes are sent again for a doubt; then they count as sent, so that a node which never answers does not
/// hold up what stands behind them, and they are raised in their time.
const SENT_AGAIN_MAX: u32 = 3;

/// How often each transaction was sent in vain, as far as anybody knows.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<B256, u32>);

impl Doubts {
    /// Notes what came of a send; whether it is to be sent again at the next look.
    pub(super) fn again(&mut self, hash: B256, outcome: Outcome) -> bool {
        if outcome != Outcome::Ambiguous {
            return false;
        }
        let times = self.0.entry(hash).or_default();
        *times = times.saturating_add(1);
        *times <= SENT_AGAIN_MAX
    }

    /// Forgets all others.
    pub(super) fn retain(&mut self, open: &BTreeSet<B256>) {
        self.0.retain(|hash, _| open.contains(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_doubt_has_bytes_sent_again_and_not_for_ever() {
        let (mut doubts, one, other) = (Doubts::default(), B256::repeat_byte(1), B256::repeat_byte(2));
        assert!(!doubts.again(one, Outcome::AlreadyKnown) && !doubts.again(one, Outcome::NonceTooLow));
        let times = (0..10).filter(|_| doubts.again(one, Outcome::Ambiguous)).count();
        assert_eq!(times, SENT_AGAIN_MAX as usize);
        assert!(doubts.again(other, Outcome::Ambiguous), "each is counted by itself");
        doubts.retain(&[other].into());
        assert!(doubts.again(one, Outcome::Ambiguous), "what was forgotten is new");
    }
}
