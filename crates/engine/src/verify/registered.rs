//! Whether a Distributor may become a campaign: registered by M of N, and what the signed terms say it is.

use alloy_primitives::Address;
use sluice_chain::{At, Chain, ChainError, Class};
use sluice_core::command::CampaignTerms;
use sluice_core::decide::Listed;
use sluice_core::ids::BlockRef;
use sluice_core::refusal::Code;

use super::Verifier;
use crate::error::EngineError;

impl Verifier {
    /// A Distributor becomes a campaign if the Charter registered it and it is, deployed where it is, what the command
    /// says. With the block that was looked at.
    pub(super) async fn registered(
        &self,
        terms: &CampaignTerms,
    ) -> Result<Result<(Listed, BlockRef), Code>, EngineError> {
        let at = terms.distributor;
        let Ok(chain) = self.chain(at.chain_id) else { return Ok(Err(Code::NotRegistered)) };
        let charter = self.follower.read(|s| s.charters.get(&at.chain_id).map(|c| c.charter.address));
        let Some(charter) = charter else { return Ok(Err(Code::NotRegistered)) };
        let _permit = self.look_up_permit(at.chain_id).await?;
        if !chain.is_registered(charter, at.address).await? {
            return Ok(Err(Code::NotRegistered));
        }
        let told = match chain.distributor_terms(at.address).await {
            // Something that is no Distributor, or a token without decimals: asking again changes nothing.
            Err(error) if error.class() == Class::Final => return Ok(Err(Code::NotRegistered)),
            told => told?,
        };
        // A registration is never taken back and a Distributor's terms never change: what was found holds here, too.
        let looked_at = chain.latest().await?;
        let same = told.token == terms.token && told.charter == charter && told.decimals == terms.decimals;
        if !same || !is_deployed_at(chain, at.address, terms.deployed_at, looked_at).await? {
            return Ok(Err(Code::WrongTerms));
        }
        Ok(Ok((Listed::Nothing, looked_at)))
    }
}

/// Whether a contract's code stands at this height and not below. A later one would hide from the log what happened
/// before it. A node that keeps no old states cannot say; then only that the height was reached is known.
async fn is_deployed_at(
    chain: &Chain,
    contract: Address,
    block: u64,
    looked_at: BlockRef,
) -> Result<bool, EngineError> {
    if block > looked_at.number {
        return Ok(false);
    }
    let before = match block.checked_sub(1) {
        Some(before) => has_code(chain, contract, before).await?,
        None => Some(false),
    };
    Ok(before != Some(true) && has_code(chain, contract, block).await? != Some(false))
}

/// Whether there is code at this height; `None` if the node answered that it cannot say.
async fn has_code(chain: &Chain, contract: Address, block: u64) -> Result<Option<bool>, EngineError> {
    match chain.code(contract, At::Number(block)).await {
        Ok(code) => Ok(Some(!code.is_empty())),
        Err(ChainError::Rpc { source, .. }) if source.as_error_resp().is_some() => {
            tracing::warn!(%contract, block, error = %source, "the node does not know this old state");
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}
