//! Gate versions, holds and pauses.

use alloy_primitives::{Address, B256, Bytes, U256};
use futures::stream::{self, StreamExt, TryStreamExt};
use sluice_core::ids::RoundNo;
use sluice_core::log::entry::WordMask;

use crate::bindings::{Charter, Distributor, Warden};
use crate::decode::{gate, small, word_mask};
use crate::error::ChainError;
use crate::limits::READS_IN_FLIGHT;
use crate::rpc::{At, Chain};

/// A gate version as the contracts have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateVersion {
    /// Its key, as ERC-7913 signer bytes.
    pub signer: Bytes,
    /// The rule sets it stands for.
    pub rules_hash: B256,
    /// Unix seconds.
    pub installed_at: u64,
    /// Nothing is paid on its word until then, Unix seconds; 0 or past if it counts.
    pub disabled_until: u64,
}

/// A hold that stands or stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldOnChain {
    /// What it holds; no bits once it has ended.
    pub mask: WordMask,
    /// Unix seconds.
    pub placed_at: u64,
    /// From then on anyone may end it, Unix seconds; until somebody does, it holds.
    pub expires_at: u64,
    /// Who placed it: bit i is institution i of the Charter's set of `set_version`.
    pub placed_by: u32,
    /// The set version it was signed under.
    pub set_version: u64,
    /// Whether M placed it or a second institution confirmed it.
    pub firm: bool,
}

impl Chain {
    /// The contract that keeps gate keys and holds of a Charter's Distributors.
    ///
    /// # Errors
    /// No answer.
    pub async fn warden(&self, charter: Address, at: At) -> Result<Address, ChainError> {
        self.view(charter, Charter::wardenCall {}, at).await
    }

    /// A gate version of a Distributor; `None` if it is not installed.
    ///
    /// # Errors
    /// [`ChainError::DoesNotFit`] for a version above a uint16; no answer.
    pub async fn gate_version(
        &self,
        warden: Address,
        distributor: Address,
        version: u64,
        at: At,
    ) -> Result<Option<GateVersion>, ChainError> {
        let call = Warden::gateOfCall { distributor, gateVersion: gate(version)? };
        let view = self.view(warden, call, at).await?;
        Ok((view.installedAt != 0).then_some(GateVersion {
            signer: view.signer,
            rules_hash: view.rulesHash,
            installed_at: view.installedAt,
            disabled_until: view.disabledUntil,
        }))
    }

    /// A hold of a Distributor; `None` if there never was one with this id. Ids count from 1.
    ///
    /// # Errors
    /// No answer.
    pub async fn hold(
        &self,
        warden: Address,
        distributor: Address,
        id: u64,
        at: At,
    ) -> Result<Option<HoldOnChain>, ChainError> {
        let view = self.view(warden, Warden::holdOfCall { distributor, id: U256::from(id) }, at).await?;
        if view.placedAt == 0 {
            return Ok(None);
        }
        Ok(Some(HoldOnChain {
            mask: word_mask(view.roundNo, view.word, view.mask)?,
            placed_at: view.placedAt,
            expires_at: view.expiresAt,
            placed_by: view.placedBy,
            set_version: view.setVersion,
            firm: view.firm,
        }))
    }

    /// How many holds a Distributor ever had.
    ///
    /// # Errors
    /// No answer.
    pub async fn hold_count(&self, warden: Address, distributor: Address, at: At) -> Result<u64, ChainError> {
        small("holdCount", self.view(warden, Warden::holdCountCall { distributor }, at).await?)
    }

    /// Whether an entitlement is held.
    ///
    /// # Errors
    /// No answer.
    pub async fn is_held(
        &self,
        distributor: Address,
        round: RoundNo,
        index: u64,
        at: At,
    ) -> Result<bool, ChainError> {
        let call = Distributor::isHeldCall { roundNo: U256::from(round), index: U256::from(index) };
        self.view(distributor, call, at).await
    }

    /// Held bits of these words of a round, as [`Self::paid_words`].
    ///
    /// # Errors
    /// No answer.
    pub async fn held_words(
        &self,
        distributor: Address,
        round: RoundNo,
        words: impl IntoIterator<Item = u64>,
        at: At,
    ) -> Result<Vec<[u64; 4]>, ChainError> {
        let calls = words.into_iter().map(|word| {
            let call = Distributor::heldWordCall { roundNo: U256::from(round), word: U256::from(word) };
            async move { Ok(self.view(distributor, call, at).await?.into_limbs()) }
        });
        stream::iter(calls).buffered(READS_IN_FLIGHT).try_collect().await
    }

    /// Until when payments are paused, Unix seconds; 0 or past if they are not.
    ///
    /// # Errors
    /// No answer.
    pub async fn paused_until(&self, distributor: Address, at: At) -> Result<u64, ChainError> {
        self.view(distributor, Distributor::pausedUntilCall {}, at).await
    }

    /// Until when the whole campaign is held, Unix seconds; 0 or past if it is not.
    ///
    /// # Errors
    /// No answer.
    pub async fn held_until(&self, distributor: Address, at: At) -> Result<u64, ChainError> {
        self.view(distributor, Distributor::heldUntilCall {}, at).await
    }
}
