use alloy::eips::eip2718::Decodable2718;
use alloy_primitives::{Signature, keccak256};

use super::*;

/// The first of the keys that every development chain uses, and the world knows.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

#[test]
fn a_key_survives_its_keystore_and_is_not_shown() {
    let account = Account::from_private_key(KEY).unwrap();
    assert_eq!(account.address().to_string(), ADDRESS);
    assert_eq!(format!("{account:?}"), format!("Account({ADDRESS})"));
    assert_eq!(account.signer_bytes().len(), 20);

    let dir = tempfile::tempdir().unwrap();
    let path = account.write_keystore(dir.path(), "lane-1", "correct horse").unwrap();
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(!stored.contains(KEY.trim_start_matches("0x")) && stored.contains("scrypt"));
    assert_eq!(Account::from_keystore(&path, "correct horse").unwrap().address(), account.address());

    let wrong = Account::from_keystore(&path, "battery staple").unwrap_err();
    assert!(matches!(&wrong, KeyError::Keystore { .. }));
    assert!(wrong.to_string().contains("lane-1"), "{wrong}");
    assert!(matches!(Account::from_keystore(&dir.path().join("none"), "x"), Err(KeyError::Keystore { .. })));
    assert!(matches!(
        account.write_keystore(&dir.path().join("none"), "x", "x"),
        Err(KeyError::Write { .. })
    ));
}

#[test]
fn what_is_no_key_is_refused_without_repeating_it() {
    for bad in
        ["", "0x12", "not a key at all", &format!("0x{}", "00".repeat(32)), &format!("0x{}", "ff".repeat(32))]
    {
        let error = Account::from_private_key(bad).unwrap_err();
        assert!(matches!(error, KeyError::NotAKey), "{bad}");
        assert_eq!(
            error.to_string(),
            "a private key is 32 bytes in hex, above zero and below the curve's order"
        );
    }
    assert!(Account::from_bytes(&B256::ZERO).is_err());
}

#[test]
fn a_digest_is_signed_for_openzeppelins_ecdsa() {
    let account = Account::from_private_key(KEY).unwrap();
    let digest = keccak256(b"a digest");
    let signature = account.sign_digest(digest).unwrap();
    assert_eq!(signature.len(), 65);
    assert!(matches!(signature[64], 27 | 28));
    let parsed = Signature::from_raw(&signature).unwrap();
    assert_eq!(parsed.recover_address_from_prehash(&digest).unwrap(), account.address());
    assert!(parsed.normalize_s().is_none(), "s is low, as EIP-2 demands");
}

#[test]
fn a_transaction_is_signed_as_asked() {
    let account = Account::from_private_key(KEY).unwrap();
    let request = TxRequest {
        chain_id: 31_337,
        nonce: 7,
        to: Some(Address::repeat_byte(2)),
        data: Bytes::from([1, 2, 3]),
        gas_limit: 50_000,
        fees: Fees { max_fee: 20, priority_fee: 3 },
        value: U256::from(9),
    };
    let signed = account.sign(&request).unwrap();
    assert_eq!(signed.hash, keccak256(&signed.raw));
    assert_eq!(account.sign(&request).unwrap(), signed, "the same request gives the same bytes (RFC 6979)");
    let TxEnvelope::Eip1559(tx) = TxEnvelope::decode_2718(&mut signed.raw.as_ref()).unwrap() else {
        panic!()
    };
    let signer = tx.signature().recover_address_from_prehash(&tx.signature_hash()).unwrap();
    assert_eq!(signer, account.address());
    let tx = tx.strip_signature();
    assert_eq!((tx.chain_id, tx.nonce, tx.gas_limit), (31_337, 7, 50_000));
    assert_eq!((tx.max_fee_per_gas, tx.max_priority_fee_per_gas), (20, 3));
    assert_eq!(
        (tx.to, tx.value, tx.input),
        (TxKind::Call(Address::repeat_byte(2)), request.value, request.data)
    );
}
