//! Where a payment stands, as JSON: the one table of states (DESIGN.md §2) in API words.

use alloy_primitives::{B256, Bytes};
use serde::Serialize;
use sluice_core::ids::BlockRef;
use sluice_core::state::status::ClaimState;
use utoipa::ToSchema;

/// A state with what belongs to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StateView {
    /// `waiting`, `decided`, `held`, `batched`, `sent`, `paid`, `final`, `refused`, `voided` or `skipped`.
    #[schema(example = "decided")]
    state: &'static str,
    /// The same for the claimant.
    sentence: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The batch it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u64>,
    /// The transaction that pays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    transaction: Option<B256>,
    /// The block that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BlockView>)]
    block: Option<BlockRef>,
    /// What the token said when the transfer failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Bytes>,
    /// Whether the transfer is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<bool>,
}

/// A block.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockView {
    /// Height.
    number: u64,
    /// Hash.
    hash: String,
}

impl From<&ClaimState> for StateView {
    fn from(state: &ClaimState) -> Self {
        let mut view = Self {
            state: state.as_str(),
            sentence: state.sentence(),
            code: None,
            batch: None,
            transaction: None,
            block: None,
            reason: None,
            retry: None,
        };
        match state {
            ClaimState::Waiting
            | ClaimState::Decided
            | ClaimState::Held
            | ClaimState::Final
            | ClaimState::Voided => {}
            ClaimState::Batched(batch) => view.batch = Some(*batch),
            ClaimState::Sent(batch, transaction) => {
                view.batch = Some(*batch);
                view.transaction = Some(*transaction);
            }
            ClaimState::Paid(block, transaction) => {
                view.block = Some(*block);
                view.transaction = Some(*transaction);
            }
            ClaimState::Refused(code) => view.code = Some(code.as_str()),
            ClaimState::Skipped { reason, retry } => {
                view.reason = Some(reason.clone());
                view.retry = Some(*retry);
            }
        }
        view
    }
}
