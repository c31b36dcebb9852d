//! A wallet that is a contract (ERC-1271) claims and redirects; its signature is asked for on chain, and the entry names
//! the block that was looked at.

mod support;

use alloy_primitives::{Address, B256, Bytes};
use serde_json::json;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::{Body, SignedBy};
use sluice_core::refusal::Code;
use sluice_core::signing::claim_digest;
use sluice_engine::intake::SubmitError;
use support::{World, decided, tokens, wallet};
use uuid::Uuid;

/// A contract that consents to one digest: it answers ERC-1271's magic value if the first argument is that digest, and
/// zero otherwise.
fn consents_to(digest: B256) -> Bytes {
    let mut code = vec![0x60, 0x04, 0x35, 0x7f];
    code.extend(digest);
    code.extend([0x14, 0x63, 0x16, 0x26, 0xba, 0x7e]);
    code.extend([0x60, 0xe0, 0x1b, 0x02, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3]);
    code.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_wallet_claims_what_it_consents_to_and_nothing_else() {
    let world = World::new().await;
    let node = world.node(0).await;
    let contract = Address::repeat_byte(0x77);
    let list = format!("address,amount\n{contract},5\n{},1\n", wallet(0).address());
    let (terms, snapshot) = world.snapshot_of(&list);
    world.open_round(&node, &terms).await;
    let elsewhere = Address::repeat_byte(0xee);
    let index = snapshot.find(contract).start;
    let claim = ClaimDemand {
        round: 1,
        index,
        recipient: contract,
        to: elsewhere,
        amount: tokens(5),
        deadline: 40_000_000_000,
        signature: Bytes::from_static(b"whatever this wallet understands"),
    };
    let submit = |claim| node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim);

    let early = submit(claim.clone()).await;
    assert!(matches!(early, Err(SubmitError::Refused(Code::BadSignature))), "without code: {early:?}");
    let code = consents_to(claim_digest(&claim, world.distributor_ref()));
    world.anvil("anvil_setCode", json!([contract, code])).await;
    world.mine(1).await;
    let other = submit(ClaimDemand { to: contract, ..claim.clone() }).await;
    assert!(matches!(other, Err(SubmitError::Refused(Code::BadSignature))), "another destination: {other:?}");

    let outcome = decided(&node, submit(claim).await.expect("accepted")).await;
    let Body::ClaimDecided(entry) = outcome.entry.body else { panic!("{:?}", outcome.entry.body) };
    assert_eq!(entry.signed_by, SignedBy::Contract);
    assert!(entry.evidence.looked_at.is_some(), "the evidence names the block");
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    assert_eq!(world.balance(elsewhere).await, tokens(5).get());
    assert_eq!(world.balance(contract).await, 0);
    node.stop().await;
}
