//! A wallet that is not made yet (ERC-6492) claims: it is paid where it is listed, and the money waits there. It cannot
//! redirect, because the chain would ask it.

mod support;

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{Body, SignedBy};
use sluice_core::refusal::Code;
use sluice_core::signing::claim_digest;
use sluice_engine::intake::SubmitError;
use support::{FAR, World, account, decided, tokens, wallet};
use uuid::Uuid;

/// The CREATE2 factory that anvil, and most chains, have from the start.
const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
const MAGIC: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

/// A wallet whose owner's key signs for it: how the factory is called to make it, and where it will be.
fn wallet_of(owner: Address) -> (Vec<u8>, Address) {
    let artifact: serde_json::Value =
        serde_json::from_str(include_str!("../../../contracts/abi/TestWallet.json")).expect("an artefact");
    let code = artifact["bytecode"]["object"].as_str().expect("code");
    let code = [hex::decode(code).expect("hexadecimal"), owner.into_word().to_vec()].concat();
    let salt = B256::repeat_byte(9);
    ([salt.as_slice(), &code].concat(), FACTORY.create2(salt, keccak256(&code)))
}

/// ABI encoding of (address, bytes, bytes), and the magic.
fn wrapped(factory_data: &[u8], signature: &[u8]) -> Bytes {
    let word = |n: usize| U256::from(n).to_be_bytes::<32>().to_vec();
    let bytes = |data: &[u8]| {
        let padding = vec![0; data.len().next_multiple_of(32) - data.len()];
        [word(data.len()), data.to_vec(), padding].concat()
    };
    let first = bytes(factory_data);
    let heads = [FACTORY.into_word().to_vec(), word(96), word(96 + first.len())].concat();
    [heads, first, bytes(signature), MAGIC.to_vec()].concat().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_that_is_not_made_yet_is_paid_where_it_is_listed_and_nowhere_else() {
    let world = World::new().await;
    let node = world.node(0).await;
    let owner = account("owner");
    let (made_by, unborn) = wallet_of(owner.address());
    let list = format!("address,amount\n{unborn},5\n{},1\n", wallet(0).address());
    let (terms, snapshot) = world.snapshot_of(&list);
    world.open_round(&node, &terms).await;
    let index = snapshot.find(unborn).start;
    let claim_to = |to: Address, key: &sluice_chain::signer::Account| {
        let mut claim = ClaimDemand {
            round: 1,
            index,
            recipient: unborn,
            to,
            amount: tokens(5),
            deadline: FAR,
            signature: Bytes::new(),
        };
        let digest = claim_digest(&claim, world.distributor_ref());
        claim.signature = wrapped(&made_by, &key.sign_digest(digest).expect("signs"));
        claim
    };
    let submit = |claim| node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim);

    let elsewhere = submit(claim_to(Address::repeat_byte(0xee), &owner)).await;
    assert!(matches!(elsewhere, Err(SubmitError::Refused(Code::BadRedirect))), "{elsewhere:?}");
    let stranger = submit(claim_to(unborn, &account("somebody else"))).await;
    assert!(matches!(stranger, Err(SubmitError::Refused(Code::BadSignature))), "{stranger:?}");

    let outcome = decided(&node, submit(claim_to(unborn, &owner)).await.expect("accepted")).await;
    let Body::ClaimDecided(entry) = outcome.entry.body else { panic!("{:?}", outcome.entry.body) };
    assert_eq!(entry.signed_by, SignedBy::Contract);
    assert!(entry.evidence.looked_at.is_some(), "the evidence names the block");
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    assert_eq!(world.balance(unborn).await, tokens(5).get());
    let code = world.anvil("eth_getCode", serde_json::json!([unborn, "latest"])).await;
    assert_eq!(code, "0x", "paying makes no wallet");
    node.stop().await;
}
