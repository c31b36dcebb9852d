use alloy_primitives::{Address, B256, Bytes, address, hex, keccak256};
use alloy_sol_types::SolValue;
use sluice_chain::is_wrapped;
use sluice_chain::signer::Account;
use sluice_core::limits::SIGNATURE_BYTES_MAX;

use crate::world::{World, ask};

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

/// The CREATE2 factory that anvil, and most chains, have from the start.
const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// A wallet whose owner's key signs for it: how the factory is called to make it, and where it will be.
fn wallet_of(owner: Address) -> (Bytes, Address) {
    #[derive(serde::Deserialize)]
    struct Artifact {
        bytecode: Code,
    }
    #[derive(serde::Deserialize)]
    struct Code {
        object: Bytes,
    }
    let json = include_str!("../../../../contracts/abi/TestWallet.json");
    let artifact: Artifact = serde_json::from_str(json).unwrap();
    let code = [artifact.bytecode.object.as_ref(), &owner.abi_encode()].concat();
    let salt = B256::repeat_byte(9);
    let made = [salt.as_slice(), &code].concat();
    (made.into(), FACTORY.create2(salt, keccak256(&code)))
}

fn wrapped(factory: Address, factory_data: &Bytes, signature: &Bytes) -> Vec<u8> {
    let magic = hex::decode("6492649264926492649264926492649264926492649264926492649264926492").unwrap();
    [(factory, factory_data.clone(), signature.clone()).abi_encode_params(), magic].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_not_made_yet_signs_with_what_makes_it() {
    let world = World::new().await;
    let chain = &world.chain;
    let owner = Account::random();
    let digest = keccak256(b"a claim");
    let (made_by, wallet) = wallet_of(owner.address());
    let signature = owner.sign_digest(digest).unwrap();
    let good = wrapped(FACTORY, &made_by, &signature);
    assert!(is_wrapped(&good) && good.len() <= SIGNATURE_BYTES_MAX && !is_wrapped(&signature));
    let signed = async |wallet, digest, signature: &[u8]| {
        chain.wallet_signed(wallet, digest, signature).await.unwrap().0
    };

    assert!(signed(wallet, digest, &good).await, "before it exists");
    let (_, block) = chain.wallet_signed(wallet, digest, &good).await.unwrap();
    assert_eq!(block, chain.latest().await.unwrap(), "the evidence names the block that was looked at");
    let code = ask(&world.raw, "eth_getCode", serde_json::json!([wallet, "latest"])).await;
    assert_eq!(code, "0x", "asking makes nothing");
    assert!(!signed(wallet, keccak256(b"another"), &good).await, "another claim");
    assert!(!signed(Address::repeat_byte(1), digest, &good).await, "the factory makes another wallet");
    let forged = Account::random().sign_digest(digest).unwrap();
    assert!(!signed(wallet, digest, &wrapped(FACTORY, &made_by, &forged)).await, "another's key");
    assert!(!signed(wallet, digest, &wrapped(Address::ZERO, &made_by, &signature)).await, "no factory");
    assert!(!signed(wallet, digest, &wrapped(FACTORY, &Bytes::from(vec![0xfe; 40]), &signature)).await);
    assert!(!signed(wallet, digest, &signature).await, "unwrapped, there is nobody to ask");
    assert!(!signed(wallet, digest, &good[7..]).await, "no wrapping at all");
    assert!(
        !chain.is_valid_signature(wallet, digest, &good).await.unwrap().0,
        "authorities are asked as on chain"
    );

    world.operator.send("a wallet", Some(FACTORY), made_by, Default::default()).await.unwrap();
    assert!(signed(wallet, digest, &good).await, "once it exists, too");
    assert!(signed(wallet, digest, &signature).await);
    assert!(!signed(wallet, digest, &wrapped(FACTORY, &Bytes::new(), &forged)).await);
    assert!(signed(wallet, digest, &wrapped(Address::ZERO, &Bytes::new(), &signature)).await);
}
