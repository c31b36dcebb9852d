use std::os::unix::fs::PermissionsExt;

use alloy_primitives::address;

use super::*;

fn password(folder: &Path, text: &str) -> Password {
    let path = folder.join("password");
    std::fs::write(&path, text).unwrap();
    Password::read(&path).unwrap()
}

#[test]
fn an_account_is_opened_by_its_password_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lane.json");
    let address = new_account(&path, &password(folder.path(), "correct horse\n")).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = show(&path).unwrap();
    assert_eq!(shown, Shown { kind: Kind::Account, public: Some(address.to_checksum(None)) });
    let opened = open_account(&path, &password(folder.path(), "correct horse\nsecond line")).unwrap();
    assert_eq!(opened.address(), address);
    let wrong = open_account(&path, &password(folder.path(), "correct house"));
    assert!(matches!(wrong, Err(KeyError::WrongPassword(_))), "{wrong:?}");
}

#[test]
fn a_log_key_and_an_account_are_never_taken_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (log, account) = (folder.path().join("log.json"), folder.path().join("account.json"));
    let password = password(folder.path(), "correct horse");
    let public = new_log_key(&log, &password).unwrap();
    new_account(&account, &password).unwrap();
    assert_eq!(show(&log).unwrap(), Shown { kind: Kind::LogKey, public: Some(hex::encode(public)) });
    assert_eq!(public_half(&open_log_key(&log, &password).unwrap()), public);
    let taken = open_account(&log, &password);
    assert!(matches!(taken, Err(KeyError::WrongKind { found: Kind::LogKey, .. })), "{taken:?}");
    let taken = open_log_key(&account, &password);
    assert!(matches!(taken, Err(KeyError::WrongKind { found: Kind::Account, .. })), "{taken:?}");
}

#[test]
fn a_key_is_never_overwritten_and_a_short_password_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    std::fs::write(&path, "precious").unwrap();
    let made = new_account(&path, &password(folder.path(), "correct horse"));
    assert!(matches!(made, Err(KeyError::Exists(_))), "{made:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert!(matches!(show(&path), Err(KeyError::Malformed { .. })));

    let short = folder.path().join("short");
    std::fs::write(&short, "1234567\nthe rest does not count").unwrap();
    assert!(matches!(Password::read(&short), Err(KeyError::ShortPassword(_))));
}

/// The test vector of the Web3 Secret Storage Definition (PBKDF2), as other programs write it: without an address.
#[test]
fn a_file_of_another_program_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.json");
    let text = r#"{"crypto":{"cipher":"aes-128-ctr",
        "cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256",
        "salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    std::fs::write(&path, text).unwrap();
    assert_eq!(show(&path).unwrap(), Shown { kind: Kind::Account, public: None });
    let opened = open_account(&path, &password(folder.path(), "testpassword")).unwrap();
    assert_eq!(opened.address(), address!("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b"));
}
