//! Masks that a gate signed: every signature is checked against the key of its version, as the Distributor will check it.

use alloy_primitives::{B256, Bytes};
use sluice_chain::actions::gate_digest;
use sluice_chain::calls::GateContent;
use sluice_chain::{Chain, ChainError};
use sluice_core::ids::{BlockRef, ContractRef, RoundNo};
use sluice_core::limits::{GATE_WORDS_MAX, SIGNATURE_BYTES_MAX};
use sluice_core::log::entry::{GateMask, GateSigned, WordMask};
use sluice_core::refusal::Code;
use sluice_core::signing::address_signer;
use sluice_core::state::State;

use super::Verifier;
use super::door::{Kind, LookUpFor};
use crate::error::EngineError;
use crate::recover::signer_of;

impl GateWordsOf {
    fn digest(&self, version: u16, mask: &GateMask) -> Option<B256> {
        let rules_hash = self.rules.iter().find(|(round, _)| *round == mask.round)?.1;
        let content = GateContent {
            mask: WordMask { round: mask.round, word: mask.word, mask: mask.mask },
            as_of_seq: mask.as_of,
            expiry: mask.expiry,
        };
        gate_digest(self.distributor, version.into(), rules_hash, &content).ok()
    }
}

/// What State says of a gate version's key and the rounds that ask for it.
struct GateWordsOf {
    distributor: ContractRef,
    signer: Bytes,
    rules: Vec<(RoundNo, B256)>,
}

impl Verifier {
    /// Whether every mask is signed by the gate version's key.
    ///
    /// # Errors
    /// When the key is a contract and its chain cannot be reached; [`EngineError::LookUpsFull`] where there is no room to ask
    /// it at the door.
    pub async fn gate_words(
        &self,
        signed: &GateSigned,
        asker: LookUpFor,
    ) -> Result<Result<(), Code>, EngineError> {
        if signed.words.is_empty() || signed.words.len() > GATE_WORDS_MAX {
            return Ok(Err(Code::TooMany));
        }
        if signed.words.iter().any(|mask| mask.signature.len() > SIGNATURE_BYTES_MAX) {
            return Ok(Err(Code::BadSignature));
        }
        let known = self.follower.read(|state| {
            let campaign = state.campaign(signed.campaign)?;
            let gate = campaign.gates.get(&signed.version)?;
            let rounds = campaign.rounds.values().filter(|r| r.terms.gate == u64::from(signed.version));
            Some(GateWordsOf {
                distributor: campaign.terms.distributor,
                signer: gate.terms.signer.clone(),
                rules: rounds.map(|r| (r.terms.round, r.terms.rules_hash)).collect(),
            })
        });
        let Some(known) = known else { return Ok(Err(Code::UnknownGate)) };
        // Masks are public: those known already are not worth a look at their signatures.
        if self.follower.read(|state| is_known(state, signed)) {
            return Ok(Err(Code::GateMismatch));
        }
        let mut by_contract = Vec::new();
        for mask in &signed.words {
            let Some(digest) = known.digest(signed.version, mask) else { return Ok(Err(Code::GateMismatch)) };
            let by_key = address_signer(&known.signer)
                .is_some_and(|address| signer_of(digest, &mask.signature) == Some(address));
            if !by_key {
                by_contract.push((digest, &mask.signature));
            }
        }
        let mut by_contract = by_contract.into_iter();
        let Some(first) = by_contract.next() else { return Ok(Ok(())) };
        // All of them are one look-up: whoever began it need not find room again for each.
        let ask = |chain: Chain| all_signed(chain, &known.signer, first, by_contract);
        let (good, _) = self.look_up(asker, Kind::Order, known.distributor.chain_id, ask).await?;
        Ok(if good { Ok(()) } else { Err(Code::BadSignature) })
    }
}

/// Whether a contract signed all of these, with the block that was looked at last.
async fn all_signed(
    chain: Chain,
    signer: &[u8],
    (digest, signature): (B256, &Bytes),
    more: impl Iterator<Item = (B256, &Bytes)>,
) -> Result<(bool, BlockRef), ChainError> {
    let mut seen = chain.is_valid_signer_signature(signer, digest, signature).await?;
    for (digest, signature) in more {
        if !seen.0 {
            break;
        }
        seen = chain.is_valid_signer_signature(signer, digest, signature).await?;
    }
    Ok(seen)
}

/// Whether every mask says no more than the log knows.
fn is_known(state: &State, signed: &GateSigned) -> bool {
    let Some(campaign) = state.campaign(signed.campaign) else { return false };
    signed.words.iter().all(|word| {
        campaign
            .approved
            .get(&(word.round, word.word))
            .is_some_and(|known| known.mask == word.mask && known.expiry >= word.expiry)
    })
}
