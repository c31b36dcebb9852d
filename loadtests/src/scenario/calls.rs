//! The calls that pay a list, as settlement plans and encodes them: by the engine's planner from what is decided, with
//! words and proofs from the snapshot.

use alloy_primitives::{B256, Bytes, U256};
use anyhow::{Context, bail};
use sluice_chain::calls::{BatchHead, Chunk, Range, settle, settle_sparse};
use sluice_core::command::RoundMode;
use sluice_core::ids::{BatchNo, Epoch};
use sluice_core::limits::SHARD;
use sluice_core::log::entry::{BatchForm, WordMask};
use sluice_core::planner::{Content, GasModel, plan};
use sluice_core::sample::open_campaign;
use sluice_core::state::bits::{Bits, WORDS};
use sluice_core::state::campaign::Campaign;
use sluice_snapshot::Snapshot;

use super::ROUND;
use super::bitmap::Bitmap;

/// A call of the Distributor.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) data: Bytes,
    /// Whom it pays.
    pub(super) recipients: u64,
    pub(super) dense: bool,
}

/// Plans and encodes one call after another.
pub(super) struct Caller<'a> {
    snapshot: &'a Snapshot,
    campaign: Campaign,
    gas: GasModel,
    epoch: Epoch,
    next: BatchNo,
    first: Option<Content>,
}

impl<'a> Caller<'a> {
    /// Nothing is decided yet; the Distributor has settled no batch.
    pub(super) fn new(snapshot: &'a Snapshot, epoch: Epoch) -> Self {
        let campaign = open_campaign(&[(snapshot.count(), RoundMode::Push)]);
        Self { snapshot, campaign, gas: GasModel::default(), epoch, next: 1, first: None }
    }

    /// Decides these.
    pub(super) fn decide(&mut self, decided: &Bitmap) -> anyhow::Result<()> {
        let round = self.campaign.rounds.get_mut(&ROUND).context("the round")?;
        for (word, bits) in decided.words() {
            let (shard, at) = round.shard_mut(word * 64);
            shard.decided.words_mut()[at / 64] |= bits;
        }
        Ok(())
    }

    /// Decides everybody.
    pub(super) fn decide_all(&mut self) -> anyhow::Result<()> {
        self.decide(&Bitmap::full(self.snapshot.count()))
    }

    /// The next call, if anything decided is not paid.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Call>> {
        let Some(content) = plan(&self.campaign, &self.gas, 0) else { return Ok(None) };
        let call = self.encode(&content)?;
        self.pay(&content.words)?;
        self.first.get_or_insert(content);
        Ok(Some(call))
    }

    /// The first call once more, under the next number: everybody in it is paid by then.
    pub(super) fn first_again(&mut self) -> anyhow::Result<Option<Call>> {
        let first = self.first.clone();
        first.map(|content| self.encode(&content)).transpose()
    }

    fn encode(&mut self, content: &Content) -> anyhow::Result<Call> {
        let head = BatchHead { epoch: self.epoch, batch: self.next, log_root: B256::ZERO };
        self.next += 1;
        let recipients = content.words.iter().map(|word| u64::from(word.count())).sum();
        let data = match content.form {
            BatchForm::Dense { round, start, levels } => {
                let proof = self.snapshot.dense(start, levels)?;
                settle(head, Range { round, start, levels, words: &proof.words, path: &proof.path })
            }
            BatchForm::Sparse => {
                let chunks = content.words.iter().map(|word| self.chunk(word));
                settle_sparse(head, &chunks.collect::<anyhow::Result<Vec<_>>>()?)
            }
            BatchForm::Redirected { .. } | BatchForm::Gated => bail!("nobody asked for such a call"),
        };
        Ok(Call { data, recipients, dense: matches!(content.form, BatchForm::Dense { .. }) })
    }

    fn chunk(&self, word: &WordMask) -> anyhow::Result<Chunk> {
        let sparse = self.snapshot.sparse(word.word, U256::from_limbs(word.mask))?;
        Ok(Chunk { mask: *word, words: sparse.words, proof: sparse.path })
    }

    /// Marks them as paid. A shard in which nothing is left to pay forgets what was decided, so that the planner need not
    /// look through it again for every call.
    fn pay(&mut self, words: &[WordMask]) -> anyhow::Result<()> {
        let round = self.campaign.rounds.get_mut(&ROUND).context("the round")?;
        for word in words {
            let (shard, at) = round.shard_mut(word.word * 256);
            for (paid, bits) in shard.paid.words_mut()[at / 64..].iter_mut().zip(word.mask) {
                *paid |= bits;
            }
        }
        let mut shards: Vec<u64> = words.iter().map(|word| word.word * 256 / SHARD).collect();
        shards.dedup();
        for number in shards {
            let (shard, _) = round.shard_mut(number * SHARD);
            let is_paid = |at: usize| shard.decided.word(at) & !shard.paid.word(at) == 0;
            if (0..WORDS).all(is_paid) {
                shard.decided = Bits::default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lists::Campaign;
    use super::*;
    use crate::generate;

    #[test]
    fn calls_pay_everybody_once_claims_first() {
        let folder = tempfile::tempdir().unwrap();
        let campaign = Campaign::all(generate::campaigns(1, 1, 3_000, 100_000)).remove(0);
        campaign.build(folder.path()).unwrap();
        let snapshot = campaign.open(folder.path()).unwrap();
        let mut caller = Caller::new(&snapshot, 7);
        assert!(caller.next().unwrap().is_none() && caller.first_again().unwrap().is_none());
        let mut claimed = Bitmap::new(3_000);
        for index in (0..3_000).step_by(10) {
            claimed.set(index);
        }
        caller.decide(&claimed).unwrap();
        let (mut paid, mut dense) = (0, 0);
        while let Some(call) = caller.next().unwrap() {
            paid += call.recipients;
            dense += u64::from(call.dense);
        }
        assert_eq!((paid, dense), (300, 0));
        caller.decide_all().unwrap();
        while let Some(call) = caller.next().unwrap() {
            paid += call.recipients;
            dense += u64::from(call.dense);
        }
        assert_eq!(paid, 3_000);
        assert!(dense > 0);
        let again = caller.first_again().unwrap().unwrap();
        assert!(again.recipients > 0 && again.recipients <= 300);
    }
}
