use alloy_primitives::address;

use super::*;
use crate::ids::{ContractRef, StreamId};

// golang.org/x/mod/sumdb/note: the package's example and its tests' second key.
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> LogVerifier {
    text.parse().unwrap()
}

fn origin() -> Origin {
    let address = address!("5FbDB2315678afecb367f032d93F642f64180aa3");
    Origin::new(ContractRef { chain_id: 31_337, address }, StreamId(1))
}

fn log_key() -> LogKey {
    LogKey::new(&origin(), &[7; 32])
}

fn head() -> TreeHead {
    TreeHead { origin: origin(), size: 20_852_163, root: [0xAB; 32], state_hash: None }
}

#[test]
fn gos_example_note_verifies_and_is_signed_alike() {
    let note = format!("{TEXT}\n{PETER_LINE}");
    assert_eq!(verify(&note, &[key(PETER)]), Ok((TEXT, vec!["PeterNeumann".to_owned()])));
    let secret: [u8; 32] = STANDARD.decode(PETER_SECRET).unwrap()[1..].try_into().unwrap();
    assert_eq!(signature_line("PeterNeumann", &SigningKey::from_bytes(&secret), TEXT), PETER_LINE);
    // Go's tests derive the second key from zero bytes.
    let enoch = SigningKey::from_bytes(&[0; 32]);
    assert_eq!(signature_line("EnochRoot", &enoch, TEXT), ENOCH_LINE);
    assert_eq!(LogVerifier::named("EnochRoot", enoch.verifying_key()).to_string(), ENOCH);
}

#[test]
fn the_specifications_example_note_verifies() {
    let foo = key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(verify(note, &[foo]).unwrap().0, "This is an example message.\n");
}

#[test]
fn verifier_keys_are_read_and_written_alike() {
    for text in [PETER, ENOCH, "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6"] {
        assert_eq!(key(text).to_string(), text);
    }
    assert_eq!(key(PETER).name(), "PeterNeumann");
    assert_eq!(log_key().verifier(), key(&log_key().verifier().to_string()));
    assert_eq!(LogVerifier::of_log(&origin(), &log_key().public()), Ok(log_key().verifier()));
}

#[test]
fn bad_verifier_keys_say_what_is_wrong() {
    let cases = [
        ("PeterNeumann", "three parts"),
        ("PeterNeumann+c74f20a3", "three parts"),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "name is empty"),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "space"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", "base64"),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "copied whole"),
        ("PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "copied whole"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "copied whole"),
        ("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", "only Ed25519"),
        ("PeterNeumann+c74f20a3+ARpc", "32 bytes"),
        ("PeterNeumann+c74f20a3+", "only Ed25519"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<LogVerifier>().unwrap_err();
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
}

#[test]
fn other_signatures_are_passed_over_but_one_of_ours_must_be_good() {
    let both = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
    let names = |keys: &[LogVerifier]| verify(&both, keys).unwrap().1;
    assert_eq!(names(&[key(PETER)]), ["PeterNeumann"]);
    assert_eq!(names(&[key(ENOCH)]), ["EnochRoot"]);
    assert_eq!(names(&[key(ENOCH), key(PETER)]), ["EnochRoot", "PeterNeumann"]);
    let twice = format!("{TEXT}\n{PETER_LINE}{PETER_LINE}");
    assert_eq!(verify(&twice, &[key(PETER)]).unwrap().1, ["PeterNeumann"]);

    let peters = format!("{TEXT}\n{PETER_LINE}");
    assert_eq!(
        verify(&peters, &[key(ENOCH)]),
        Err(NoteError::UnknownSigners { signers: vec!["PeterNeumann".to_owned()] })
    );
    assert!(verify(&both, &[]).is_err());

    // Peter's line is good, Enoch's is not: who knows Enoch's key refuses, who does not passes over it.
    let damaged = both.replace("RvMc+QQ=", "RvMc+QA=");
    assert_eq!(verify(&damaged, &[key(PETER)]).unwrap().1, ["PeterNeumann"]);
    assert_eq!(
        verify(&damaged, &[key(PETER), key(ENOCH)]),
        Err(NoteError::BadSignature { signer: "EnochRoot".to_owned() })
    );
    // The same name with another id is another key.
    let id = STANDARD.encode([&[0xc7, 0x4f, 0x20, 0xa4][..], &[1; 64]].concat());
    let namesake = format!("{TEXT}\n— PeterNeumann {id}\n{PETER_LINE}");
    assert_eq!(verify(&namesake, &[key(PETER)]).unwrap().1, ["PeterNeumann"]);
    // Another algorithm's longer signature is another key's.
    let long = STANDARD.encode([9; 2_424]);
    assert!(verify(&format!("{TEXT}\n— witness {long}\n{PETER_LINE}"), &[key(PETER)]).is_ok());
}

#[test]
fn every_altered_byte_of_text_or_signature_is_refused() {
    let note = format!("{TEXT}\n{PETER_LINE}");
    for at in 0..note.len() {
        for bit in [0, 1, 5] {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(altered) = String::from_utf8(bytes) else { continue };
            assert!(verify(&altered, &[key(PETER)]).is_err(), "byte {at}, bit {bit}: {altered}");
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let good = format!("{TEXT}\n{PETER_LINE}");
    let many = format!("{TEXT}\n{}", PETER_LINE.repeat(101));
    let just = format!("{TEXT}\n{}", PETER_LINE.repeat(100));
    assert!(verify(&just, &[key(PETER)]).is_ok());
    let cases = [
        String::new(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}{PETER_LINE}"),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        good.replace("— ", "- "),
        good.replace("— PeterNeumann ", "— "),
        good.replace("— PeterNeumann ", "—  "),
        good.replace("x08go", "x08g!"),
        good.replace('\n', "\r\n"),
        format!("{TEXT}\n— PeterNeumann x08gow==\n"),
        many,
    ];
    for note in cases {
        let error = verify(&note, &[key(PETER)]).unwrap_err();
        assert!(matches!(error, NoteError::Malformed(_)), "{note:?}: {error}");
    }
    assert_eq!(verify(&"a".repeat(NOTE_BYTES_MAX + 1), &[]), Err(NoteError::TooLong(NOTE_BYTES_MAX + 1)));
    // An empty line inside the text belongs to the text.
    let key = log_key();
    let text = "one\n\ntwo\n";
    let note = format!("{text}\n{}", key.signature_line(text));
    assert_eq!(verify(&note, &[key.verifier()]).unwrap().0, text);
}

#[test]
fn a_heads_text_is_that_of_a_checkpoint() {
    let plain = "sluice/31337/0x5fbdb2315678afecb367f032d93f642f64180aa3/1\n20852163\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n";
    assert_eq!(head().to_string(), plain);
    assert_eq!(plain.parse(), Ok(head()));
    let with_state = TreeHead { state_hash: Some([0xCD; 32]), ..head() };
    let text = format!("{plain}state zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=\n");
    assert_eq!(with_state.to_string(), text);
    assert_eq!(text.parse(), Ok(with_state.clone()));
    // What a later version may add is passed over.
    assert_eq!(format!("{text}later thing\n").parse(), Ok(with_state));
}

#[test]
fn a_signed_head_is_pinned_and_opens() {
    let key = log_key();
    let note = key.sign(&head());
    let signature =
        "Bp9ba+7xTXhxXdmIDLp4d6/7lXAawt60TuXHD0o8hUsKKzI9KRTPVjVtPQBUYGp5uhEEsR36VAp2iC4OAMk/45jz8A4=";
    assert_eq!(note, format!("{}\n— {} {signature}\n", head(), origin()));
    let signers = vec![origin().to_string()];
    assert_eq!(open(&note, &[key.verifier()]), Ok(SignedHead { head: head(), signers }));
    let other = LogKey::new(&origin(), &[8; 32]);
    assert!(matches!(open(&note, &[other.verifier()]), Err(NoteError::UnknownSigners { .. })));
    assert_eq!(hex::encode(key.public()), "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
    assert!(!format!("{key:?}").contains("7, 7, 7"), "the secret stays out of logs");
}

#[test]
fn texts_that_are_not_heads_are_refused() {
    let good = head().to_string();
    let (origin, root) = (origin().to_string(), "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
    let state = "state zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0=\n";
    let cases = [
        String::new(),
        "\n".to_owned(),
        good.trim_end().to_owned(),
        format!("{origin}\n5\n"),
        format!("{origin}\n05\n{root}\n"),
        format!("{origin}\n+5\n{root}\n"),
        format!("{origin}\n-5\n{root}\n"),
        format!("{origin}\n5 \n{root}\n"),
        format!("{origin}\n18446744073709551616\n{root}\n"),
        format!("{origin}\n5\n{}\n", root.trim_end_matches('=')),
        format!("{origin}\n5\n{}\n", root.replace("6s=", "6t=")),
        format!("{origin}\n5\nq6s=\n"),
        format!("\n{origin}\n5\n{root}\n"),
        format!("{good}\n"),
        format!("{good}{state}{state}"),
        format!("{good}state zc0=\n"),
        format!("{good}state \n"),
    ];
    for text in cases {
        let error = text.parse::<TreeHead>().unwrap_err();
        assert!(matches!(error, NoteError::NotAHead(_)), "{text:?}: {error}");
    }
}

#[test]
fn origins_have_one_spelling() {
    for origin in [origin(), origin().tickets(0), origin().tickets(4_294_967_295)] {
        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
    let tickets = origin().tickets(12);
    assert_eq!(tickets.to_string(), "sluice/31337/0x5fbdb2315678afecb367f032d93f642f64180aa3/1/tickets/12");
    assert_eq!((tickets.ticket_node(), tickets.log()), (Some(12), origin()));
    assert_eq!(LogKey::new(&tickets, &[7; 32]).origin(), &origin(), "a key is its log's");
    let good = origin().to_string();
    let cases = [
        String::new(),
        "example.com/behind-the-sofa".to_owned(),
        good.replace("0x5fbdb", "0x5FbDB"),
        good.replace("0x", ""),
        good.replace("31337", "031337"),
        good.replace("31337", "+31337"),
        good.replace("sluice", "Sluice"),
        good.replace("/1", "/4294967296"),
        format!("{good}/"),
        format!("{good}/tickets"),
        format!("{good}/tickets/"),
        format!("{good}/tickets/01"),
        format!("{good}/tickets/1/tickets/2"),
        format!(" {good}"),
    ];
    for text in cases {
        assert_eq!(text.parse::<Origin>(), Err(NoteError::BadOrigin(text.clone())));
    }
}
