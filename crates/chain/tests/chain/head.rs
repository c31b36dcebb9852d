use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, B256};
use serde_json::json;
use sluice_chain::{At, Chain, ChainConfig, ChainError, Class, Finality};
use sluice_embedded::{Anvil, AnvilOptions};

use crate::proxy::{Proxy, Reply};
use crate::world::{ask, config, raw_client};

async fn anvil_at(height: u64) -> Anvil {
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    ask(&raw_client(&anvil), "anvil_mine", json!([format!("{height:#x}")])).await;
    anvil
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_is_as_configured() {
    let anvil = anvil_at(20).await;
    for (finality, expected) in [
        (Finality::Finalized, 18),
        (Finality::Safe, 19),
        (Finality::Confirmations(5), 15),
        (Finality::Confirmations(0), 20),
        (Finality::Confirmations(500), 0),
    ] {
        let chain = Chain::connect(ChainConfig { finality, ..config(anvil.url()) }).await.unwrap();
        let head = chain.head().await.unwrap();
        assert_eq!((head.latest.number, head.finalized.number), (20, expected), "{finality:?}");
        assert_eq!(chain.block_ref(expected).await.unwrap(), Some(head.finalized));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rpcs_must_agree_on_what_is_final() {
    let anvil = anvil_at(20).await;
    let lies = Arc::new(AtomicBool::new(false));
    let silent = Arc::new(AtomicBool::new(false));
    let (lie, silence) = (lies.clone(), silent.clone());
    let second = Proxy::start(anvil.url(), move |request, mut answer| {
        if silence.load(Ordering::Relaxed) {
            return Reply::Silence;
        }
        if request["method"] == "eth_getBlockByNumber" && lie.load(Ordering::Relaxed) {
            answer["result"]["hash"] = json!(B256::repeat_byte(0xbb));
        }
        Reply::Answer(answer)
    })
    .await;
    let both = ChainConfig { rpc: vec![anvil.url(), second.url.clone()], ..config("") };
    let chain = Chain::connect(both).await.unwrap();
    let agreed = chain.head().await.unwrap();
    assert_eq!(agreed.finalized.number, 18);

    lies.store(true, Ordering::Relaxed);
    let error = chain.head().await.unwrap_err();
    let first = agreed.finalized.hash;
    assert!(matches!(error, ChainError::Disagree { number: 18, first: a, second: b }
        if a == first && b == B256::repeat_byte(0xbb)));
    assert_eq!(error.class(), Class::Wait);

    // While the second is away the chain goes on, and finality stands.
    lies.store(false, Ordering::Relaxed);
    silent.store(true, Ordering::Relaxed);
    ask(&raw_client(&anvil), "anvil_mine", json!(["0x5"])).await;
    let head = chain.head().await.unwrap();
    assert_eq!((head.latest.number, head.finalized), (25, agreed.finalized));
    silent.store(false, Ordering::Relaxed);
    assert_eq!(chain.head().await.unwrap().finalized.number, 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_to_the_other_rpc_when_one_is_silent() {
    let anvil = anvil_at(3).await;
    let silent = Arc::new(AtomicBool::new(false));
    let silence = silent.clone();
    let first = Proxy::start(anvil.url(), move |_, answer| match silence.load(Ordering::Relaxed) {
        true => Reply::Silence,
        false => Reply::Answer(answer),
    })
    .await;
    let both = ChainConfig { rpc: vec![first.url.clone(), anvil.url()], ..config("") };
    let chain = Chain::connect(both).await.unwrap();
    silent.store(true, Ordering::Relaxed);
    assert_eq!(chain.latest().await.unwrap().number, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sender_asks_is_answered() {
    let anvil = anvil_at(3).await;
    let chain = Chain::connect(config(anvil.url())).await.unwrap();
    let limits = chain.limits().await.unwrap();
    assert_eq!(limits.transaction, 16_777_216);
    assert!(limits.block >= limits.transaction);
    let market = chain.fees().await.unwrap();
    assert!(market.base_fee > 0);
    let owner: Address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".parse().unwrap();
    assert_eq!(chain.balance(owner, At::Latest).await.unwrap(), 10_000 * 10u128.pow(18));
    assert_eq!(chain.nonce(owner, At::Number(2)).await.unwrap(), 0);
    assert!(chain.code(owner, At::Latest).await.unwrap().is_empty());
    assert_eq!(chain.receipt(B256::repeat_byte(1)).await.unwrap(), None);
    assert_eq!(chain.block_ref(4).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_chain_and_bad_urls_are_refused_at_once() {
    let anvil = anvil_at(1).await;
    let error = Chain::connect(ChainConfig { chain_id: 1, ..config(anvil.url()) }).await.unwrap_err();
    assert!(matches!(&error, ChainError::WrongChain { expected: 1, found: 31_337, .. }), "{error}");
    for rpc in [vec![], vec![anvil.url(); 2], vec!["ftp://x".to_owned()]] {
        let error = Chain::connect(ChainConfig { rpc, ..config("") }).await.unwrap_err();
        assert!(matches!(error, ChainError::Config { .. }));
    }
}
