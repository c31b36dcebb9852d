//! What authorities sign for the contracts: EIP-712 digests in the Charter's domain, one struct per action
//! (`contracts/src/lib/Actions.sol`). Off-chain commands are other structs (`sluice_core::signing`), so a signature
//! under one is worth nothing under the other.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolStruct;
use sluice_core::amount::Total;
use sluice_core::command::RoundTerms;
use sluice_core::ids::{ContractRef, RoundNo};
use sluice_core::log::entry::WordMask;
use sluice_core::signing::domain;

use crate::bindings::actions as typed;
use crate::calls::{Approvals, GateContent};
use crate::decode::{gate, mask_word};
use crate::error::ChainError;
use crate::signer::{Account, KeyError};

/// An action of authorities on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainAction {
    /// Publish the next round. Takes M.
    Publish {
        /// Where.
        distributor: Address,
        /// The round.
        terms: Box<RoundTerms>,
    },
    /// Cancel a round before it opens. Takes M.
    Cancel {
        /// Where.
        distributor: Address,
        /// The round.
        round: RoundNo,
    },
    /// Veto a round before it opens. Takes floor(N/3)+1.
    Veto {
        /// Where.
        distributor: Address,
        /// The round.
        round: RoundNo,
    },
    /// Move a closing to later. Takes M.
    ExtendClosing {
        /// Where.
        distributor: Address,
        /// The round.
        round: RoundNo,
        /// Unix seconds.
        closes_at: u64,
    },
    /// Annul entitlements of one word. Takes M, in EXIT ceil(3N/4).
    Void {
        /// Where.
        distributor: Address,
        /// Which.
        mask: WordMask,
    },
    /// Send base units back before the first opening. Takes M.
    Withdraw {
        /// Where.
        distributor: Address,
        /// Base units.
        amount: Total,
        /// Any number not used before with the same amount.
        nonce: u64,
    },
    /// Register a Distributor with the Charter. Takes M.
    RegisterDistributor {
        /// Which.
        distributor: Address,
    },
    /// Remove a sequencer with all its lanes, at once. Takes floor(N/3)+1.
    RemoveSequencer {
        /// Which.
        sequencer: u32,
        /// Its replacement's control key and lanes.
        replacement: Option<(Address, Vec<Address>)>,
    },
    /// Schedule a new set of institutions. Takes ceil(3N/4).
    ChangeAuthorities {
        /// Names and ERC-7913 signers.
        institutions: Vec<(String, Vec<Bytes>)>,
        /// M.
        publish_threshold: u8,
    },
    /// Schedule one more sequencer. Takes ceil(3N/4).
    AddSequencer {
        /// Its control key.
        control: Address,
        /// Its lanes.
        lanes: Vec<Address>,
    },
    /// Schedule a sequencer's new lanes. Takes ceil(3N/4).
    ChangeLanes {
        /// Which sequencer.
        sequencer: u32,
        /// The full new list.
        lanes: Vec<Address>,
    },
    /// Schedule log keys to add and to revoke. Takes ceil(3N/4).
    ChangeLogKeys {
        /// Ed25519 keys with their names.
        add: Vec<(B256, String)>,
        /// Ed25519 keys.
        revoke: Vec<B256>,
    },
    /// Withdraw a scheduled change. Takes floor(N/3)+1.
    CancelChange {
        /// The change's id.
        change: B256,
    },
    /// Install a gate version, for good. Takes M.
    InstallGate {
        /// Where.
        distributor: Address,
        /// Its number, 1 to 65,535.
        version: u64,
        /// The gate's key, as ERC-7913 signer bytes.
        signer: Bytes,
        /// The rule sets it stands for.
        rules_hash: B256,
    },
    /// Let a gate version not count for a time. Takes one institution for 72 hours, once; M for longer, or to end it.
    DisableGate {
        /// Where.
        distributor: Address,
        /// Which.
        version: u64,
        /// Unix seconds; one that is past ends it.
        until: u64,
        /// How many institutions act together, here and below: fewer signatures are worth nothing, more are worth no more.
        together: u8,
        /// Any number not used before with the same fields; here and below.
        nonce: u64,
    },
    /// Hold entitlements of one word. Takes one institution for 72 hours, M for 30 days.
    Hold {
        /// Where.
        distributor: Address,
        /// Which.
        mask: WordMask,
        /// Hash of the reason.
        reason: B256,
        /// See above.
        together: u8,
        /// See above.
        nonce: u64,
    },
    /// Let a hold last 30 days: a second institution; 30 days more: ceil(3N/4).
    ConfirmHold {
        /// Where.
        distributor: Address,
        /// The hold's id.
        hold: u64,
        /// See above.
        together: u8,
        /// See above.
        nonce: u64,
    },
    /// End a hold: who placed it alone, else M.
    Release {
        /// Where.
        distributor: Address,
        /// The hold's id.
        hold: u64,
        /// See above.
        together: u8,
        /// See above.
        nonce: u64,
    },
    /// Hold the whole campaign, the exit included. Takes M.
    HoldCampaign {
        /// Where.
        distributor: Address,
        /// Unix seconds; one that is past ends it.
        until: u64,
        /// See above.
        together: u8,
        /// See above.
        nonce: u64,
    },
    /// Stop payments, except in EXIT. Takes one institution for 24 hours in any 30 days, M for longer, or to end it.
    Pause {
        /// Where.
        distributor: Address,
        /// Unix seconds; one that is past ends it.
        until: u64,
        /// See above.
        together: u8,
        /// See above.
        nonce: u64,
    },
}

impl ChainAction {
    /// The digest every authority signs for this action at this Charter.
    ///
    /// # Errors
    /// [`ChainError::DoesNotFit`] for a gate version above a uint16.
    pub fn digest(&self, charter: ContractRef, set_version: u64, deadline: u64) -> Result<B256, ChainError> {
        let domain = domain(charter);
        macro_rules! digest {
            ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {
                typed::$name { $($field: $value,)* setVersion: set_version, deadline }.eip712_signing_hash(&domain)
            };
        }
        Ok(match self.clone() {
            Self::Publish { distributor, terms } => digest!(Publish {
                distributor: distributor,
                round: U256::from(terms.round),
                root: terms.root,
                depth: terms.depth,
                count: terms.count,
                total: terms.total.get(),
                rulesHash: terms.rules_hash,
                opensAt: terms.opens_at,
                closesAt: terms.closes_at,
                mode: terms.mode as u8,
                gate: gate(terms.gate)?,
                supersedes: U256::from(terms.supersedes),
                listUri: terms.list_uri,
                listHash: terms.list_hash,
            }),
            Self::Cancel { distributor, round } => {
                digest!(Cancel { distributor: distributor, round: U256::from(round) })
            }
            Self::Veto { distributor, round } => {
                digest!(Veto { distributor: distributor, round: U256::from(round) })
            }
            Self::ExtendClosing { distributor, round, closes_at } => digest!(ExtendClosing {
                distributor: distributor,
                round: U256::from(round),
                closesAt: closes_at,
            }),
            Self::Void { distributor, mask } => digest!(Void {
                distributor: distributor,
                round: U256::from(mask.round),
                word: U256::from(mask.word),
                mask: mask_word(mask.mask),
            }),
            Self::Withdraw { distributor, amount, nonce } => digest!(Withdraw {
                distributor: distributor,
                amount: U256::from(amount.get()),
                nonce: U256::from(nonce),
            }),
            Self::RegisterDistributor { distributor } => {
                digest!(RegisterDistributor { distributor: distributor })
            }
            Self::RemoveSequencer { sequencer, replacement } => digest!(RemoveSequencer {
                sequencer: sequencer,
                replacement: replacement.into_iter().map(keys).collect(),
            }),
            Self::ChangeAuthorities { institutions, publish_threshold } => digest!(ChangeAuthorities {
                institutions: institutions
                    .into_iter()
                    .map(|(name, signers)| typed::Institution { name, signers })
                    .collect(),
                publishThreshold: publish_threshold,
            }),
            Self::AddSequencer { control, lanes } => digest!(AddSequencer { keys: keys((control, lanes)) }),
            Self::ChangeLanes { sequencer, lanes } => {
                digest!(ChangeLanes { sequencer: sequencer, lanes: lanes })
            }
            Self::ChangeLogKeys { add, revoke } => digest!(ChangeLogKeys {
                add: add.into_iter().map(|(key, name)| typed::LogKey { key, name }).collect(),
                revoke: revoke,
            }),
            Self::CancelChange { change } => digest!(CancelChange { change: change }),
            Self::InstallGate { distributor, version, signer, rules_hash } => digest!(InstallGate {
                distributor: distributor,
                gateVersion: gate(version)?,
                signer: signer,
                rulesHash: rules_hash,
            }),
            Self::DisableGate { distributor, version, until, together, nonce } => digest!(DisableGate {
                distributor: distributor,
                gateVersion: gate(version)?,
                until: until,
                together: together,
                nonce: U256::from(nonce),
            }),
            Self::Hold { distributor, mask, reason, together, nonce } => digest!(Hold {
                distributor: distributor,
                round: U256::from(mask.round),
                word: U256::from(mask.word),
                mask: mask_word(mask.mask),
                reason: reason,
                together: together,
                nonce: U256::from(nonce),
            }),
            Self::ConfirmHold { distributor, hold, together, nonce } => digest!(ConfirmHold {
                distributor: distributor,
                hold: U256::from(hold),
                together: together,
                nonce: U256::from(nonce),
            }),
            Self::Release { distributor, hold, together, nonce } => digest!(Release {
                distributor: distributor,
                hold: U256::from(hold),
                together: together,
                nonce: U256::from(nonce),
            }),
            Self::HoldCampaign { distributor, until, together, nonce } => {
                digest!(HoldCampaign {
                    distributor: distributor,
                    until: until,
                    together: together,
                    nonce: U256::from(nonce)
                })
            }
            Self::Pause { distributor, until, together, nonce } => {
                digest!(Pause {
                    distributor: distributor,
                    until: until,
                    together: together,
                    nonce: U256::from(nonce)
                })
            }
        })
    }

    /// Signatures of these accounts, one for each, under one set version and deadline.
    ///
    /// # Errors
    /// As [`Self::digest`], or a key that cannot sign.
    pub fn approve<'a>(
        &self,
        charter: ContractRef,
        set_version: u64,
        deadline: u64,
        accounts: impl IntoIterator<Item = &'a Account>,
    ) -> Result<Approvals, ChainError> {
        let digest = self.digest(charter, set_version, deadline)?;
        let signed = |account: &Account| Ok((account.signer_bytes(), account.sign_digest(digest)?));
        let signatures: Result<Vec<_>, KeyError> = accounts.into_iter().map(signed).collect();
        Ok(Approvals { set_version, deadline, signatures: signatures? })
    }
}

/// The digest a gate's key signs over a word's cumulative mask, in the Distributor's domain. Version and rules are those
/// the round was published with: the contract puts its own in their place.
///
/// # Errors
/// [`ChainError::DoesNotFit`] for a gate version above a uint16.
pub fn gate_digest(
    distributor: ContractRef,
    version: u64,
    rules_hash: B256,
    content: &GateContent,
) -> Result<B256, ChainError> {
    let signed = typed::Gate {
        round: U256::from(content.mask.round),
        gateVersion: gate(version)?,
        word: U256::from(content.mask.word),
        mask: mask_word(content.mask.mask),
        rulesHash: rules_hash,
        asOfSeq: content.as_of_seq,
        expiry: content.expiry,
    };
    Ok(signed.eip712_signing_hash(&domain(distributor)))
}

fn keys((control, lanes): (Address, Vec<Address>)) -> typed::SequencerKeys {
    typed::SequencerKeys { control, lanes }
}
