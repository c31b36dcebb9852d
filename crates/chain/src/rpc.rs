//! A chain: one or two RPCs, and the plain facts a sender needs.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use alloy::rpc::json_rpc::RpcRecv;
use alloy::rpc::types::Log;
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_core::fees::Market;
use sluice_core::ids::{BlockRef, ChainId};

use crate::data_cost::ChainKind;
use crate::endpoint::{Endpoint, Share};
use crate::error::ChainError;
use crate::finality::Finality;
use crate::limits::{FEE_HISTORY_BLOCKS, READ_ATTEMPTS, READ_RETRY_AFTER, TX_GAS_CAP, URLS_MAX};
use crate::revert::Revert;

/// A chain as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Its id; checked against the node.
    pub chain_id: ChainId,
    /// One or two RPC URLs (http or https). With two, a block is final only if both say so.
    pub rpc: Vec<String>,
    /// When a block is final.
    #[serde(default = "default_finality")]
    pub finality: Finality,
    /// Outbound requests a second and URL. A quarter of them may be look-ups for claimants.
    #[serde(default = "default_rate")]
    pub requests_per_second: NonZeroU32,
    /// Gas one transaction may use on this chain.
    #[serde(default = "default_gas_cap")]
    pub transaction_gas_cap: u64,
    /// What the chain charges for besides execution.
    #[serde(default)]
    pub kind: ChainKind,
}

fn default_finality() -> Finality {
    Finality::Finalized
}

/// Free plans of providers allow about this much.
fn default_rate() -> NonZeroU32 {
    NonZeroU32::new(25).expect("25 is not zero")
}

fn default_gas_cap() -> u64 {
    TX_GAS_CAP
}

impl ChainConfig {
    /// A chain behind one RPC, everything else by default.
    pub fn new(chain_id: ChainId, url: impl Into<String>) -> Self {
        Self {
            chain_id,
            rpc: vec![url.into()],
            finality: default_finality(),
            requests_per_second: default_rate(),
            transaction_gas_cap: default_gas_cap(),
            kind: ChainKind::default(),
        }
    }
}

/// The state a read sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After the latest block.
    Latest,
    /// After the latest block and what waits in the node's mempool.
    Pending,
    /// After the block of this height.
    Number(u64),
    /// After exactly this block.
    Block(BlockRef),
}

impl At {
    pub(crate) fn param(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Pending => json!("pending"),
            Self::Number(number) => json!(U64::from(number)),
            Self::Block(block) => json!({ "blockHash": block.hash }),
        }
    }
}

/// How much gas fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasLimits {
    /// Into a block.
    pub block: u64,
    /// Into one transaction.
    pub transaction: u64,
}

/// What became of a mined transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxReceipt {
    /// The transaction.
    pub tx_hash: B256,
    /// Where it was mined.
    pub block: BlockRef,
    /// False if it reverted.
    pub succeeded: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// What it paid, wei per gas.
    pub gas_price: u128,
    /// What it paid beside its gas for bringing it to another chain, wei: chains of Optimism's kind say so.
    pub data_fee: u128,
    /// Who sent it.
    pub from: Address,
    /// The contract it deployed.
    pub deployed: Option<Address>,
}

/// Where a transaction stands, as far as the node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxPlace {
    /// The node has never seen it, or dropped it.
    Unknown,
    /// In the mempool.
    Pending,
    /// Mined; perhaps not final.
    Mined(BlockRef),
}

/// A chain. Cheap to clone; clones share limiter and connections.
#[derive(Clone, Debug)]
pub struct Chain {
    inner: Arc<Inner>,
    share: Share,
}

#[derive(Debug)]
struct Inner {
    config: ChainConfig,
    endpoints: Vec<Endpoint>,
    /// The highest block both RPCs called final: what stands while one of them is away.
    agreed: Mutex<Option<BlockRef>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    number: U64,
    hash: B256,
    timestamp: U64,
    gas_limit: U64,
}

impl Header {
    pub(crate) fn block(&self) -> BlockRef {
        BlockRef { number: self.number.to(), hash: self.hash }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    transaction_hash: B256,
    block_number: U64,
    block_hash: B256,
    status: U64,
    gas_used: U64,
    effective_gas_price: Option<U128>,
    /// Not part of Ethereum's own receipts.
    #[serde(default)]
    l1_fee: Option<U256>,
    from: Address,
    contract_address: Option<Address>,
}

impl From<RawReceipt> for TxReceipt {
    fn from(raw: RawReceipt) -> Self {
        Self {
            tx_hash: raw.transaction_hash,
            block: BlockRef { number: raw.block_number.to(), hash: raw.block_hash },
            succeeded: raw.status == U64::from(1),
            gas_used: raw.gas_used.to(),
            gas_price: raw.effective_gas_price.unwrap_or_default().to(),
            data_fee: raw.l1_fee.unwrap_or_default().saturating_to(),
            from: raw.from,
            deployed: raw.contract_address,
        }
    }
}

impl Chain {
    /// Connects: every configured RPC must answer and serve this chain.
    ///
    /// # Errors
    /// [`ChainError::Config`], [`ChainError::WrongChain`], or a node that cannot be reached.
    pub async fn connect(config: ChainConfig) -> Result<Self, ChainError> {
        let chain_id = config.chain_id;
        let bad = |problem: String| ChainError::Config { chain_id, problem };
        let distinct: BTreeSet<&String> = config.rpc.iter().collect();
        if config.rpc.is_empty() || config.rpc.len() > URLS_MAX || distinct.len() != config.rpc.len() {
            return Err(bad(format!(
                "{} RPC URLs are given; one or two different ones are needed",
                config.rpc.len()
            )));
        }
        let endpoints: Result<Vec<_>, _> =
            config.rpc.iter().map(|url| Endpoint::new(url, config.requests_per_second)).collect();
        let endpoints = endpoints.map_err(bad)?;
        let inner = Arc::new(Inner { config, endpoints, agreed: Mutex::new(None) });
        let chain = Self { inner, share: Share::Own };
        for endpoint in &chain.inner.endpoints {
            let found: U64 = chain.read_on(endpoint, "eth_chainId", json!([])).await?;
            let found: ChainId = found.to();
            if found != chain_id {
                let url = endpoint.shown().to_owned();
                return Err(ChainError::WrongChain { url, expected: chain_id, found });
            }
        }
        Ok(chain)
    }

    /// The same chain for look-ups that claimants cause: they share the limit of requests, but cannot take more than
    /// one in [`crate::limits::LOOKUP_SHARE`] of it, however many there are.
    pub fn for_look_ups(&self) -> Self {
        self.with(Share::LookUps)
    }

    /// The same chain for look-ups about claims and attestations as they are handed in: at most one in
    /// [`crate::limits::DOOR_SHARE`] of all look-ups.
    pub fn at_door(&self) -> Self {
        self.with(Share::Door)
    }

    /// The same chain for look-ups about commands and gates' masks as they are handed in: at most one in
    /// [`crate::limits::ORDERS_SHARE`] of all look-ups.
    pub fn for_orders(&self) -> Self {
        self.with(Share::Orders)
    }

    fn with(&self, share: Share) -> Self {
        Self { inner: Arc::clone(&self.inner), share }
    }

    /// The chain's id.
    pub fn id(&self) -> ChainId {
        self.inner.config.chain_id
    }

    /// As configured.
    pub fn config(&self) -> &ChainConfig {
        &self.inner.config
    }

    pub(crate) fn agreed(&self) -> &Mutex<Option<BlockRef>> {
        &self.inner.agreed
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.inner.endpoints
    }

    /// An idempotent read, tried a bounded number of times, at the other RPC every second time.
    pub(crate) async fn read<R: RpcRecv>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        self.attempts(|attempt| &self.inner.endpoints[attempt % self.inner.endpoints.len()], method, params)
            .await
    }

    /// The same at one RPC.
    pub(crate) async fn read_on<R: RpcRecv>(
        &self,
        endpoint: &Endpoint,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        self.attempts(|_| endpoint, method, params).await
    }

    async fn attempts<'a, R: RpcRecv>(
        &'a self,
        endpoint: impl Fn(usize) -> &'a Endpoint,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        let mut pause = READ_RETRY_AFTER;
        let mut attempt = 0;
        loop {
            let answer = endpoint(attempt).request(self.share, method, params.clone()).await;
            attempt += 1;
            match answer {
                Err(error) if error.is_worth_another_attempt() && attempt < READ_ATTEMPTS as usize => {
                    tracing::debug!(%error, method, attempt, "chain read failed; trying again");
                    // A provider that fails or limits requests says nothing when it is well again; attempts are bounded.
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn header_on(
        &self,
        endpoint: &Endpoint,
        tag: Value,
    ) -> Result<Option<Header>, ChainError> {
        self.read_on(endpoint, "eth_getBlockByNumber", json!([tag, false])).await
    }

    pub(crate) async fn block_on(
        &self,
        endpoint: &Endpoint,
        number: u64,
    ) -> Result<Option<BlockRef>, ChainError> {
        let header = self.header_on(endpoint, json!(U64::from(number))).await?;
        Ok(header.map(|header| header.block()))
    }

    pub(crate) async fn latest_header(&self) -> Result<Header, ChainError> {
        let header: Option<Header> = self.read("eth_getBlockByNumber", json!(["latest", false])).await?;
        header.ok_or(ChainError::NoBlock(0))
    }

    /// The block of this height now; `None` if there is none yet.
    ///
    /// # Errors
    /// No answer.
    pub async fn block_ref(&self, number: u64) -> Result<Option<BlockRef>, ChainError> {
        let header: Option<Header> =
            self.read("eth_getBlockByNumber", json!([U64::from(number), false])).await?;
        Ok(header.map(|header| header.block()))
    }

    /// The latest block.
    ///
    /// # Errors
    /// No answer.
    pub async fn latest(&self) -> Result<BlockRef, ChainError> {
        Ok(self.latest_header().await?.block())
    }

    /// The latest block's time, Unix seconds.
    ///
    /// # Errors
    /// No answer.
    pub async fn timestamp(&self) -> Result<u64, ChainError> {
        Ok(self.latest_header().await?.timestamp.to())
    }

    /// How much gas fits into a block and into a transaction now.
    ///
    /// # Errors
    /// No answer.
    pub async fn limits(&self) -> Result<GasLimits, ChainError> {
        let block: u64 = self.latest_header().await?.gas_limit.to();
        Ok(GasLimits { block, transaction: block.min(self.inner.config.transaction_gas_cap) })
    }

    /// An account's native coin, wei; more than a u128 holds is shown as its maximum.
    ///
    /// # Errors
    /// No answer.
    pub async fn balance(&self, account: Address, at: At) -> Result<u128, ChainError> {
        let balance: U256 = self.read("eth_getBalance", json!([account, at.param()])).await?;
        Ok(balance.saturating_to())
    }

    /// An account's next nonce.
    ///
    /// # Errors
    /// No answer.
    pub async fn nonce(&self, account: Address, at: At) -> Result<u64, ChainError> {
        let nonce: U64 = self.read("eth_getTransactionCount", json!([account, at.param()])).await?;
        Ok(nonce.to())
    }

    /// An address's code; empty where there is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn code(&self, address: Address, at: At) -> Result<Bytes, ChainError> {
        self.read("eth_getCode", json!([address, at.param()])).await
    }

    /// What became of a transaction; `None` while it is not mined.
    ///
    /// # Errors
    /// No answer.
    pub async fn receipt(&self, tx_hash: B256) -> Result<Option<TxReceipt>, ChainError> {
        let raw: Option<RawReceipt> = self.read("eth_getTransactionReceipt", json!([tx_hash])).await?;
        Ok(raw.map(TxReceipt::from))
    }

    /// Where a transaction stands, as far as the nodes know.
    ///
    /// # Errors
    /// No answer.
    pub async fn place(&self, tx_hash: B256) -> Result<TxPlace, ChainError> {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct RawTx {
            block_number: Option<U64>,
            block_hash: Option<B256>,
        }
        let mut place = TxPlace::Unknown;
        for endpoint in self.endpoints() {
            let raw: Option<RawTx> =
                self.read_on(endpoint, "eth_getTransactionByHash", json!([tx_hash])).await?;
            match raw {
                Some(RawTx { block_number: Some(number), block_hash: Some(hash) }) => {
                    return Ok(TxPlace::Mined(BlockRef { number: number.to(), hash }));
                }
                Some(_) => place = TxPlace::Pending,
                None => {}
            }
        }
        Ok(place)
    }

    /// What the chain asks now: the next block's base fee, and the median tip of recent blocks that paid any.
    ///
    /// # Errors
    /// No answer, or one without base fees (a chain before EIP-1559).
    pub async fn fees(&self) -> Result<Market, ChainError> {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct History {
            base_fee_per_gas: Vec<U128>,
            #[serde(default)]
            reward: Option<Vec<Vec<U128>>>,
        }
        let params = json!([U64::from(FEE_HISTORY_BLOCKS), "latest", [50]]);
        let history: History = self.read("eth_feeHistory", params).await?;
        let base_fee = history.base_fee_per_gas.last().ok_or(ChainError::Malformed {
            what: "eth_feeHistory",
            problem: "it names no base fee; chains before EIP-1559 are not served".to_owned(),
        })?;
        let mut tips: Vec<u128> =
            history.reward.into_iter().flatten().flatten().map(|tip| tip.to()).collect();
        tips.retain(|tip| *tip > 0);
        tips.sort_unstable();
        Ok(Market { base_fee: base_fee.to(), priority_fee: tips.get(tips.len() / 2).copied().unwrap_or(0) })
    }

    /// Calls a contract. A revert is an error with its reason.
    pub(crate) async fn call(&self, call: &'static str, tx: Value, at: At) -> Result<Bytes, ChainError> {
        let answer = self.read("eth_call", json!([tx, at.param()])).await;
        answer.map_err(|error| as_revert(call, error))
    }

    /// Raw logs of a filter at one RPC, tried once: a refusal means a smaller range, not another attempt.
    pub(crate) async fn logs_on(&self, endpoint: &Endpoint, filter: Value) -> Result<Vec<Log>, ChainError> {
        endpoint.request(self.share, "eth_getLogs", json!([filter])).await
    }
}

/// A node reports a revert as an error response with the return data, under code 3 or its own.
pub(crate) fn as_revert(call: &'static str, error: ChainError) -> ChainError {
    let Some(payload) = error.response() else { return error };
    let data = payload.as_revert_data();
    if data.is_none() && payload.code != 3 && !payload.message.to_lowercase().contains("revert") {
        return error;
    }
    ChainError::Reverted { call, revert: Revert::decode(data.unwrap_or_default()) }
}
