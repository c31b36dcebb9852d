//! What a transaction would do, before it is signed.
//!
//! `eth_simulateV1` (geth, reth, nethermind, erigon, anvil) tells the events too, and with them which items would be
//! skipped. Nodes without it still tell whether the whole call reverts; single items are then probed one by one.

use alloy::rpc::types::Log;
use alloy_primitives::{Address, Bytes, U64, U256};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_core::ids::{CampaignId, EntitlementId};
use sluice_core::log::entry::Skipped;

use crate::error::ChainError;
use crate::events::{CampaignEvent, distributor_event};
use crate::limits::{READS_IN_FLIGHT, REASON_BYTES_MAX};
use crate::revert::{Revert, RevertKind};
use crate::rpc::{At, Chain, as_revert};

/// A call to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimCall {
    /// Who would send it.
    pub from: Address,
    /// The contract.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
}

impl SimCall {
    fn request(&self) -> Value {
        json!({ "from": self.from, "to": self.to, "input": self.data, "gas": U64::from(self.gas_limit) })
    }
}

/// What a call would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// It succeeds.
    Succeeds {
        /// Gas it uses, refunds deducted. The limit must be higher: transfers demand gas in hand.
        gas_used: u64,
        /// What the called contract says; `None` where the node cannot tell.
        logs: Option<Vec<Log>>,
    },
    /// It reverts.
    Reverts(Revert),
}

impl Simulated {
    /// The Distributor's events, where the node told them.
    ///
    /// # Errors
    /// An event nobody knows.
    pub fn events(
        &self,
        campaign: CampaignId,
        distributor: Address,
    ) -> Result<Option<Vec<CampaignEvent>>, ChainError> {
        let Self::Succeeds { logs: Some(logs), .. } = self else { return Ok(None) };
        let ours = logs.iter().filter(|log| log.address() == distributor);
        ours.map(|log| distributor_event(campaign, log)).collect::<Result<_, _>>().map(Some)
    }

    /// Who would be skipped, where the node told the events.
    ///
    /// # Errors
    /// An event nobody knows.
    pub fn skipped(&self, distributor: Address) -> Result<Option<Vec<Skipped>>, ChainError> {
        let events = self.events(CampaignId::default(), distributor)?;
        Ok(events.map(|events| {
            let skipped = events.into_iter().filter_map(|event| match event {
                CampaignEvent::ItemSkipped { entitlement, reason } => Some(Skipped { entitlement, reason }),
                _ => None,
            });
            skipped.collect()
        }))
    }
}

#[derive(Debug, Deserialize)]
struct SimBlock {
    calls: Vec<SimResult>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SimResult {
    status: U64,
    gas_used: U64,
    #[serde(default)]
    return_data: Bytes,
    #[serde(default)]
    logs: Vec<Log>,
    error: Option<SimFailure>,
}

#[derive(Debug, Deserialize)]
struct SimFailure {
    message: String,
    data: Option<Bytes>,
}

impl From<SimResult> for Simulated {
    fn from(result: SimResult) -> Self {
        if result.status != U64::ZERO {
            return Self::Succeeds { gas_used: result.gas_used.to(), logs: Some(result.logs) };
        }
        let (message, data) = result.error.map_or((String::new(), None), |e| (e.message, e.data));
        let data = if result.return_data.is_empty() { data.unwrap_or_default() } else { result.return_data };
        let mut revert = Revert::decode(data);
        if revert.data.is_empty() && !message.is_empty() {
            revert.text = message;
        }
        Self::Reverts(revert)
    }
}

impl Chain {
    /// Tries calls one after another on one state, each seeing what those before it did; batches in flight may so be
    /// put before the one in question. Nodes without `eth_simulateV1` see only the last call, on `at`.
    ///
    /// # Errors
    /// No answer.
    pub async fn simulate(&self, calls: &[SimCall], at: At) -> Result<Vec<Simulated>, ChainError> {
        let Some(last) = calls.last() else { return Ok(Vec::new()) };
        let requests: Vec<_> = calls.iter().map(SimCall::request).collect();
        let payload = json!({ "blockStateCalls": [{ "calls": requests }], "validation": false });
        match self.read::<Vec<SimBlock>>("eth_simulateV1", json!([payload, at.param()])).await {
            Ok(blocks) => {
                let results: Vec<_> = blocks.into_iter().flat_map(|b| b.calls).map(Simulated::from).collect();
                match results.len() == calls.len() {
                    true => Ok(results),
                    false => Err(ChainError::Malformed {
                        what: "eth_simulateV1",
                        problem: format!("{} results for {} calls", results.len(), calls.len()),
                    }),
                }
            }
            Err(error) if is_unknown_method(&error) => Ok(vec![self.try_call(last, at).await?]),
            Err(error) => Err(error),
        }
    }

    /// Whether one call reverts, and what it uses, by the methods every node has.
    ///
    /// # Errors
    /// No answer.
    pub async fn try_call(&self, call: &SimCall, at: At) -> Result<Simulated, ChainError> {
        match self.estimate(call.from, Some(call.to), &call.data, U256::ZERO, at).await {
            Ok(gas_used) => Ok(Simulated::Succeeds { gas_used, logs: None }),
            Err(ChainError::Reverted { revert, .. }) => Ok(Simulated::Reverts(revert)),
            Err(error) => Err(error),
        }
    }

    /// Finds items that would be skipped by trying a call for each of them alone: a settlement in which every transfer
    /// fails reverts with the first one's reason.
    ///
    /// # Errors
    /// No answer.
    pub async fn poison(
        &self,
        items: &[(EntitlementId, SimCall)],
        at: At,
    ) -> Result<Vec<Skipped>, ChainError> {
        let probes = items.iter().map(|(entitlement, call)| async move {
            let Simulated::Reverts(revert) = self.try_call(call, at).await? else { return Ok(None) };
            match revert.kind {
                RevertKind::NothingPaid(reason) => {
                    let reason = reason.slice(..reason.len().min(REASON_BYTES_MAX));
                    Ok(Some(Skipped { entitlement: *entitlement, reason }))
                }
                // Not the token's refusal but a fault of the call: it would be the same for every item.
                _ => Err(ChainError::Reverted { call: "settleSparse", revert }),
            }
        });
        let found: Vec<Option<Skipped>> =
            stream::iter(probes).buffered(READS_IN_FLIGHT).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The least gas limit with which a transaction succeeds.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with the reason if none does, or no answer.
    pub async fn estimate(
        &self,
        from: Address,
        to: Option<Address>,
        data: &Bytes,
        value: U256,
        at: At,
    ) -> Result<u64, ChainError> {
        let mut tx = json!({ "from": from, "input": data, "value": value });
        if let Some(to) = to {
            tx["to"] = json!(to);
        }
        let gas = self.read::<U64>("eth_estimateGas", json!([tx, at.param()])).await;
        gas.map(|gas| gas.to()).map_err(|error| as_revert("transaction", error))
    }
}

fn is_unknown_method(error: &ChainError) -> bool {
    error.response().is_some_and(|payload| {
        let message = payload.message.to_lowercase();
        payload.code == -32601 || message.contains("not supported") || message.contains("does not exist")
    })
}
