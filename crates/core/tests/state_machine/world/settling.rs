//! What becomes of batches, step by step: planned, signed, mined, final.

use super::*;

impl World {
    /// Plans the next batch, if the planner wants one.
    pub(crate) fn plan(&mut self) -> Option<BatchPlanned> {
        let known = self.known();
        let content = plan(known, &GasModel::default(), 0)?;
        let total = sum(indexes(&content.words));
        let planned = BatchPlanned {
            campaign: campaign(1),
            batch: next_number(known),
            form: content.form,
            words: content.words,
            total,
        };
        assert!(self.takes(Body::BatchPlanned(planned.clone())), "the planner's batch is accepted");
        Some(planned)
    }

    pub(crate) fn attempt(&mut self, batch: u64) -> AttemptSigned {
        self.nonce += 1;
        self.tx += 1;
        AttemptSigned {
            campaign: campaign(1),
            batch,
            lane: LANE,
            nonce: self.nonce,
            tx_hash: hash(self.tx),
            max_fee: 100,
            priority_fee: 1,
            gas_limit: 1_000_000,
        }
    }

    pub(crate) fn sign(&mut self, batch: u64) -> AttemptSigned {
        let signed = self.attempt(batch);
        assert!(self.takes(Body::AttemptSigned(signed.clone())));
        signed
    }

    pub(crate) fn mined(&mut self, plan: &BatchPlanned, skip: &[u64]) -> BatchMined {
        self.block += 1;
        // What is skipped lies in the first round that the batch names.
        let round = plan.words.first().map_or(1, |w| w.round);
        let passes = |w: &WordMask, i: &u64| w.round != round || !skip.contains(i);
        let left = plan.words.iter().flat_map(|w| words(w.round, w.indexes().filter(|i| passes(w, i))));
        let paid: Vec<WordMask> = left.collect();
        BatchMined {
            campaign: campaign(1),
            batch: plan.batch,
            block: self.at(self.block),
            tx_hash: hash(self.tx),
            paid_total: sum(indexes(&paid)),
            paid,
            skipped: skip.iter().map(|i| skipped(round, *i)).collect(),
        }
    }

    pub(crate) fn mine(&mut self, plan: &BatchPlanned, skip: &[u64]) -> BlockRef {
        let mined = self.mined(plan, skip);
        let block = mined.block;
        assert!(self.takes(Body::BatchMined(mined)));
        block
    }

    pub(crate) fn unmine(&mut self, batch: u64, block: BlockRef) {
        assert!(self.takes(Body::BatchUnmined(BatchAt { campaign: campaign(1), batch, block })));
    }

    pub(crate) fn final_of(&self, batch: u64, block: BlockRef) -> Body {
        let void = self.state().void_paid(campaign(1), batch).unwrap();
        let void_paid = void.into_iter().map(|id| (id, amount(id.index))).collect();
        Body::BatchFinal(BatchFinal { campaign: campaign(1), batch, block, void_paid })
    }

    pub(crate) fn finalize(&mut self, batch: u64, block: BlockRef) {
        let body = self.final_of(batch, block);
        assert!(self.takes(body));
    }

    /// Plans, signs, mines and finalises batches until the planner has nothing left; returns who was paid.
    pub(crate) fn settle(&mut self) -> Vec<u64> {
        let mut paid = Vec::new();
        while let Some(plan) = self.plan() {
            self.sign(plan.batch);
            let block = self.mine(&plan, &[]);
            self.finalize(plan.batch, block);
            paid.extend(indexes(&plan.words));
        }
        paid
    }

    // What is said of entitlements and funds.
}
