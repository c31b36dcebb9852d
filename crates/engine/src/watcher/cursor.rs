//! What the log's cursor of a chain must say, and under which Charter.

use sluice_core::ids::{BlockRef, ChainId, ContractRef};
use sluice_core::limits::CURSOR_BLOCKS_MAX;
use sluice_core::state::{ChainSeen, State};

use crate::error::EngineError;

/// What is wrong with a Charter as configured, if the log was told of another one there.
pub(crate) fn wrong_charter(state: &State, configured: ContractRef) -> Option<EngineError> {
    let known = state.charters.get(&configured.chain_id)?.charter;
    (known != configured).then(|| {
        EngineError::Config(format!(
            "chains.{}.charter: the log knows {} as its Charter there, the configuration names {}",
            configured.chain_id, known.address, configured.address
        ))
    })
}

/// Whether the log's cursor must move although no entry moves it: a restart would read many blocks again, or something
/// waits for the cursor itself. Recorded blocks wait to become final; of an attempt that was signed, settlement asks
/// whether its nonce went to another transaction in blocks that were read, or are final.
pub(super) fn must_record(state: &State, chain: ChainId, recorded: ChainSeen, now: ChainSeen) -> bool {
    if now.seen == recorded.seen && now.finalized == recorded.finalized {
        return false;
    }
    let becomes_final = |block: BlockRef| block.number <= now.finalized.number;
    now.seen.number >= recorded.seen.number + CURSOR_BLOCKS_MAX
        || state.campaigns.values().filter(|c| c.terms.distributor.chain_id == chain).any(|campaign| {
            campaign.unfinal.values().any(|b| becomes_final(b.block))
                || campaign.batches.values().any(|batch| match &batch.mined {
                    Some(mined) => becomes_final(mined.block),
                    None => batch.is_open() && !batch.attempts.is_empty(),
                })
        })
}
