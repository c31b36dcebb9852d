//! Dense calls: which aligned ranges may be paid by one. Everything in such a range is payable or paid already, because
//! the Distributor pays whatever in it is not.

use crate::command::RoundMode;
use crate::ids::RoundNo;
use crate::limits::SHARD;
use crate::log::entry::{BatchForm, WordMask};
use crate::state::apply::range_mask;
use crate::state::campaign::Campaign;
use crate::state::round::{Round, shard_of};

use super::cost::GasModel;
use super::{Content, Redirects, payable_word};

/// Levels of the largest dense call: 512 fresh recipients use 13.3 M gas, 79 % of the transaction cap.
const LEVELS_MAX: u8 = 7;

/// A dense call that may be planned.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    round: RoundNo,
    start: u64,
    levels: u8,
    pub(super) words: Vec<WordMask>,
    /// What it costs.
    pub(super) worth: u64,
}

impl Dense {
    pub(super) fn content(&self) -> Content {
        let form = BatchForm::Dense { round: self.round, start: self.start, levels: self.levels };
        Content { form, words: self.words.clone(), full: self.levels == LEVELS_MAX }
    }
}

/// The dense call over the narrowest range that holds all of these payable bits of one round; `None` where something
/// else in it is neither payable nor paid, or it is too much for one call.
pub(super) fn narrowest(campaign: &Campaign, gas: &GasModel, words: &[WordMask]) -> Option<Dense> {
    let round = pushed(campaign, words.first()?.round)?;
    let (low, high) = (words.first()?.indexes().next()?, words.last()?.indexes().last()?);
    // The buckets' numbers differ in this many bits.
    let levels = u8::try_from(u64::BITS - ((low ^ high) >> 2).leading_zeros()).ok()?;
    if levels > LEVELS_MAX.min(round.terms.depth) {
        return None;
    }
    range(campaign, gas, round, low & !((4u64 << levels) - 1), levels)
}

/// The widest dense call that begins with this entitlement's bucket or before, and fits.
pub(super) fn over(campaign: &Campaign, gas: &GasModel, round: RoundNo, index: u64) -> Option<Dense> {
    let round = pushed(campaign, round)?;
    let levels = (0..=LEVELS_MAX.min(round.terms.depth)).rev();
    levels.into_iter().find_map(|levels| range(campaign, gas, round, index & !((4u64 << levels) - 1), levels))
}

/// A round of which whole ranges may be paid.
fn pushed(campaign: &Campaign, round: RoundNo) -> Option<&Round> {
    campaign.round(round).filter(|round| round.is_paying() && round.terms.mode == RoundMode::Push)
}

fn range(campaign: &Campaign, gas: &GasModel, round: &Round, start: u64, levels: u8) -> Option<Dense> {
    let words = payable(campaign, round, start, 4 << levels)?;
    let items = words.iter().map(|w| u64::from(w.count())).sum();
    let cost = gas.dense(levels, round.terms.depth, items);
    let fits = items > 0 && cost.gas <= gas.budget();
    fits.then(|| Dense { round: round.terms.round, start, levels, words, worth: gas.worth(cost) })
}

/// The payable words of a range in which every entry is payable here or paid already.
fn payable(campaign: &Campaign, round: &Round, start: u64, size: u64) -> Option<Vec<WordMask>> {
    let end = (start + size).min(round.terms.count);
    let mut words = Vec::new();
    for word in start / 256..end.div_ceil(256) {
        let mut mask = payable_word(campaign, round, word, Redirects::LeaveOut);
        let place = usize::try_from(word % (SHARD / 256)).expect("below 256");
        let paid = round.shards[shard_of(word * 256)].paid.word256(place);
        for (part, (mask, paid)) in (0..4).zip(mask.iter_mut().zip(paid)) {
            let range = range_mask(word * 4 + part, start, end);
            *mask &= range;
            if *mask | (paid & range) != range {
                return None;
            }
        }
        let found = WordMask { round: round.terms.round, word, mask };
        if found.count() > 0 {
            words.push(found);
        }
    }
    Some(words)
}
