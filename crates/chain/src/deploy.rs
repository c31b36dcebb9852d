//! An operator's own transactions: deployments, publications, openings, funding. Unlike a lane's, they are signed and
//! sent at once, one after another, and waited for. What the contracts make idempotent is asked before it is done.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolConstructor};
use sluice_core::amount::Total;
use sluice_core::command::RoundTerms;
use sluice_core::fees::FeePolicy;
use sluice_core::ids::{Epoch, RoundNo};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bindings::{self as sol, CharterCreation, DistributorCreation, TestToken, artifacts};
use crate::calls::{self, Approvals, Chunk};
use crate::error::ChainError;
use crate::limits::{MINED_WITHIN, RECEIPT_POLL};
use crate::reads::{RoundState, Timers};
use crate::rpc::{At, Chain, TxReceipt};
use crate::signer::{Account, Signed, TxRequest};
use crate::simulate::{SimCall, Simulated};

/// An account that sends transactions of its own. One at a time: it asks the node for its nonce.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The chain.
    pub chain: Chain,
    /// The key.
    pub account: Account,
    /// What it is willing to pay.
    pub fees: FeePolicy,
}

/// Whether something was done now, or stood on chain before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// By this transaction.
    Now(TxReceipt),
    /// Before: nothing was sent.
    Before,
}

/// A deployed contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Where.
    pub address: Address,
    /// By which transaction.
    pub receipt: TxReceipt,
}

/// A Charter's founding content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Names and ERC-7913 signers.
    pub institutions: Vec<(String, Vec<Bytes>)>,
    /// M.
    pub publish_threshold: u8,
    /// Control keys and lanes; ids are given from 1 in this order.
    pub sequencers: Vec<(Address, Vec<Address>)>,
    /// Ed25519 keys with their signed-note names.
    pub log_keys: Vec<(B256, String)>,
    /// Time constants.
    pub timers: Timers,
}

impl Founding {
    /// The call that founds a Charter.
    fn call(&self) -> Vec<u8> {
        let institution = |(name, signers): (String, Vec<Bytes>)| sol::Institution { name, signers };
        let f = sol::Founding {
            institutions: self.institutions.iter().cloned().map(institution).collect(),
            publishThreshold: self.publish_threshold,
            sequencers: self
                .sequencers
                .iter()
                .map(|(control, lanes)| sol::SequencerKeys { control: *control, lanes: lanes.clone() })
                .collect(),
            logKeys: self
                .log_keys
                .iter()
                .map(|(key, name)| sol::LogKey { key: *key, name: name.clone() })
                .collect(),
            timers: sol::Timers {
                w1: self.timers.w1,
                w2: self.timers.w2,
                finality: self.timers.finality,
                beatEvery: self.timers.beat_every,
                takeEpochEvery: self.timers.take_epoch_every,
            },
        };
        sol::Charter::foundCall { f }.abi_encode()
    }
}

/// A Distributor's terms at deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDistributor {
    /// The ERC-20 it will pay.
    pub token: Address,
    /// The Charter it will obey.
    pub charter: Address,
    /// Where what is left goes.
    pub refund: Address,
    /// Whether wallets may pay themselves only outside phase ACTIVE.
    pub exit_only: bool,
    /// Seconds between closing and sweep; at least w1 + w2 + finality of the Charter.
    pub grace: u64,
    /// Seconds between publication and the earliest opening.
    pub opening_delay: u64,
    /// Gas for every token transfer; 60,000 to 2,000,000.
    pub transfer_gas: u64,
}

impl Operator {
    /// An operator with the default fee policy.
    pub fn new(chain: Chain, account: Account) -> Self {
        Self { chain, account, fees: FeePolicy::default() }
    }

    /// Sends one transaction and waits until it is mined.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with the contract's reason, before sending where it is known then;
    /// [`ChainError::NotMined`] after [`MINED_WITHIN`]; a refusal by the node.
    pub async fn send(
        &self,
        call: &'static str,
        to: Option<Address>,
        data: Bytes,
        value: U256,
    ) -> Result<TxReceipt, ChainError> {
        let signed = self.signed(call, to, &data, value).await?;
        self.chain.broadcast(&signed.raw).await?;
        let receipt = self.wait_mined(&signed).await?;
        match receipt.succeeded {
            true => Ok(receipt),
            false => Err(self.why_reverted(call, to, data, &receipt).await),
        }
    }

    async fn signed(
        &self,
        call: &'static str,
        to: Option<Address>,
        data: &Bytes,
        value: U256,
    ) -> Result<Signed, ChainError> {
        let from = self.account.address();
        let named = |error| match error {
            ChainError::Reverted { revert, .. } => ChainError::Reverted { call, revert },
            other => other,
        };
        let estimate = self.chain.estimate(from, to, data, value, At::Latest).await.map_err(named)?;
        // A fifth more, because state moves between estimate and block.
        let gas_limit = (estimate + estimate / 5).min(self.chain.limits().await?.transaction.max(estimate));
        let market = self.chain.fees().await?;
        let fees = self.fees.first(market, gas_limit).ok_or(ChainError::FeesAboveCap {
            asked: self.fees.lowest(market),
            cap: self.fees.cap(gas_limit),
        })?;
        let nonce = self.chain.nonce(from, At::Pending).await?;
        let chain_id = self.chain.id();
        Ok(self.account.sign(&TxRequest {
            chain_id,
            nonce,
            to,
            data: data.clone(),
            gas_limit,
            fees,
            value,
        })?)
    }

    /// Waits for a transaction receipt. The bytes are sent again now and then, in case a node dropped them.
    async fn wait_mined(&self, signed: &Signed) -> Result<TxReceipt, ChainError> {
        let end = Instant::now() + MINED_WITHIN;
        let mut pause = RECEIPT_POLL / 64;
        let waiting = async {
            loop {
                if let Some(receipt) = self.chain.receipt(signed.hash).await? {
                    return Ok(receipt);
                }
                if pause == RECEIPT_POLL {
                    // Whatever the node says now, the receipt decides.
                    let _ = self.chain.broadcast(&signed.raw).await;
                }
                sleep(pause).await;
                pause = (pause * 2).min(RECEIPT_POLL);
            }
        };
        timeout_at(end, waiting)
            .await
            .unwrap_or(Err(ChainError::NotMined { hash: signed.hash, within: MINED_WITHIN }))
    }

    /// Asks again at the block before, for the reason that a transaction receipt does not carry.
    async fn why_reverted(
        &self,
        call: &'static str,
        to: Option<Address>,
        data: Bytes,
        receipt: &TxReceipt,
    ) -> ChainError {
        let unknown = crate::revert::Revert::decode(Bytes::new());
        let Some(to) = to else { return ChainError::Reverted { call, revert: unknown } };
        let again = SimCall { from: receipt.from, to, data, gas_limit: receipt.gas_used };
        let at = At::Number(receipt.block.number.saturating_sub(1));
        let revert = match self.chain.try_call(&again, at).await {
            Ok(Simulated::Reverts(revert)) => revert,
            _ => unknown,
        };
        ChainError::Reverted { call, revert }
    }

    async fn deploy(
        &self,
        name: &'static str,
        code: &Bytes,
        arguments: Vec<u8>,
    ) -> Result<Deployed, ChainError> {
        let data = Bytes::from([code.as_ref(), &arguments].concat());
        let receipt = self.send(name, None, data, U256::ZERO).await?;
        let address = receipt.deployed.ok_or(ChainError::Malformed {
            what: "the transaction receipt of a deployment",
            problem: "it names no contract".to_owned(),
        })?;
        Ok(Deployed { address, receipt })
    }

    /// Deploys a Charter for this founding content and gives it to it, in two transactions: one alone has no room for the
    /// content beside the code. A Charter that was left without its content serves nobody, and anyone may still give it.
    ///
    /// # Errors
    /// As [`Self::send`]; `BadConstitution` names the rule that the founding content breaks.
    pub async fn deploy_charter(&self, founding: &Founding) -> Result<Deployed, ChainError> {
        let charter = self.promise_charter(founding).await?;
        self.found(charter.address, founding).await?;
        Ok(charter)
    }

    /// The first half of it: the Charter promises this content and knows nobody until it is founded with it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn promise_charter(&self, founding: &Founding) -> Result<Deployed, ChainError> {
        let promised = CharterCreation::constructorCall { founding: keccak256(&founding.call()[4..]) };
        self.deploy("Charter", &artifacts::CHARTER, promised.abi_encode()).await
    }

    /// The second half: founds a Charter with the very content that it promised, once. Anybody may.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn found(&self, charter: Address, founding: &Founding) -> Result<TxReceipt, ChainError> {
        self.send("found", Some(charter), founding.call().into(), U256::ZERO).await
    }

    /// Deploys a Distributor. It pays nothing until M of N registered it and published a round.
    ///
    /// # Errors
    /// As [`Self::send`]; `BadTerms` names the rule that the terms break.
    pub async fn deploy_distributor(&self, terms: &NewDistributor) -> Result<Deployed, ChainError> {
        let t = sol::DistributorTerms {
            token: terms.token,
            charter: terms.charter,
            refund: terms.refund,
            policy: if terms.exit_only { sol::ClaimPolicy::EXIT_ONLY } else { sol::ClaimPolicy::ALWAYS },
            grace: terms.grace,
            openingDelay: terms.opening_delay,
            transferGas: terms.transfer_gas,
        };
        self.deploy(
            "Distributor",
            &artifacts::DISTRIBUTOR,
            DistributorCreation::constructorCall { t }.abi_encode(),
        )
        .await
    }

    /// Deploys a token that anyone may mint: for demonstrations and tests.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn deploy_test_token(
        &self,
        name: &str,
        symbol: &str,
        decimals: u8,
    ) -> Result<Deployed, ChainError> {
        let arguments =
            TestToken::constructorCall { name: name.to_owned(), symbol: symbol.to_owned(), decimals };
        self.deploy("TestToken", &artifacts::TEST_TOKEN, arguments.abi_encode()).await
    }

    /// Mints a test token's base units.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn mint(&self, token: Address, to: Address, amount: Total) -> Result<TxReceipt, ChainError> {
        self.send("mint", Some(token), calls::mint(to, amount), U256::ZERO).await
    }

    /// Sends base units of a token: how a Distributor is funded.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn transfer(
        &self,
        token: Address,
        to: Address,
        amount: Total,
    ) -> Result<TxReceipt, ChainError> {
        self.send("transfer", Some(token), calls::transfer(to, amount), U256::ZERO).await
    }

    /// Sends native coin, wei: how a lane is given gas.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_coin(&self, to: Address, wei: U256) -> Result<TxReceipt, ChainError> {
        self.send("payment", Some(to), Bytes::new(), wei).await
    }

    /// Registers a Distributor with its Charter.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn register_distributor(
        &self,
        charter: Address,
        distributor: Address,
        approvals: &Approvals,
    ) -> Result<Done, ChainError> {
        if self.chain.is_registered(charter, distributor).await? {
            return Ok(Done::Before);
        }
        let data = calls::register_distributor(distributor, approvals);
        Ok(Done::Now(self.send("registerDistributor", Some(charter), data, U256::ZERO).await?))
    }

    /// Publishes a round. A round of this number, root and list on chain already is the same publication.
    ///
    /// # Errors
    /// As [`Self::send`]; `WrongRound` if the number is taken by another round or is not the next.
    pub async fn publish(
        &self,
        distributor: Address,
        terms: &RoundTerms,
        approvals: &Approvals,
    ) -> Result<Done, ChainError> {
        let known = self.chain.round(distributor, terms.round, At::Latest).await?;
        if known.is_some_and(|round| round.root == terms.root && round.list_hash == terms.list_hash) {
            return Ok(Done::Before);
        }
        let data = calls::publish(terms, approvals)?;
        Ok(Done::Now(self.send("publish", Some(distributor), data, U256::ZERO).await?))
    }

    /// Opens a round.
    ///
    /// # Errors
    /// As [`Self::send`]; `TooEarly` and `Underfunded` say what is missing.
    pub async fn open(&self, distributor: Address, round: RoundNo) -> Result<Done, ChainError> {
        let known = self.chain.round(distributor, round, At::Latest).await?;
        if known.is_some_and(|round| round.state == RoundState::Open) {
            return Ok(Done::Before);
        }
        Ok(Done::Now(self.send("open", Some(distributor), calls::open(round), U256::ZERO).await?))
    }

    /// Annuls entitlements of one word.
    ///
    /// # Errors
    /// As [`Self::send`]; `AlreadyPaid` names the first one that was paid.
    pub async fn void(
        &self,
        distributor: Address,
        chunk: &Chunk,
        approvals: &Approvals,
    ) -> Result<Done, ChainError> {
        let words =
            self.chain.void_words(distributor, chunk.mask.round, [chunk.mask.word], At::Latest).await?;
        let is_void = |now: &[u64; 4]| now.iter().zip(chunk.mask.mask).all(|(now, bits)| now & bits == bits);
        if words.first().is_some_and(is_void) {
            return Ok(Done::Before);
        }
        let data = calls::void(chunk, approvals);
        Ok(Done::Now(self.send("void", Some(distributor), data, U256::ZERO).await?))
    }

    /// Takes a chain's epoch; this account must be a sequencer's control key.
    ///
    /// # Errors
    /// As [`Self::send`]; `EpochOutOfRange` names the current epoch, also when another sequencer holds this one.
    pub async fn take_epoch(&self, charter: Address, epoch: Epoch) -> Result<Done, ChainError> {
        let holder = self.chain.epoch_holder(charter, epoch, At::Latest).await?;
        let me = self.chain.control_of(charter, self.account.address(), At::Latest).await?;
        if holder.is_some() && holder == me && self.chain.epoch(charter, At::Latest).await? == epoch {
            return Ok(Done::Before);
        }
        let data = calls::take_epoch(epoch);
        Ok(Done::Now(self.send("takeEpoch", Some(charter), data, U256::ZERO).await?))
    }

    /// Ends a round after closing and grace.
    ///
    /// # Errors
    /// As [`Self::send`]; `TooEarly` says when.
    pub async fn sweep(&self, distributor: Address, round: RoundNo) -> Result<TxReceipt, ChainError> {
        self.send("sweep", Some(distributor), calls::sweep(round), U256::ZERO).await
    }
}
