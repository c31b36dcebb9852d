//! The log, replayed: State as it stands at the head, and by which transaction each entitlement was paid.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use anyhow::Context;
use sluice_core::ids::{CampaignId, EntitlementId, Millis, RoundNo, Seq, StreamId};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_core::log::entry::{Body, ChainEvent};
use sluice_core::state::State;
use sluice_core::state::campaign::Campaign;
use sluice_store::Store;

/// A paying transaction as the log saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    pub(super) transaction: B256,
    /// When the log recorded it.
    pub(super) at: Millis,
}

/// What a replay leaves.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) state: State,
    payments: Vec<Payment>,
    /// By round, for each index 1 + the place of its last payment seen; 0 for none.
    paid_by: BTreeMap<RoundNo, Vec<u32>>,
}

/// Applies every entry of the log, as every node does.
pub(super) async fn replay(store: &Store, stream: StreamId, of: CampaignId) -> anyhow::Result<Replayed> {
    let mut replayed =
        Replayed { state: State::new(stream).unhashed(), payments: Vec::new(), paid_by: BTreeMap::new() };
    loop {
        let after: Seq = replayed.state.seq;
        let rows = store.read_log(stream, after, FOLLOW_ROWS_MAX).await?;
        if rows.is_empty() {
            return Ok(replayed);
        }
        for row in rows {
            let entry = row.decode()?;
            replayed.state.apply(&entry).context("the log cannot be replayed")?;
            replayed.note(of, &entry.body, entry.recorded_at);
        }
    }
}

impl Replayed {
    /// The campaign asked for.
    pub(super) fn campaign(&self, id: CampaignId) -> anyhow::Result<&Campaign> {
        self.state.campaign(id).with_context(|| format!("the log has no campaign {id}"))
    }

    /// By what an entitlement was paid, as last seen. Whether that payment stands, State says.
    pub(super) fn payment(&self, id: EntitlementId) -> Option<Payment> {
        let place = *self.paid_by.get(&id.round)?.get(usize::try_from(id.index).ok()?)?;
        self.payments.get(usize::try_from(place).ok()?.checked_sub(1)?).copied()
    }

    fn note(&mut self, of: CampaignId, body: &Body, at: Millis) {
        match body {
            Body::BatchMined(mined) if mined.campaign == of => {
                self.payments.push(Payment { transaction: mined.tx_hash, at });
                for word in &mined.paid {
                    for index in word.indexes() {
                        self.paid(EntitlementId { round: word.round, index }, of);
                    }
                }
            }
            Body::EventsMined(mined) if mined.campaign == of => {
                for (entitlement, transaction) in mined.events.iter().filter_map(ChainEvent::payment) {
                    self.payments.push(Payment { transaction, at });
                    self.paid(entitlement, of);
                }
            }
            _ => {}
        }
    }

    /// Notes that the last payment paid this.
    fn paid(&mut self, id: EntitlementId, of: CampaignId) {
        // A round that is not announced yet grows with what it pays.
        let count =
            self.state.campaign(of).and_then(|c| c.round(id.round)).map_or(id.index + 1, |r| r.terms.count);
        let by = self.paid_by.entry(id.round).or_default();
        if count > by.len() as u64 {
            by.resize(usize::try_from(count).unwrap_or(0), 0);
        }
        let place = usize::try_from(id.index).ok().and_then(|index| by.get_mut(index));
        if let (Some(place), Ok(last)) = (place, u32::try_from(self.payments.len())) {
            *place = last;
        }
    }
}
