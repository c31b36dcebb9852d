//! Taking a chain's epoch: one transaction of the control account, by the rules of a lane's lowest nonce. It is raised
//! at its nonce until it is mined, and nobody waits for it meanwhile: batches are planned, other chains settle. Nothing
//! of it needs to be remembered: a successor takes a higher epoch, at the same nonce if that is free.

use alloy_primitives::{B256, Bytes, U256};
use sluice_chain::send::{Outcome, node_cap};
use sluice_chain::signer::TxRequest;
use sluice_chain::{At, calls};
use sluice_core::fees::{FeePolicy, Fees};
use sluice_core::sender::{Alone, alone};

use super::Settlement;
use super::attempt::is_outbid;
use super::doubts::Doubts;
use crate::error::EngineError;

/// What was signed to take the epoch.
#[derive(Debug, Default)]
pub(super) struct Taking {
    nonce: u64,
    signed: Vec<Offer>,
    /// The height at which the last one was sent; `None` if none is known to have left.
    sent_at: Option<u64>,
    /// Sends of which nobody knows what came of them.
    doubts: Doubts,
    /// Whether it was said that it waits for fees.
    told: bool,
}

#[derive(Debug)]
struct Offer {
    hash: B256,
    raw: Bytes,
    fees: Fees,
    cost: u128,
}

impl Settlement {
    /// Whether the chain knows this epoch; does the next step towards it if it does not. Until then every settlement
    /// would revert.
    pub(super) async fn take_epoch(&mut self) -> Result<bool, EngineError> {
        let on_chain = self.chain.epoch(self.charter, At::Latest).await?;
        if on_chain > self.epoch {
            return Err(EngineError::Fenced(self.epoch));
        }
        self.has_epoch = on_chain == self.epoch;
        if self.has_epoch {
            self.taking = Taking::default();
        } else {
            self.ask_for_epoch().await?;
        }
        Ok(self.has_epoch)
    }

    async fn ask_for_epoch(&mut self) -> Result<(), EngineError> {
        let account = self.control.address();
        let nonce = self.chain.nonce(account, At::Latest).await?;
        if nonce != self.taking.nonce {
            // What was signed before is mined, and did not take the epoch, or is about to be seen to have taken it:
            // then the estimate below reverts.
            self.taking = Taking { nonce, ..Taking::default() };
        }
        let data = calls::take_epoch(self.epoch);
        let gas = self.chain.estimate(account, Some(self.charter), &data, U256::ZERO, At::Latest).await?;
        // A fifth more, because state moves between estimate and block.
        let gas_limit = (gas + gas / 5).min(self.chain.config().transaction_gas_cap);
        let market = self.chain.fees().await?;
        let height = self.chain.latest().await?.number;
        let cap = self.node_cap.wei().unwrap_or(u128::MAX);
        let policy =
            FeePolicy { max_transaction_fee: self.policy.max_transaction_fee.min(cap), ..self.policy };
        let held = self.taking.signed.iter().filter(|offer| offer.cost <= cap);
        let offers: Vec<Fees> = held.map(|offer| offer.fees).collect();
        let waited = self.taking.sent_at.map(|at| height.saturating_sub(at));
        match alone(&policy, market, gas_limit, &offers, self.taking.signed.len(), waited) {
            Alone::Wait => Ok(()),
            Alone::Again => self.send_taking(height).await,
            Alone::WaitsForFees { asked, most } => {
                if !std::mem::replace(&mut self.taking.told, true) {
                    tracing::warn!(
                        chain = self.chain.id(),
                        asked,
                        most,
                        "taking the epoch waits for fees to fall"
                    );
                }
                Ok(())
            }
            Alone::Sign(fees) => {
                let signed = self.control.sign(&TxRequest {
                    chain_id: self.chain.id(),
                    nonce,
                    to: Some(self.charter),
                    data,
                    gas_limit,
                    fees,
                    value: U256::ZERO,
                })?;
                tracing::info!(chain = self.chain.id(), epoch = self.epoch, nonce, tx = %signed.hash,
                    max_fee = fees.max_fee, "taking the epoch on chain");
                let cost = fees.max_fee.saturating_mul(u128::from(gas_limit));
                self.taking.signed.push(Offer { hash: signed.hash, raw: signed.raw, fees, cost });
                self.send_taking(height).await
            }
        }
    }

    /// Sends the last one that nodes may take.
    async fn send_taking(&mut self, height: u64) -> Result<(), EngineError> {
        let cap = self.node_cap.wei().unwrap_or(u128::MAX);
        let Some(last) = self.taking.signed.iter().rfind(|offer| offer.cost <= cap) else { return Ok(()) };
        match self.chain.broadcast(&last.raw).await {
            Ok(_) => {
                self.node_cap.took(last.cost);
                self.taking.sent_at = Some(height);
            }
            Err(error) if self.taking.doubts.again(last.hash, error.outcome) => {
                tracing::warn!(tx = %last.hash, error = %error, "nobody knows whether taking the epoch was taken; it is sent again");
            }
            Err(error) if error.outcome.may_be_accepted() => self.taking.sent_at = Some(height),
            Err(error) if error.outcome == Outcome::FeeAboveNodeCap => {
                tracing::warn!(tx = %last.hash, error = %error, "nodes refuse what taking the epoch may cost");
                self.node_cap.refused(last.cost, node_cap(&error.message));
                self.taking.sent_at = None;
            }
            // What sits at this nonce offers more: a takeover of before. The next step outbids it.
            Err(error) if is_outbid(error.outcome) => self.taking.sent_at = Some(0),
            Err(error) => {
                tracing::warn!(tx = %last.hash, error = %error, "taking the epoch was not accepted; it is sent again");
            }
        }
        Ok(())
    }
}
