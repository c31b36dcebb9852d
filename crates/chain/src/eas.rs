//! What a registry of the Ethereum Attestation Service says (eas-contracts, `EAS.sol`). Callers ask only registries that
//! an allow-list names; a log's emitter is never believed.

use std::collections::BTreeSet;

use alloy::rpc::types::Log;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_sol_types::{SolCall, SolEvent};
use serde_json::{Value, json};
use sluice_core::ids::BlockRef;

use crate::bindings::IEAS;
use crate::endpoint::Endpoint;
use crate::error::ChainError;
use crate::limits::{REVOCATION_LOG_REQUESTS_MAX, REVOCATIONS_ASKED_MAX};
use crate::rpc::{At, Chain};

/// Asks a registry many questions in one `eth_call`: run as creation code, it deploys nothing. Behind it stand the
/// registry as one word and, for each question, issuer and uid as one word each; it returns one word for each, and reverts
/// when the registry does not answer. In parts, the selector left out:
///
/// ```text
/// 00  6020 6057 6060 39 6000            codecopy(0x60, 0x57, 32); i = 0
/// 09  5b 63........ 60e0 1b 6000 52     mstore(0, getRevokeOffchain)
/// 15  80 6006 1b 6077 01                at = i * 64 + 0x77
/// 1c  80 38 14 604f 57                  if at == codesize goto 4f
/// 22  6040 90 6004 39                   codecopy(4, at, 64)
/// 28  6020 81 6005 1b 6080 01 6044 6000 6060 51 5a fa
///                                       ok = staticcall(gas, mload(0x60), 0, 68, 0x80 + i * 32, 32)
/// 3a  6020 3d 10 15 16 6048 57          if ok and returndatasize >= 32 goto 48
/// 43  6000 6000 fd                      revert
/// 48  5b 6001 01 6009 56                i = i + 1; goto 09
/// 4f  5b 50 6005 1b 6080 f3             return(0x80, i * 32)
/// ```
const ASK_BEFORE_SELECTOR: &[u8] = &hex!("602060576060396000" "5b63");
const ASK_AFTER_SELECTOR: &[u8] = &hex!(
    "60e01b600052" "8060061b607701" "803814604f57" "604090600439" "60208160051b608001604460006060515afa"
    "60203d10151660485760006000fd" "5b600101600956" "5b5060051b6080f3"
);

/// An attestation as the registry keeps it; one it does not know has a zero uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EasAttestation {
    /// Its uid.
    pub uid: B256,
    /// The schema's uid.
    pub schema: B256,
    /// Unix seconds.
    pub time: u64,
    /// Unix seconds; 0 for never.
    pub expiration_time: u64,
    /// Unix seconds; 0 while it stands.
    pub revocation_time: u64,
    /// Another attestation it refers to, or zero.
    pub ref_uid: B256,
    /// The address it is about.
    pub recipient: Address,
    /// Who issued it.
    pub attester: Address,
    /// Whether it can be revoked.
    pub revocable: bool,
    /// ABI-encoded values.
    pub data: Bytes,
}

/// Registries whose revocations are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// Where issuers revoke what they signed off chain.
    pub off_chain: BTreeSet<Address>,
    /// Those issuers. Anybody may say of any uid that they revoke it; what others say means nothing.
    pub issuers: BTreeSet<Address>,
    /// Where attestations stand on chain.
    pub on_chain: BTreeSet<Address>,
}

impl Registries {
    fn filters(&self) -> Vec<Value> {
        let mut filters = Vec::new();
        if !self.off_chain.is_empty() {
            let issuers: Vec<B256> = self.issuers.iter().map(|issuer| issuer.into_word()).collect();
            let topics = json!([[IEAS::RevokedOffchain::SIGNATURE_HASH], issuers]);
            filters.push(json!({ "address": self.off_chain, "topics": topics }));
        }
        if !self.on_chain.is_empty() {
            filters.push(json!({ "address": self.on_chain, "topics": [[IEAS::Revoked::SIGNATURE_HASH]] }));
        }
        filters
    }
}

impl Chain {
    /// An attestation by its uid, with the block that was looked at.
    ///
    /// # Errors
    /// No answer, or something that is no registry.
    pub async fn eas_attestation(
        &self,
        registry: Address,
        uid: B256,
    ) -> Result<(EasAttestation, BlockRef), ChainError> {
        let block = self.latest().await?;
        let call = IEAS::getAttestationCall { uid };
        let answer = self.view(registry, call, At::Block(block)).await?;
        let found = EasAttestation {
            uid: answer.uid,
            schema: answer.schema,
            time: answer.time,
            expiration_time: answer.expirationTime,
            revocation_time: answer.revocationTime,
            ref_uid: answer.refUID,
            recipient: answer.recipient,
            attester: answer.attester,
            revocable: answer.revocable,
            data: answer.data,
        };
        Ok((found, block))
    }

    /// When issuers revoked off-chain attestations, for each of these: its issuer and the spellings of its uid; `None`
    /// while it stands. With the block that was looked at. One request for up to [`REVOCATIONS_ASKED_MAX`] spellings:
    /// every claim before a gate asks, and a provider's requests are counted.
    ///
    /// # Errors
    /// No answer, or something that is no registry.
    pub async fn eas_revoked_offchain(
        &self,
        registry: Address,
        asked: &[(Address, Vec<B256>)],
    ) -> Result<(Vec<Option<u64>>, BlockRef), ChainError> {
        let block = self.latest().await?;
        let questions: Vec<(Address, B256)> =
            asked.iter().flat_map(|(issuer, uids)| uids.iter().map(|uid| (*issuer, *uid))).collect();
        let mut times = Vec::with_capacity(questions.len());
        for portion in questions.chunks(REVOCATIONS_ASKED_MAX) {
            times.extend(match self.revocation_times(registry, portion, At::Block(block)).await {
                // That says nothing about the registry: only its answer to a plain question does.
                Err(error) if is_of_the_node(&error) => {
                    self.revocation_times_plainly(registry, portion, At::Block(block)).await?
                }
                answered => answered?,
            });
        }
        let mut times = times.into_iter();
        let first = |uids: &[B256]| times.by_ref().take(uids.len()).fold(None, Option::or);
        Ok((asked.iter().map(|(_, uids)| uids.as_slice()).map(first).collect(), block))
    }

    /// What was revoked at these registries in these blocks, both included: registry and uid.
    ///
    /// # Errors
    /// [`ChainError::NoBlock`] if no node is there yet; no answer, or more than a few requests bring.
    pub async fn eas_revocations(
        &self,
        asked: &Registries,
        from: u64,
        to: u64,
    ) -> Result<Vec<(Address, B256)>, ChainError> {
        let mut last = ChainError::NoBlock(to);
        for endpoint in self.endpoints() {
            match self.eas_revocations_on(endpoint, asked, from, to).await {
                Err(error) if error.is_worth_another_attempt() => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn eas_revocations_on(
        &self,
        endpoint: &Endpoint,
        asked: &Registries,
        from: u64,
        to: u64,
    ) -> Result<Vec<(Address, B256)>, ChainError> {
        // A node that is behind answers "no logs" for blocks it does not have.
        self.block_on(endpoint, to).await?.ok_or(ChainError::NoBlock(to))?;
        let mut logs = Vec::new();
        let mut budget = REVOCATION_LOG_REQUESTS_MAX;
        for filter in asked.filters() {
            self.collect(endpoint, &filter, from, to, &mut budget, &mut logs).await?;
        }
        let uid = |log: &Log| match log.topic0() {
            Some(&IEAS::RevokedOffchain::SIGNATURE_HASH) => log.topics().get(2).copied(),
            _ => log.data().data.get(..32).map(B256::from_slice),
        };
        Ok(logs.iter().filter_map(|log| Some((log.address(), uid(log)?))).collect())
    }

    /// [`Self::revocation_times`], one question after the other, each put to the registry itself.
    async fn revocation_times_plainly(
        &self,
        registry: Address,
        questions: &[(Address, B256)],
        at: At,
    ) -> Result<Vec<Option<u64>>, ChainError> {
        let mut times = Vec::with_capacity(questions.len());
        for (issuer, uid) in questions {
            let call = IEAS::getRevokeOffchainCall { revoker: *issuer, data: *uid };
            let time = self.view(registry, call, at).await?;
            times.push(Some(time).filter(|time| *time != 0));
        }
        Ok(times)
    }

    /// The time of each revocation; `None` for what was not revoked.
    async fn revocation_times(
        &self,
        registry: Address,
        questions: &[(Address, B256)],
        at: At,
    ) -> Result<Vec<Option<u64>>, ChainError> {
        let call = IEAS::getRevokeOffchainCall::SIGNATURE;
        let tx = json!({ "data": Bytes::from(program(registry, questions)) });
        let answer = match self.call(call, tx, at).await {
            Err(ChainError::Reverted { .. }) if self.code(registry, at).await?.is_empty() => {
                return Err(ChainError::NoCode(registry));
            }
            answer => answer?,
        };
        let (words, rest) = answer.as_chunks::<32>();
        if words.len() != questions.len() || !rest.is_empty() {
            let problem = format!("{} bytes for {} questions", answer.len(), questions.len());
            return Err(ChainError::Malformed { what: call, problem });
        }
        let time = |word: &[u8; 32]| {
            let time = u64::try_from(U256::from_be_bytes(*word));
            time.map_err(|_| ChainError::Malformed { what: call, problem: "a time above 64 bits".to_owned() })
        };
        words.iter().map(|word| Ok(Some(time(word)?).filter(|time| *time != 0))).collect()
    }
}

/// Codes under which nodes refuse calls that they do not make: an error of theirs, an invalid request, invalid parameters.
const REFUSING: [i64; 3] = [-32_000, -32_600, -32_602];

/// Whether a call without an address failed in a way that may be the node's own: some forbid such calls, or mangle them.
fn is_of_the_node(error: &ChainError) -> bool {
    let refused = error.response().is_some_and(|payload| REFUSING.contains(&payload.code));
    refused || matches!(error, ChainError::Reverted { .. } | ChainError::Malformed { .. })
}

/// [`ASK_BEFORE_SELECTOR`] with its questions.
fn program(registry: Address, questions: &[(Address, B256)]) -> Vec<u8> {
    let selector = IEAS::getRevokeOffchainCall::SELECTOR;
    let mut code =
        [ASK_BEFORE_SELECTOR, &selector, ASK_AFTER_SELECTOR, registry.into_word().as_slice()].concat();
    for (issuer, uid) in questions {
        code.extend_from_slice(issuer.into_word().as_slice());
        code.extend_from_slice(uid.as_slice());
    }
    code
}
