use alloy_primitives::{Address, B256};

use crate::world::World;

/// A contract that answers `yes` if the 32 bytes of calldata at `at` are `digest`, and zero otherwise.
fn agrees_to(digest: B256, at: u8, yes: [u8; 4]) -> Vec<u8> {
    let mut code = vec![0x60, at, 0x35, 0x7f];
    code.extend(digest);
    code.extend([0x14, 0x63]);
    code.extend(yes);
    code.extend([0x60, 0xe0, 0x1b, 0x02, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3]);
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_are_asked_whether_they_signed() {
    let world = World::new().await;
    let chain = &world.chain;
    let (digest, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let wallet = Address::repeat_byte(0x77);
    world.set_code(wallet, &agrees_to(digest, 4, [0x16, 0x26, 0xba, 0x7e])).await;
    world.mine(1).await;

    let (good, block) = chain.is_valid_signature(wallet, digest, b"any").await.unwrap();
    assert!(good);
    assert_eq!(block, chain.latest().await.unwrap(), "the evidence names the block that was looked at");
    assert!(!chain.is_valid_signature(wallet, other, b"any").await.unwrap().0);
    assert!(chain.is_valid_signer_signature(wallet.as_slice(), digest, b"any").await.unwrap().0);
    assert!(
        !chain.is_valid_signature(Address::repeat_byte(0x78), digest, b"any").await.unwrap().0,
        "no code"
    );

    let verifier = Address::repeat_byte(0x79);
    world.set_code(verifier, &agrees_to(digest, 0x24, [0x02, 0x4a, 0xd3, 0x18])).await;
    world.mine(1).await;
    let signer = [verifier.as_slice(), b"a passkey"].concat();
    assert!(chain.is_valid_signer_signature(&signer, digest, b"any").await.unwrap().0);
    assert!(!chain.is_valid_signer_signature(&signer, other, b"any").await.unwrap().0);
    assert!(!chain.is_valid_signer_signature(b"too short", digest, b"any").await.unwrap().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_reverts_or_burns_its_gas_did_not_sign() {
    let world = World::new().await;
    let (reverts, burns) = (Address::repeat_byte(0x7a), Address::repeat_byte(0x7b));
    world.set_code(reverts, &[0x60, 0x00, 0x60, 0x00, 0xfd]).await;
    // JUMPDEST PUSH1 0 JUMP: for ever.
    world.set_code(burns, &[0x5b, 0x60, 0x00, 0x56]).await;
    world.mine(1).await;
    for contract in [reverts, burns] {
        assert!(!world.chain.is_valid_signature(contract, B256::ZERO, b"x").await.unwrap().0);
    }
}
