//! Many attestations' revocations in one request.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde_json::json;
use sluice_chain::eas::Registries;
use sluice_chain::{Chain, ChainError, limits::REVOCATIONS_ASKED_MAX};

use crate::proxy::{Proxy, Reply};
use crate::world::{World, ask, config};

const REGISTRY: Address = Address::repeat_byte(0xea);
/// `getRevokeOffchain(revoker, uid)` answers what its storage has under revoker XOR uid: sload(calldata[4] ^ calldata[36]).
const CODE: &str = "0x6004356024351854 60005260206000f3";

fn uid(n: u64) -> B256 {
    B256::from(U256::from(n) << 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attestation_gets_its_own_answer_in_its_place() {
    let world = World::new().await;
    let code = CODE.replace(' ', "");
    ask(&world.raw, "anvil_setCode", json!([REGISTRY, code])).await;
    let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let revoke = async |issuer: Address, uid: B256, time: u64| {
        let slot = issuer.into_word() ^ uid;
        ask(&world.raw, "anvil_setStorageAt", json!([REGISTRY, slot, B256::from(U256::from(time))])).await;
    };
    revoke(one, uid(3), 1_700_000_003).await;
    revoke(other, uid(4), 1_700_000_004).await;
    revoke(one, uid(1_000), 1_700_001_000).await;
    // The second spelling of the last one is the one that was revoked; the list takes three requests.
    let mut asked: Vec<_> = (0..2 * REVOCATIONS_ASKED_MAX as u64).map(|n| (one, vec![uid(n)])).collect();
    asked.push((other, vec![uid(3)]));
    asked.push((other, vec![uid(4)]));
    asked.push((one, vec![uid(999), uid(1_000)]));
    let (times, block) = world.chain.eas_revoked_offchain(REGISTRY, &asked).await.unwrap();
    let expected: Vec<_> = asked
        .iter()
        .map(|(issuer, uids)| match (issuer, uids.last()) {
            (issuer, Some(last)) if *issuer == one && *last == uid(3) => Some(1_700_000_003),
            (issuer, Some(last)) if *issuer == other && *last == uid(4) => Some(1_700_000_004),
            (_, Some(last)) if *last == uid(1_000) => Some(1_700_001_000),
            _ => None,
        })
        .collect();
    assert_eq!(times, expected);
    assert_eq!(block, world.chain.latest().await.unwrap());
    assert_eq!(world.chain.eas_revoked_offchain(REGISTRY, &[]).await.unwrap().0, []);

    let nobody = world.chain.eas_revoked_offchain(Address::repeat_byte(9), &asked[..1]).await;
    assert!(matches!(nobody, Err(ChainError::NoCode(_))), "{nobody:?}");
    ask(&world.raw, "anvil_setCode", json!([REGISTRY, "0x60006000fd"])).await;
    let refused = world.chain.eas_revoked_offchain(REGISTRY, &asked[..1]).await;
    assert!(matches!(refused, Err(ChainError::Reverted { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_forbids_the_shared_call_is_asked_plainly() {
    let world = World::new().await;
    ask(&world.raw, "anvil_setCode", json!([REGISTRY, CODE.replace(' ', "")])).await;
    let issuer = Address::repeat_byte(1);
    let slot = issuer.into_word() ^ uid(2);
    ask(&world.raw, "anvil_setStorageAt", json!([REGISTRY, slot, B256::from(U256::from(7))])).await;
    let asked = [(issuer, vec![uid(1)]), (issuer, vec![uid(3), uid(2)])];
    let forbidden = [
        json!({"jsonrpc": "2.0", "id": 0, "error": {"code": 3, "message": "execution reverted", "data": "0x"}}),
        json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32602, "message": "no address"}}),
        json!({"jsonrpc": "2.0", "id": 0, "result": "0x"}),
    ];
    for answer in forbidden {
        let proxy = Proxy::start(world.anvil.url(), move |request, real| {
            let shared = request["method"] == "eth_call" && request["params"][0]["to"].is_null();
            let mut answer = if shared { answer.clone() } else { real };
            answer["id"] = request["id"].clone();
            Reply::Answer(answer)
        })
        .await;
        let chain = Chain::connect(config(&proxy.url)).await.unwrap();
        let (times, _) = chain.eas_revoked_offchain(REGISTRY, &asked).await.unwrap();
        assert_eq!(times, [None, Some(7)]);
        let nobody = chain.eas_revoked_offchain(Address::repeat_byte(9), &asked).await;
        assert!(matches!(nobody, Err(ChainError::NoCode(_))), "{nobody:?}");
    }
}

/// Logs what it is called with: four topics and a word of data.
const LOGS: &str = "0x6020608060003760603560403560203560003560206000a400";

#[tokio::test(flavor = "multi_thread")]
async fn what_issuers_revoke_is_read_and_what_strangers_say_they_revoke_is_not() {
    let world = World::new().await;
    let (issuer, stranger) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let (off_chain, on_chain) = (REGISTRY, Address::repeat_byte(0xeb));
    for registry in [off_chain, on_chain] {
        ask(&world.raw, "anvil_setCode", json!([registry, LOGS])).await;
    }
    let from = ask(&world.raw, "eth_accounts", json!([])).await[0].clone();
    let before = world.chain.latest().await.unwrap().number;
    let log = async |registry: Address, words: [B256; 5]| {
        let transaction = json!({ "from": from, "to": registry, "data": Bytes::from(words.concat()) });
        ask(&world.raw, "eth_sendTransaction", json!([transaction])).await;
        ask(&world.raw, "anvil_mine", json!([])).await;
    };
    // As eas-contracts 1.4 declares them (IEAS.sol).
    let off = keccak256("RevokedOffchain(address,bytes32,uint64)");
    let on = keccak256("Revoked(address,address,bytes32,bytes32)");
    let (time, schema) = (B256::with_last_byte(9), B256::repeat_byte(9));
    for revoker in [issuer, stranger] {
        let said = if revoker == issuer { uid(1) } else { uid(2) };
        log(off_chain, [off, revoker.into_word(), said, time, B256::ZERO]).await;
    }
    log(on_chain, [on, B256::ZERO, issuer.into_word(), schema, uid(3)]).await;
    log(off_chain, [keccak256("Timestamped(bytes32,uint64)"), uid(4), time, time, uid(4)]).await;
    let to = world.chain.latest().await.unwrap().number;
    let asked =
        Registries { off_chain: [off_chain].into(), issuers: [issuer].into(), on_chain: [on_chain].into() };
    let read = world.chain.eas_revocations(&asked, before + 1, to).await.unwrap();
    assert_eq!(read, [(off_chain, uid(1)), (on_chain, uid(3))]);
    assert_eq!(world.chain.eas_revocations(&asked, to, to).await.unwrap(), []);
    let ahead = world.chain.eas_revocations(&asked, to, to + 1).await;
    assert!(matches!(ahead, Err(ChainError::NoBlock(_))), "a node that is behind says nothing: {ahead:?}");
}
