//! Who signed a command: keys of institutions in the Charter or in the log, a vendor's key under a delegation, or a
//! person's own address.

use alloy_primitives::{B256, Bytes};
use sluice_chain::Chain;
use sluice_core::command::{Action, Approval, Command};
use sluice_core::decide::SignerSeen;
use sluice_core::ids::{BlockRef, ContractRef, DemandId};
use sluice_core::refusal::Code;
use sluice_core::signing::{address_signer, command_digest};
use sluice_core::state::State;

use super::Verifier;
use super::door::{Kind, LookUpFor};
use crate::error::EngineError;
use crate::recover::signer_of;

/// A command's approvals, found good.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The Charter's set version they were checked under.
    pub set_version: u64,
    /// Who signed, in the command's order.
    pub signers: Vec<SignerSeen>,
    /// The block that look-ups saw.
    pub looked_at: Option<BlockRef>,
}

/// What State says of a command's signers before any signature is looked at.
struct Known {
    charter: ContractRef,
    set_version: u64,
    signers: Vec<SignerSeen>,
}

impl Verifier {
    /// Checks every approval of a command: a key that speaks for its institution, each institution once, the signature
    /// good.
    ///
    /// # Errors
    /// When a signer is a contract and the chain cannot be reached; [`EngineError::LookUpsFull`] where there is no room to ask
    /// it at the door.
    pub async fn approvals(
        &self,
        id: DemandId,
        command: &Command,
        asker: LookUpFor,
    ) -> Result<Result<Signed, Code>, EngineError> {
        let known = match self.follower.read(|state| known(state, command)) {
            Ok(known) => known,
            Err(code) => return Ok(Err(code)),
        };
        let mut looked_at = None;
        for approval in &command.approvals {
            let Some(digest) = command_digest(command, id, approval.authority, known.charter) else {
                return Ok(Err(Code::BadSignature));
            };
            let by_key = address_signer(&approval.signer)
                .is_some_and(|address| signer_of(digest, &approval.signature) == Some(address));
            if !by_key {
                let (good, block) = self.contract_approval(asker, known.charter, approval, digest).await?;
                if !good {
                    return Ok(Err(Code::BadSignature));
                }
                looked_at = Some(block);
            }
        }
        let Known { set_version, signers, .. } = known;
        Ok(Ok(Signed { set_version, signers, looked_at }))
    }

    async fn contract_approval(
        &self,
        asker: LookUpFor,
        charter: ContractRef,
        approval: &Approval,
        digest: B256,
    ) -> Result<(bool, BlockRef), EngineError> {
        let ask = |chain: Chain| async move {
            chain.is_valid_signer_signature(&approval.signer, digest, &approval.signature).await
        };
        self.look_up(asker, Kind::Order, charter.chain_id, ask).await
    }
}

fn known(state: &State, command: &Command) -> Result<Known, Code> {
    let charter = state.home_charter().ok_or(Code::NotAuthorized)?;
    let mut signers: Vec<SignerSeen> = Vec::with_capacity(command.approvals.len());
    for (at, approval) in command.approvals.iter().enumerate() {
        let authority = approval.authority;
        let speaks = match (authority.is_zero(), at) {
            (true, _) => is_own(state, command, &approval.signer),
            (false, 0) if !command.delegation.is_zero() => vendor(state, command) == Some(&approval.signer),
            (false, _) => state.authority_of(&approval.signer) == Some(authority),
        };
        if !speaks || signers.iter().any(|s| s.authority == authority) {
            return Err(Code::NotAuthorized);
        }
        signers.push(SignerSeen { authority, key_version: state.key_version(authority) });
    }
    if signers.is_empty() {
        return Err(Code::QuorumMissing);
    }
    Ok(Known { charter: charter.charter, set_version: charter.view.set_version, signers })
}

/// Whether a person signs about what is theirs, alone and with the address they are paid at. It is asked before any look-up:
/// everybody has an address, and nobody else's affairs are worth work for strangers.
fn is_own(state: &State, command: &Command, signer: &[u8]) -> bool {
    let Some(address) = address_signer(signer) else { return false };
    let alone = command.approvals.len() == 1 && command.mandate.is_zero() && command.delegation.is_zero();
    alone
        && match &command.action {
            Action::ChangePayee { person, .. } => {
                state.persons.get(person).is_some_and(|p| p.payee == address)
            }
            Action::FileAppeal { .. } => true,
            _ => false,
        }
}

fn vendor<'a>(state: &'a State, command: &Command) -> Option<&'a Bytes> {
    state.delegations.get(&command.delegation).filter(|d| !d.ended).map(|d| &d.terms.vendor)
}
