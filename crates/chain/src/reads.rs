//! What the contracts hold: constitution, terms, rounds, bitmaps, balances.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use sluice_core::amount::Total;
use sluice_core::command::RoundMode;
use sluice_core::ids::{BatchNo, Epoch, RoundNo};
use sluice_core::log::entry::{CharterView, Institution};

use crate::bindings::{self as sol, Charter, Distributor, TestToken};
use crate::decode::{mode, small, total};
use crate::error::ChainError;
use crate::limits::READS_IN_FLIGHT;
use crate::rpc::{At, Chain};

mod powers;

pub use powers::{GateVersion, HoldOnChain};

/// A Charter's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sequencers settle.
    Active,
    /// Nobody settles; repair or exit follows.
    Tripped,
    /// Anyone settles.
    Exit,
}

/// A sequencer as the Charter has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequencer {
    /// Its id; never used again.
    pub id: u32,
    /// Whether it was removed.
    pub removed: bool,
    /// The key that takes epochs.
    pub control: Address,
    /// Its settlement accounts.
    pub lanes: Vec<Address>,
}

/// A log key as the Charter has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// Ed25519 public key.
    pub key: B256,
    /// Its signed-note name.
    pub name: String,
    /// Unix seconds; `None` while it is in force.
    pub revoked_at: Option<u64>,
}

/// How many institutions each quorum takes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorums {
    /// floor(N/3)+1: vetoes, removal of a sequencer.
    pub third: u8,
    /// floor(N/2)+1: exit.
    pub half: u8,
    /// M: publish, void, withdraw, register.
    pub publish: u8,
    /// ceil(3N/4): changes of the constitution.
    pub three_quarters: u8,
}

/// A Charter's time constants, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Age at which an unserved forced claim lets anyone trip.
    pub w1: u64,
    /// How long repair may take.
    pub w2: u64,
    /// Time the chain needs to finalise.
    pub finality: u64,
    /// 0, or the longest silence of a live sequencer.
    pub beat_every: u64,
    /// Rate limit of `takeEpoch` per control key; 0 for none.
    pub take_epoch_every: u64,
}

/// A Charter's whole content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constitution {
    /// What the log keeps of it.
    pub view: CharterView,
    /// The epoch; 0 until the first is taken.
    pub epoch: Epoch,
    /// The phase.
    pub phase: Phase,
    /// How often the phase changed.
    pub phase_counter: u64,
    /// The quorums.
    pub quorums: Quorums,
    /// The institutions' names, in the Charter's order (that of `view.institutions`).
    pub names: Vec<String>,
    /// All sequencers that ever were.
    pub sequencers: Vec<Sequencer>,
    /// All log keys that ever were.
    pub log_keys: Vec<LogKey>,
    /// The time constants.
    pub timers: Timers,
}

/// A Distributor's fixed terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DistributorTerms {
    /// The ERC-20 it pays.
    pub token: Address,
    /// The token's decimals.
    pub decimals: u8,
    /// The Charter it obeys.
    pub charter: Address,
    /// Where what is left goes.
    pub refund: Address,
    /// Whether wallets may pay themselves only outside phase ACTIVE.
    pub exit_only: bool,
    /// Seconds between a round's closing and its sweep.
    pub grace: u64,
    /// Seconds between a publication and the earliest opening.
    pub opening_delay: u64,
    /// Gas every token transfer is given.
    pub transfer_gas: u64,
}

/// The life of a round on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundState {
    /// Announced, not open.
    Published,
    /// May be paid.
    Open,
    /// Will never open, by M of N.
    Cancelled,
    /// Will never open, by veto.
    Vetoed,
    /// Over.
    Swept,
}

/// A round as the Distributor has it. Total = paid + remaining + voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundOnChain {
    /// Where it stands.
    pub state: RoundState,
    /// The snapshot's root.
    pub root: B256,
    /// Levels between buckets and root.
    pub depth: u8,
    /// Entitlements.
    pub count: u64,
    /// Their sum, base units.
    pub total: Total,
    /// What may still be paid, base units.
    pub remaining: Total,
    /// What was annulled, base units.
    pub voided: Total,
    /// Rule sets it pays under.
    pub rules_hash: B256,
    /// Hash of the list.
    pub list_hash: B256,
    /// Unix seconds.
    pub published_at: u64,
    /// Unix seconds.
    pub opens_at: u64,
    /// Unix seconds; `None` before the opening.
    pub opened_at: Option<u64>,
    /// As published or extended, Unix seconds; outages are added by the contract.
    pub closes_at: u64,
    /// Its mode.
    pub mode: RoundMode,
    /// Its gate version, or 0.
    pub gate: u64,
    /// The round it corrects, or 0.
    pub supersedes: RoundNo,
}

/// An institution's id: keccak256 of the ABI encoding of its name and of how many institutions before it in the
/// Charter's order have the same name (0 for all where names differ, as they should). The name names the institution:
/// its id stays when keys, order or other institutions change.
pub fn institution_id(name: &str, same_before: u64) -> B256 {
    keccak256((name, U256::from(same_before)).abi_encode_params())
}

impl Chain {
    pub(crate) async fn view<C: SolCall>(
        &self,
        to: Address,
        call: C,
        at: At,
    ) -> Result<C::Return, ChainError> {
        let tx = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer = self.call(C::SIGNATURE, tx, at).await?;
        if answer.is_empty() && self.code(to, at).await?.is_empty() {
            return Err(ChainError::NoCode(to));
        }
        let malformed =
            |e: alloy_sol_types::Error| ChainError::Malformed { what: C::SIGNATURE, problem: e.to_string() };
        C::abi_decode_returns(&answer).map_err(malformed)
    }

    /// A Charter's whole content.
    ///
    /// # Errors
    /// [`ChainError::NoCode`], or no answer.
    pub async fn constitution(&self, charter: Address, at: At) -> Result<Constitution, ChainError> {
        constitution(self.view(charter, Charter::constitutionCall {}, at).await?)
    }

    /// The chain's epoch; 0 until the first is taken.
    ///
    /// # Errors
    /// No answer.
    pub async fn epoch(&self, charter: Address, at: At) -> Result<Epoch, ChainError> {
        self.view(charter, Charter::epochCall {}, at).await
    }

    /// The sequencer that took an epoch; `None` if nobody did.
    ///
    /// # Errors
    /// No answer.
    pub async fn epoch_holder(
        &self,
        charter: Address,
        epoch: Epoch,
        at: At,
    ) -> Result<Option<u32>, ChainError> {
        let id = self.view(charter, Charter::sequencerOfCall { epoch }, at).await?;
        Ok((id != 0).then_some(id))
    }

    /// The Charter's phase.
    ///
    /// # Errors
    /// No answer.
    pub async fn phase(&self, charter: Address, at: At) -> Result<Phase, ChainError> {
        phase(self.view(charter, Charter::phaseCall {}, at).await?)
    }

    /// The sequencer an account settles for; `None` if it is no lane.
    ///
    /// # Errors
    /// No answer.
    pub async fn lane_of(
        &self,
        charter: Address,
        account: Address,
        at: At,
    ) -> Result<Option<u32>, ChainError> {
        let id = self.view(charter, Charter::laneOfCall { account }, at).await?;
        Ok((id != 0).then_some(id))
    }

    /// The sequencer a control key belongs to; `None` if it is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn control_of(
        &self,
        charter: Address,
        account: Address,
        at: At,
    ) -> Result<Option<u32>, ChainError> {
        let id = self.view(charter, Charter::controlOfCall { account }, at).await?;
        Ok((id != 0).then_some(id))
    }

    /// Whether M of N registered this Distributor.
    ///
    /// # Errors
    /// No answer.
    pub async fn is_registered(&self, charter: Address, distributor: Address) -> Result<bool, ChainError> {
        self.view(charter, Charter::isRegisteredCall { distributor }, At::Latest).await
    }

    /// A Distributor's fixed terms.
    ///
    /// # Errors
    /// [`ChainError::NoCode`], or no answer.
    pub async fn distributor_terms(&self, distributor: Address) -> Result<DistributorTerms, ChainError> {
        let terms = self.view(distributor, Distributor::termsCall {}, At::Latest).await?;
        Ok(DistributorTerms {
            decimals: self.token_decimals(terms.token).await?,
            token: terms.token,
            charter: terms.charter,
            refund: terms.refund,
            exit_only: terms.policy == sol::ClaimPolicy::EXIT_ONLY,
            grace: terms.grace,
            opening_delay: terms.openingDelay,
            transfer_gas: terms.transferGas,
        })
    }

    /// A round; `None` if it does not exist.
    ///
    /// # Errors
    /// No answer.
    pub async fn round(
        &self,
        distributor: Address,
        round: RoundNo,
        at: At,
    ) -> Result<Option<RoundOnChain>, ChainError> {
        let call = Distributor::roundCall { roundNo: U256::from(round) };
        round_on_chain(self.view(distributor, call, at).await?)
    }

    /// How many rounds were published.
    ///
    /// # Errors
    /// No answer.
    pub async fn round_count(&self, distributor: Address, at: At) -> Result<RoundNo, ChainError> {
        small("roundCount", self.view(distributor, Distributor::roundCountCall {}, at).await?)
    }

    /// When wallets' claims end, with pauses and time outside ACTIVE so far, Unix seconds.
    ///
    /// # Errors
    /// No answer.
    pub async fn closing(&self, distributor: Address, round: RoundNo, at: At) -> Result<u64, ChainError> {
        self.view(distributor, Distributor::closingCall { roundNo: U256::from(round) }, at).await
    }

    /// The batch number the next settlement must carry.
    ///
    /// # Errors
    /// No answer.
    pub async fn next_batch(&self, distributor: Address, at: At) -> Result<BatchNo, ChainError> {
        self.view(distributor, Distributor::nextBatchCall {}, at).await
    }

    /// Paid bits of these words of a round, in their order. Bit i of a word is bit i % 64 of its limb i / 64.
    ///
    /// # Errors
    /// No answer.
    pub async fn paid_words(
        &self,
        distributor: Address,
        round: RoundNo,
        words: impl IntoIterator<Item = u64>,
        at: At,
    ) -> Result<Vec<[u64; 4]>, ChainError> {
        let calls = words.into_iter().map(|word| {
            let call = Distributor::paidWordCall { roundNo: U256::from(round), word: U256::from(word) };
            async move { Ok(self.view(distributor, call, at).await?.into_limbs()) }
        });
        stream::iter(calls).buffered(READS_IN_FLIGHT).try_collect().await
    }

    /// Void bits of these words of a round, as [`Self::paid_words`].
    ///
    /// # Errors
    /// No answer.
    pub async fn void_words(
        &self,
        distributor: Address,
        round: RoundNo,
        words: impl IntoIterator<Item = u64>,
        at: At,
    ) -> Result<Vec<[u64; 4]>, ChainError> {
        let calls = words.into_iter().map(|word| {
            let call = Distributor::voidWordCall { roundNo: U256::from(round), word: U256::from(word) };
            async move { Ok(self.view(distributor, call, at).await?.into_limbs()) }
        });
        stream::iter(calls).buffered(READS_IN_FLIGHT).try_collect().await
    }

    /// A token's decimals.
    ///
    /// # Errors
    /// [`ChainError::NoCode`], or no answer.
    pub async fn token_decimals(&self, token: Address) -> Result<u8, ChainError> {
        self.view(token, TestToken::decimalsCall {}, At::Latest).await
    }

    /// A token's symbol.
    ///
    /// # Errors
    /// No answer, or a token without one.
    pub async fn token_symbol(&self, token: Address) -> Result<String, ChainError> {
        self.view(token, TestToken::symbolCall {}, At::Latest).await
    }

    /// What an account holds of a token, base units.
    ///
    /// # Errors
    /// No answer.
    pub async fn token_balance(&self, token: Address, owner: Address, at: At) -> Result<Total, ChainError> {
        total("balanceOf", self.view(token, TestToken::balanceOfCall { account: owner }, at).await?)
    }
}

pub(crate) fn phase(phase: sol::Phase) -> Result<Phase, ChainError> {
    match phase {
        sol::Phase::ACTIVE => Ok(Phase::Active),
        sol::Phase::TRIPPED => Ok(Phase::Tripped),
        sol::Phase::EXIT => Ok(Phase::Exit),
        sol::Phase::__Invalid => unnamed("phase"),
    }
}

fn unnamed<T>(what: &'static str) -> Result<T, ChainError> {
    Err(ChainError::Malformed {
        what,
        problem: "the contract has one that this program does not know".to_owned(),
    })
}

fn constitution(c: sol::Constitution) -> Result<Constitution, ChainError> {
    let [_, third, half, publish, three_quarters] = c.quorums;
    let names: Vec<String> = c.institutions.iter().map(|i| i.name.clone()).collect();
    let mut same: BTreeMap<String, u64> = BTreeMap::new();
    let institutions = c.institutions.into_iter().map(|institution| {
        let before = same.entry(institution.name.clone()).or_default();
        let id = institution_id(&institution.name, *before);
        *before += 1;
        Institution { id, signers: institution.signers }
    });
    let institutions = institutions.collect();
    let log_keys: Vec<LogKey> = c
        .logKeys
        .into_iter()
        .map(|k| LogKey { key: k.key, name: k.name, revoked_at: (k.revokedAt != 0).then_some(k.revokedAt) })
        .collect();
    let in_force = log_keys.iter().filter(|k| k.revoked_at.is_none()).map(|k| k.key).collect();
    Ok(Constitution {
        view: CharterView {
            set_version: c.setVersion,
            threshold: u16::from(publish),
            institutions,
            log_keys: in_force,
        },
        epoch: c.epoch,
        phase: phase(c.phase)?,
        phase_counter: c.phaseCounter,
        quorums: Quorums { third, half, publish, three_quarters },
        names,
        sequencers: c
            .sequencers
            .into_iter()
            .map(|s| Sequencer { id: s.id, removed: s.removed, control: s.control, lanes: s.lanes })
            .collect(),
        log_keys,
        timers: Timers {
            w1: c.timers.w1,
            w2: c.timers.w2,
            finality: c.timers.finality,
            beat_every: c.timers.beatEvery,
            take_epoch_every: c.timers.takeEpochEvery,
        },
    })
}

fn round_on_chain(v: sol::RoundView) -> Result<Option<RoundOnChain>, ChainError> {
    let state = match v.state {
        sol::RoundState::NONE => return Ok(None),
        sol::RoundState::PUBLISHED => RoundState::Published,
        sol::RoundState::OPEN => RoundState::Open,
        sol::RoundState::CANCELLED => RoundState::Cancelled,
        sol::RoundState::VETOED => RoundState::Vetoed,
        sol::RoundState::SWEPT => RoundState::Swept,
        sol::RoundState::__Invalid => return unnamed("state of a round"),
    };
    Ok(Some(RoundOnChain {
        state,
        root: v.root,
        depth: v.depth,
        count: v.count,
        total: Total(v.total),
        remaining: Total(v.remaining),
        voided: Total(v.voided),
        rules_hash: v.rulesHash,
        list_hash: v.listHash,
        published_at: v.publishedAt,
        opens_at: v.opensAt,
        opened_at: (v.openedAt != 0).then_some(v.openedAt),
        closes_at: v.closesAt,
        mode: mode(v.mode)?,
        gate: u64::from(v.gate),
        supersedes: small("supersedes", v.supersedes)?,
    }))
}
