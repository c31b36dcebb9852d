//! That something was erased which lay beside the log.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::ids::Seq;
use crate::limits::ERASED_FACTS_MAX;

/// Facts and attestations that were deleted, with their keys, in the append of this very entry: either both happened or neither.
/// It names no person. Whom it is about is as good as known from the entries it names; where there are none, nobody's.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Erased {
    /// The order that it carries out, counted from 1. Whom it is about, and why, stands beside the log.
    pub order: u64,
    /// The positions of the entries whose facts are gone, ascending; the entries keep the hashes. At most
    /// [`ERASED_FACTS_MAX`]: an order that takes more has several entries.
    pub facts: Vec<Seq>,
    /// How many attestations are gone.
    pub attestations: u64,
}

impl Erased {
    /// Whether it may stand at a position: what it names came before, each once, and is not more than an entry holds.
    pub(crate) fn check(&self, at: Seq) -> Result<(), &'static str> {
        if self.order == 0 {
            return Err("orders are counted from 1");
        }
        if self.facts.len() > ERASED_FACTS_MAX {
            return Err("it erases more than an entry names");
        }
        let ascending = self.facts.windows(2).all(|two| two[0] < two[1]);
        let first = self.facts.first().is_none_or(|first| *first > 0);
        let last = self.facts.last().is_none_or(|last| *last < at);
        if ascending && first && last { Ok(()) } else { Err("it erases what does not come before it") }
    }
}
