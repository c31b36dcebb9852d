use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, Bytes, U256};
use serde_json::json;
use sluice_chain::send::Outcome;
use sluice_chain::signer::{Account, Signed, TxRequest};
use sluice_chain::{At, Chain, ChainConfig, TxPlace};
use sluice_core::fees::Fees;
use sluice_embedded::{Anvil, AnvilOptions, Mining};

use crate::proxy::{Proxy, Reply};
use crate::world::{CHAIN_ID, ask, config, raw_client};

const GWEI: u128 = 1_000_000_000;

fn request(nonce: u64) -> TxRequest {
    TxRequest {
        chain_id: CHAIN_ID,
        nonce,
        to: Some(Address::repeat_byte(0x11)),
        data: Bytes::new(),
        gas_limit: 21_000,
        fees: Fees { max_fee: 10 * GWEI, priority_fee: GWEI },
        value: U256::from(1),
    }
}

struct Bench {
    anvil: Anvil,
    chain: Chain,
    account: Account,
}

impl Bench {
    async fn new() -> Self {
        let options = AnvilOptions { mining: Mining::OnDemand, ..AnvilOptions::default() };
        let anvil = Anvil::start(&options).await.unwrap();
        let chain = Chain::connect(config(anvil.url())).await.unwrap();
        let account = Account::from_private_key(&anvil.private_keys()[0]).unwrap();
        Self { anvil, chain, account }
    }

    async fn mine(&self) {
        ask(&raw_client(&self.anvil), "anvil_mine", json!(["0x1"])).await;
    }

    async fn send(&self, request: TxRequest) -> Result<Signed, Outcome> {
        let signed = self.account.sign(&request).unwrap();
        match self.chain.broadcast(&signed.raw).await {
            Ok(sent) => {
                assert_eq!(sent.tx_hash, signed.hash, "the hash we computed is the chain's");
                assert!(!sent.was_known);
                Ok(signed)
            }
            Err(error) => {
                println!("anvil says: {}", error.message);
                Err(error.outcome)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_goes_from_broadcast_to_receipt_and_back_by_a_reorganisation() {
    let bench = Bench::new().await;
    let chain = &bench.chain;
    let unsent = bench.account.sign(&request(0)).unwrap();
    assert_eq!(chain.place(unsent.hash).await.unwrap(), TxPlace::Unknown);
    let signed = bench.send(request(0)).await.unwrap();
    assert_eq!(chain.place(signed.hash).await.unwrap(), TxPlace::Pending);
    assert!(chain.broadcast(&signed.raw).await.unwrap().was_known, "sending again does no harm");
    let sender = bench.account.address();
    assert_eq!(chain.nonce(sender, At::Pending).await.unwrap(), 1);
    assert_eq!(chain.nonce(sender, At::Latest).await.unwrap(), 0);

    bench.mine().await;
    let receipt = chain.receipt(signed.hash).await.unwrap().unwrap();
    let block = chain.latest().await.unwrap();
    assert_eq!((receipt.block, receipt.succeeded, receipt.gas_used), (block, true, 21_000));
    assert_eq!((receipt.from, receipt.deployed), (sender, None));
    assert!(receipt.gas_price > 0);
    assert_eq!(chain.place(signed.hash).await.unwrap(), TxPlace::Mined(block));

    ask(&raw_client(&bench.anvil), "anvil_reorg", json!([1, []])).await;
    assert_eq!(chain.receipt(signed.hash).await.unwrap(), None);
    assert_eq!(chain.nonce(sender, At::Latest).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_real_node_are_understood() {
    let bench = Bench::new().await;
    bench.send(request(0)).await.unwrap();
    // Anvil asks for more, not for a tenth more.
    let underpriced = TxRequest { value: U256::from(2), ..request(0) };
    assert_eq!(bench.send(underpriced).await.unwrap_err(), Outcome::ReplacementUnderpriced);
    let raised = Fees { max_fee: 12 * GWEI, priority_fee: 2 * GWEI };
    bench.send(TxRequest { fees: raised, ..request(0) }).await.unwrap();
    bench.mine().await;

    let other = TxRequest { value: U256::from(3), ..request(0) };
    assert_eq!(bench.send(other).await.unwrap_err(), Outcome::NonceTooLow);
    let poor = TxRequest { value: U256::from(10u128.pow(24)), ..request(1) };
    assert_eq!(bench.send(poor).await.unwrap_err(), Outcome::InsufficientFunds);
    let huge = TxRequest { gas_limit: 16_777_217, ..request(1) };
    assert_eq!(bench.send(huge).await.unwrap_err(), Outcome::GasLimit);
    let small = TxRequest { gas_limit: 20_999, ..request(1) };
    assert_eq!(bench.send(small).await.unwrap_err(), Outcome::GasLimit);
    let below = TxRequest { fees: Fees { max_fee: 1, priority_fee: 1 }, ..request(1) };
    assert_eq!(bench.send(below).await.unwrap_err(), Outcome::FeeCapTooLow);
    let elsewhere = TxRequest { chain_id: 5, ..request(1) };
    assert_eq!(bench.send(elsewhere).await.unwrap_err(), Outcome::Rejected);
    assert_eq!(bench.chain.broadcast(b"not a transaction").await.unwrap_err().outcome, Outcome::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_ambiguous_and_a_dead_node_is_not() {
    let bench = Bench::new().await;
    let silent = Arc::new(AtomicBool::new(false));
    let silence = silent.clone();
    let proxy = Proxy::start(bench.anvil.url(), move |_, answer| match silence.load(Ordering::Relaxed) {
        true => Reply::Silence,
        false => Reply::Answer(answer),
    })
    .await;
    let lossy = Chain::connect(config(&proxy.url)).await.unwrap();
    silent.store(true, Ordering::Relaxed);
    let signed = bench.account.sign(&request(0)).unwrap();
    let error = lossy.broadcast(&signed.raw).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Ambiguous, "{error}");
    assert_eq!(
        bench.chain.place(signed.hash).await.unwrap(),
        TxPlace::Pending,
        "the node has it all the same"
    );

    // With a second RPC the same bytes still go out at once.
    let both = ChainConfig { rpc: vec![proxy.url.clone(), bench.anvil.url()], ..config("") };
    silent.store(false, Ordering::Relaxed);
    let both = Chain::connect(both).await.unwrap();
    silent.store(true, Ordering::Relaxed);
    let second = bench.account.sign(&request(1)).unwrap();
    assert_eq!(both.broadcast(&second.raw).await.unwrap().tx_hash, second.hash);

    let Bench { anvil, chain, account } = bench;
    anvil.stop().await;
    let signed = account.sign(&request(1)).unwrap();
    assert_eq!(chain.broadcast(&signed.raw).await.unwrap_err().outcome, Outcome::Unavailable);
}
