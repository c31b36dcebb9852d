//! Papers: a command to the log and the actions on chain that belong to it, with the signatures collected so far.
//!
//! They are a JSON file with readable fields that goes from institution to institution; each adds its signatures where
//! its key is, offline. What is signed is computed from the fields shown, never taken from the file as a hash.

use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls::Approvals;
use sluice_chain::signer::Account;
use sluice_core::command::{Action, Approval, Command, RoundTerms};
use sluice_core::ids::{ContractRef, DemandId, RoundNo, Seq};
use sluice_core::log::entry::WordMask;
use sluice_core::signing::{address_signer, command_digest};

use crate::api_client::CharterInfo;
use crate::cli::reach::new_demand;

/// How long signatures may be collected, seconds. A week reaches every institution and is short enough that a
/// forgotten file does no harm.
pub const COLLECT_SECONDS: u64 = 7 * 86_400;

/// A file that collects signatures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Papers {
    /// What it is for, in words. Not signed.
    pub purpose: String,
    /// The Charter under which it is signed.
    pub charter: ContractRef,
    /// The Charter's set version; a later one voids the signatures.
    pub set_version: u64,
    /// Institutions it takes.
    pub needed: u16,
    /// Who may sign: institutions with their keys.
    pub institutions: Vec<Signatory>,
    /// What the log is told.
    pub command: Option<OffChain>,
    /// What the contracts are told.
    pub actions: Vec<OnChain>,
}

/// An institution with its keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatory {
    /// Its id.
    pub id: B256,
    /// Its keys, ERC-7913.
    pub signers: Vec<Bytes>,
}

/// A command with its id, which is signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffChain {
    /// The command's id.
    pub id: DemandId,
    /// The command, with the signatures so far as `approvals`.
    pub command: Command,
}

/// An action on chain, with the signatures so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChain {
    /// What.
    pub action: Deed,
    /// How many institutions act together. It is signed where fewer may do less of the same: then fewer signatures are
    /// worth nothing, and more are worth no more.
    pub together: u8,
    /// Last second at which the signatures may be used, Unix seconds.
    pub deadline: u64,
    /// The signatures so far.
    pub signatures: Vec<Approval>,
}

/// What authorities order a contract to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// Register a Distributor at the Charter.
    RegisterDistributor {
        /// Which.
        distributor: Address,
    },
    /// Publish a round.
    Publish {
        /// Where.
        distributor: Address,
        /// The round.
        terms: Box<RoundTerms>,
    },
    /// Annul one entitlement.
    Void {
        /// Where.
        distributor: Address,
        /// The round.
        round: RoundNo,
        /// The entitlement.
        index: u64,
    },
    /// Install a gate version, for good.
    InstallGate {
        /// Where.
        distributor: Address,
        /// Its number, from 1.
        version: u16,
        /// The gate's key, as ERC-7913 signer bytes.
        signer: Bytes,
        /// The hash of what the gate asks for, as the log has it.
        rules_hash: B256,
    },
    /// Hold entitlements of one word of 256.
    Hold {
        /// Where.
        distributor: Address,
        /// The round.
        round: RoundNo,
        /// The entitlements, ascending.
        indexes: Vec<u64>,
        /// Why; the contract is told its hash.
        reason: String,
        /// Any number not used before with the same fields; here and below.
        nonce: u64,
    },
    /// Let a hold last longer.
    ConfirmHold {
        /// Where.
        distributor: Address,
        /// The hold's id on chain.
        hold: u64,
        /// See above.
        nonce: u64,
    },
    /// End a hold.
    Release {
        /// Where.
        distributor: Address,
        /// The hold's id on chain.
        hold: u64,
        /// See above.
        nonce: u64,
    },
    /// Hold the whole campaign.
    HoldCampaign {
        /// Where.
        distributor: Address,
        /// Unix seconds; one that is past ends it.
        until: u64,
        /// See above.
        nonce: u64,
    },
    /// Stop payments.
    Pause {
        /// Where.
        distributor: Address,
        /// Unix seconds; one that is past ends it.
        until: u64,
        /// See above.
        nonce: u64,
    },
}

impl Deed {
    fn on_chain(&self, together: u8) -> anyhow::Result<ChainAction> {
        Ok(match self.clone() {
            Self::RegisterDistributor { distributor } => ChainAction::RegisterDistributor { distributor },
            Self::Publish { distributor, terms } => ChainAction::Publish { distributor, terms },
            Self::Void { distributor, round, index } => {
                ChainAction::Void { distributor, mask: mask_of(round, index) }
            }
            Self::InstallGate { distributor, version, signer, rules_hash } => {
                ChainAction::InstallGate { distributor, version: version.into(), signer, rules_hash }
            }
            Self::Hold { distributor, round, indexes, reason, nonce } => ChainAction::Hold {
                distributor,
                mask: mask_of_all(round, &indexes)?,
                reason: keccak256(reason.as_bytes()),
                together,
                nonce,
            },
            Self::ConfirmHold { distributor, hold, nonce } => {
                ChainAction::ConfirmHold { distributor, hold, together, nonce }
            }
            Self::Release { distributor, hold, nonce } => {
                ChainAction::Release { distributor, hold, together, nonce }
            }
            Self::HoldCampaign { distributor, until, nonce } => {
                ChainAction::HoldCampaign { distributor, until, together, nonce }
            }
            Self::Pause { distributor, until, nonce } => {
                ChainAction::Pause { distributor, until, together, nonce }
            }
        })
    }
}

impl OnChain {
    fn digest(&self, charter: ContractRef, set_version: u64) -> anyhow::Result<B256> {
        Ok(self.action.on_chain(self.together)?.digest(charter, set_version, self.deadline)?)
    }
}

/// The mask that names entitlements of one word.
///
/// # Errors
/// When there are none, or they stand in several words.
pub fn mask_of_all(round: RoundNo, indexes: &[u64]) -> anyhow::Result<WordMask> {
    let first = indexes.first().context("no entitlement is named")?;
    let mut all = mask_of(round, *first);
    for index in indexes {
        let one = mask_of(round, *index);
        ensure!(one.word == all.word, "entitlements {first} and {index} stand in several words of 256");
        all.mask.iter_mut().zip(one.mask).for_each(|(bits, more)| *bits |= more);
    }
    Ok(all)
}

/// The mask that names one entitlement.
pub fn mask_of(round: RoundNo, index: u64) -> WordMask {
    let mut mask = [0; 4];
    let bit = index % 256;
    mask[usize::try_from(bit / 64).expect("below 4")] = 1 << (bit % 64);
    WordMask { round, word: index / 256, mask }
}

impl Papers {
    /// Papers nobody has signed. `now` is the chain's time, Unix seconds; `needed` the institutions they take.
    pub fn new(
        purpose: impl Into<String>,
        charter: &CharterInfo,
        needed: u16,
        now: u64,
        command: Option<(Action, Seq, String)>,
        deeds: Vec<Deed>,
    ) -> Self {
        let deadline = now + COLLECT_SECONDS;
        // A Charter has at most 32 institutions; more than that nobody can collect.
        let together = u8::try_from(needed).unwrap_or(u8::MAX);
        let command = command.map(|(action, subject_version, reason)| OffChain {
            id: new_demand(),
            command: Command {
                action,
                subject_version,
                reason,
                valid_at: now * 1_000,
                deadline: deadline * 1_000,
                mandate: B256::ZERO,
                delegation: B256::ZERO,
                listed_at: None,
                approvals: Vec::new(),
            },
        });
        let signatory =
            |i: &crate::api_client::InstitutionInfo| Signatory { id: i.id, signers: i.signers.clone() };
        Self {
            purpose: purpose.into(),
            charter: ContractRef { chain_id: charter.chain_id, address: charter.address },
            set_version: charter.set_version,
            needed,
            institutions: charter.institutions.iter().map(signatory).collect(),
            command,
            actions: deeds
                .into_iter()
                .map(|action| OnChain { action, together, deadline, signatures: Vec::new() })
                .collect(),
        }
    }

    /// Reads papers.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no papers to sign", path.display()))
    }

    /// Writes papers, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let aside = path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&aside, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Adds an account's signatures; returns its institution. Signing again changes nothing.
    ///
    /// # Errors
    /// When the account speaks for none of the institutions.
    pub fn sign(&mut self, account: &Account) -> anyhow::Result<B256> {
        let signer = account.signer_bytes();
        let speaks = |i: &&Signatory| i.signers.contains(&signer);
        let authority = self.institutions.iter().find(speaks).map(|i| i.id).with_context(|| {
            format!(
                "{} is a key of none of the Charter's institutions; these may sign: {:?}",
                account.address(),
                self.keys()
            )
        })?;
        if let Some(OffChain { id, command }) = &mut self.command
            && command.approvals.iter().all(|a| a.authority != authority)
        {
            let digest = command_digest(command, *id, authority, self.charter)
                .context("the command's place in its list cannot be")?;
            let signature = account.sign_digest(digest)?;
            command.approvals.push(Approval { authority, signer: signer.clone(), signature });
        }
        for paper in &mut self.actions {
            if paper.signatures.iter().all(|a| a.authority != authority) {
                let digest = paper.digest(self.charter, self.set_version)?;
                let signature = account.sign_digest(digest)?;
                paper.signatures.push(Approval { authority, signer: signer.clone(), signature });
            }
        }
        Ok(authority)
    }

    /// The institutions that have signed everything.
    pub fn signed(&self) -> Vec<B256> {
        let by = |approvals: &[Approval], id: B256| approvals.iter().any(|a| a.authority == id);
        let all = |i: &&Signatory| {
            self.command.as_ref().is_none_or(|c| by(&c.command.approvals, i.id))
                && self.actions.iter().all(|a| by(&a.signatures, i.id))
        };
        self.institutions.iter().filter(all).map(|i| i.id).collect()
    }

    /// How many institutions are still missing.
    pub fn missing(&self) -> usize {
        usize::from(self.needed).saturating_sub(self.signed().len())
    }

    /// Checks every ECDSA signature against the fields shown; others only the chain can check.
    ///
    /// # Errors
    /// Naming the signature that does not fit what the file shows.
    pub fn check(&self) -> anyhow::Result<()> {
        let check = |approval: &Approval, digest: B256| {
            let known = self
                .institutions
                .iter()
                .any(|i| i.id == approval.authority && i.signers.contains(&approval.signer));
            ensure!(known, "{} is no key of institution {}", approval.signer, approval.authority);
            let Some(address) = address_signer(&approval.signer) else { return Ok(()) };
            let by = alloy_primitives::Signature::from_raw(&approval.signature)
                .and_then(|signature| signature.recover_address_from_prehash(&digest));
            ensure!(
                by.is_ok_and(|by| by == address),
                "the signature of {address} is not over what this file shows; a contract's signature is checked on chain"
            );
            Ok(())
        };
        if let Some(OffChain { id, command }) = &self.command {
            for approval in &command.approvals {
                let digest = command_digest(command, *id, approval.authority, self.charter);
                check(approval, digest.context("the command's place in its list cannot be")?)?;
            }
        }
        for paper in &self.actions {
            let digest = paper.digest(self.charter, self.set_version)?;
            for approval in &paper.signatures {
                check(approval, digest)?;
            }
        }
        Ok(())
    }

    /// The signatures for a deed, as the contracts take them; `None` if it is not in these papers.
    pub fn approvals(&self, deed: impl Fn(&Deed) -> bool) -> Option<Approvals> {
        let paper = self.actions.iter().find(|paper| deed(&paper.action))?;
        let pair = |a: &Approval| (a.signer.clone(), a.signature.clone());
        Some(Approvals {
            set_version: self.set_version,
            deadline: paper.deadline,
            signatures: paper.signatures.iter().map(pair).collect(),
        })
    }

    fn keys(&self) -> Vec<String> {
        self.institutions.iter().flat_map(|i| i.signers.iter().map(ToString::to_string)).collect()
    }
}
