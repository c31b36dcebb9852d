use alloy_primitives::{address, b256};
use serde_json::{Value, json};

use super::*;
use crate::ids::{CampaignId, ContractRef};
use crate::log::entry::{Body, EpochBegan};

fn origin() -> Origin {
    let address = address!("5fbdb2315678afecb367f032d93f642f64180aa3");
    Origin::new(ContractRef { chain_id: 31_337, address }, StreamId(1))
}

fn log_key() -> LogKey {
    LogKey::new(&origin(), &[7; 32])
}

fn keys() -> Vec<LogVerifier> {
    vec![log_key().verifier()]
}

fn intake(n: u64) -> IntakeKey {
    IntakeKey { campaign: campaign(), node: 3, n }
}

fn campaign() -> CampaignId {
    "01900000-0000-7000-8000-000000000001".parse().unwrap()
}

fn id() -> DemandId {
    "01900000-0000-7000-8000-0000000000a1".parse().unwrap()
}

/// A small entry whose encoding is unlikely to change; receipts do not look into it.
fn entry(seq: Seq) -> Entry {
    let body = Body::EpochBegan(EpochBegan { node: 3, sequencer: 1 });
    Entry { stream: StreamId(1), seq, epoch: 4, recorded_at: 1_763_710_000_000 + seq, body }
}

/// A log of these entries, in one group, and a receipt for each.
fn receipts(entries: &[Entry], origin: Origin, key: &LogKey) -> Vec<Receipt> {
    let bytes: Vec<_> = entries.iter().map(Entry::encode).collect();
    let leaves: Vec<_> = bytes.iter().map(|bytes| leaf_hash(bytes)).collect();
    let appended = Frontier::default().extend_with_paths(&leaves);
    let head = TreeHead { origin, size: appended.size, root: appended.root, state_hash: None };
    let note = key.sign(&head);
    let rows = entries.iter().zip(bytes).zip(appended.paths);
    rows.map(|((entry, bytes), path)| Receipt { entry: bytes, seq: entry.seq, path, note: note.clone() })
        .collect()
}

fn log() -> Vec<Entry> {
    (1..=5).map(entry).collect()
}

fn receipt() -> Receipt {
    receipts(&log(), origin(), &log_key()).remove(2)
}

fn promise(n: u64) -> Promise {
    Promise {
        intake: intake(n),
        id: id(),
        body_hash: b256!("00000000000000000000000000000000000000000000000000000000000000bb"),
        accepted_at: 1_763_710_000_000,
        place: 40 + n,
        estimate_ms: 2_500,
        decide_by: 1_763_710_060_000,
    }
}

fn tickets() -> Vec<Ticket> {
    Ticket::give(3, (1..=5).map(promise).collect(), &log_key())
}

fn ticket() -> Ticket {
    tickets().remove(4)
}

#[test]
fn a_receipt_proves_its_entry() {
    for (receipt, entry) in receipts(&log(), origin(), &log_key()).into_iter().zip(log()) {
        let verified = receipt.verify(&keys()).unwrap();
        assert_eq!(verified.entry, entry);
        assert_eq!((verified.head.size, verified.head.origin), (5, origin()));
        assert_eq!(verified.signers, [origin().to_string()]);
    }
}

#[test]
fn a_ticket_proves_its_promise() {
    for (ticket, n) in tickets().into_iter().zip(1..) {
        let verified = ticket.verify(&keys()).unwrap();
        assert_eq!(verified.promise, promise(n));
        assert_eq!((verified.head.size, verified.head.origin), (5, origin().tickets(3)));
    }
    assert!(Ticket::give(3, Vec::new(), &log_key()).is_empty());
    let alone = Ticket::give(3, vec![promise(9)], &log_key()).remove(0);
    assert_eq!((alone.index, alone.path.len()), (0, 0));
    assert_eq!(alone.verify(&keys()).unwrap().promise, promise(9));
}

#[test]
fn the_json_of_a_receipt_is_pinned() {
    let pinned = include_str!("tests/receipt.json");
    assert_eq!(serde_json::to_string_pretty(&receipt()).unwrap() + "\n", pinned);
    assert_eq!(serde_json::from_str::<Receipt>(pinned).unwrap(), receipt());
    assert_eq!(serde_json::from_str::<Proof>(pinned).unwrap(), Proof::Receipt(receipt()));
    assert_eq!(serde_json::to_string_pretty(&Proof::Receipt(receipt())).unwrap() + "\n", pinned);
}

#[test]
fn the_json_of_a_ticket_is_pinned() {
    let pinned = include_str!("tests/ticket.json");
    assert_eq!(serde_json::to_string_pretty(&ticket()).unwrap() + "\n", pinned);
    assert_eq!(serde_json::from_str::<Ticket>(pinned).unwrap(), ticket());
    assert_eq!(serde_json::from_str::<Proof>(pinned).unwrap(), Proof::Ticket(ticket()));
    assert_eq!(serde_json::to_string_pretty(&Proof::Ticket(ticket())).unwrap() + "\n", pinned);
}

/// Whether a kept file still proves anything.
fn proves(json: Value) -> bool {
    match serde_json::from_value::<Proof>(json) {
        Ok(Proof::Receipt(receipt)) => receipt.verify(&keys()).is_ok(),
        Ok(Proof::Ticket(ticket)) => ticket.verify(&keys()).is_ok(),
        Err(_) => false,
    }
}

/// Other values for a field: near it, and of another kind.
fn altered(value: &Value) -> Vec<Value> {
    let mut others = match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![
                json!(number + 1),
                json!(number.wrapping_sub(1)),
                json!(number ^ (1 << 40)),
                json!(-1),
                json!("1"),
            ]
        }
        Value::String(text) => (0..text.len())
            .filter(|at| text.is_char_boundary(*at) && text.is_char_boundary(at + 1))
            .flat_map(|at| {
                let other = if &text[at..=at] == "4" { "5" } else { "4" };
                [[&text[..at], other, &text[at + 1..]].concat(), [&text[..at], &text[at + 1..]].concat()]
            })
            .map(Value::from)
            .collect(),
        Value::Array(items) => {
            let mut lists = vec![Vec::new(), [items.clone(), vec![items[0].clone()]].concat()];
            lists.push(items.iter().rev().cloned().collect());
            for (at, item) in items.iter().enumerate() {
                lists.extend(altered(item).into_iter().map(|other| {
                    let mut list = items.clone();
                    list[at] = other;
                    list
                }));
            }
            lists.into_iter().map(Value::from).collect()
        }
        other => panic!("no such value in a receipt: {other}"),
    };
    others.push(Value::Null);
    others.retain(|other| other != value);
    others
}

#[test]
fn every_altered_field_is_refused() {
    for json in [serde_json::to_value(receipt()).unwrap(), serde_json::to_value(ticket()).unwrap()] {
        assert!(proves(json.clone()));
        for (field, value) in json.as_object().unwrap() {
            for other in altered(value) {
                let mut altered = json.clone();
                altered[field] = other.clone();
                assert!(!proves(altered), "{field} taken for {other}");
            }
            let mut without = json.clone();
            without.as_object_mut().unwrap().remove(field);
            assert!(!proves(without), "without {field}");
        }
        let mut more = json.clone();
        more["remark"] = json!("paid");
        assert!(!proves(more), "a field that nothing proves");
    }
}

#[test]
fn every_altered_byte_of_an_entry_is_refused() {
    let good = receipt();
    for at in 0..good.entry.len() {
        let mut altered = good.clone();
        altered.entry[at] ^= 1;
        assert!(
            matches!(altered.verify(&keys()), Err(ReceiptError::NotInTree(ProofError::WrongRoot))),
            "byte {at}"
        );
    }
}

#[test]
fn reading_says_what_is_wrong() {
    let receipt = serde_json::to_value(receipt()).unwrap();
    let ticket = serde_json::to_value(ticket()).unwrap();
    let said = |json: Value| serde_json::from_value::<Receipt>(json).unwrap_err().to_string();
    assert_eq!(said(ticket), "this is a ticket, not a receipt");
    assert_eq!(
        serde_json::from_value::<Ticket>(receipt.clone()).unwrap_err().to_string(),
        "this is a receipt, not a ticket"
    );
    // A newer format is named before its unknown fields are.
    let newer = receipt.to_string().replacen("\"format\":1", "\"format\":2,\"later\":true", 1);
    let error = serde_json::from_str::<Receipt>(&newer).unwrap_err().to_string();
    assert!(error.contains("format 2 is unknown; this version reads format 1"), "{error}");
    let mut not_base64 = receipt;
    not_base64["entry"] = json!("!");
    assert!(said(not_base64).contains("the entry is not base64"));
}

#[test]
fn only_the_logs_own_key_vouches() {
    let other_key = LogKey::new(&origin(), &[8; 32]);
    assert!(matches!(
        receipt().verify(&[other_key.verifier()]),
        Err(ReceiptError::Note(NoteError::UnknownSigners { .. }))
    ));
    assert!(matches!(receipt().verify(&[]), Err(ReceiptError::Note(NoteError::UnknownSigners { .. }))));

    // Another log's key signs a head in this log's name: known, but not the log's own.
    let other_log = Origin::new(origin().charter(), StreamId(2));
    let foreign = LogKey::new(&other_log, &[7; 32]);
    let forged = receipts(&log(), origin(), &foreign).remove(2);
    let both = [log_key().verifier(), foreign.verifier()];
    assert!(matches!(forged.verify(&both), Err(ReceiptError::ForeignSigner { .. })));
    let forged = Ticket { note: foreign_ticket_note(&foreign), ..ticket() };
    assert!(matches!(forged.verify(&both), Err(ReceiptError::ForeignSigner { .. })));

    // Both together are fine, and both are named.
    let mut cosigned = receipt();
    let (text, _) = cosigned.note.rsplit_once("\n\n").unwrap();
    cosigned.note += &foreign.signature_line(&format!("{text}\n"));
    assert_eq!(cosigned.verify(&both).unwrap().signers, [origin().to_string(), other_log.to_string()]);
    assert_eq!(cosigned.verify(&keys()).unwrap().signers, [origin().to_string()]);
}

fn foreign_ticket_note(key: &LogKey) -> String {
    let leaves: Vec<_> = (1..=5).map(|n| leaf_hash(&promise(n).leaf())).collect();
    let appended = Frontier::default().extend_with_paths(&leaves);
    let origin = origin().tickets(3);
    key.sign(&TreeHead { origin, size: appended.size, root: appended.root, state_hash: None })
}

#[test]
fn a_ticket_never_passes_for_a_head_of_the_log_nor_the_reverse() {
    // Entries in a ticket tree, signed with the true key.
    let disguised = receipts(&log(), origin().tickets(3), &log_key()).remove(2);
    assert!(matches!(disguised.verify(&keys()), Err(ReceiptError::NotALogHead(_))));

    // A promise as a leaf of the log: neither a ticket of it, nor an entry.
    let leaf = promise(1).leaf();
    let mut tree = Frontier::default();
    tree.push(leaf_hash(&leaf));
    let head = TreeHead { origin: origin(), size: 1, root: tree.root(), state_hash: None };
    let note = log_key().sign(&head);
    let ticket = Ticket { promise: promise(1), index: 0, path: Vec::new(), note: note.clone() };
    assert!(matches!(ticket.verify(&keys()), Err(ReceiptError::NotATicketHead(_))));
    let receipt = Receipt { entry: leaf, seq: 1, path: Vec::new(), note };
    assert!(matches!(receipt.verify(&keys()), Err(ReceiptError::Entry(EntryError::Newer(_)))));

    // The same promise without its domain is another leaf.
    let bare = leaf_hash(&borsh::to_vec(&promise(1)).unwrap());
    assert_ne!(bare, leaf_hash(&promise(1).leaf()));
}

#[test]
fn position_stream_and_node_are_those_of_the_head() {
    let zero = Receipt { seq: 0, ..receipt() };
    assert!(matches!(zero.verify(&keys()), Err(ReceiptError::NoPosition)));
    let beyond = Receipt { seq: 6, ..receipt() };
    assert!(matches!(beyond.verify(&keys()), Err(ReceiptError::NotInTree(ProofError::OutsideTree { .. }))));

    // Logs that only a false operator would sign: an entry at another's position, or of another stream.
    let displaced = [entry(2), entry(1)];
    let mut receipt = receipts(&displaced, origin(), &log_key()).remove(0);
    receipt.seq = 1;
    assert!(matches!(receipt.verify(&keys()), Err(ReceiptError::WrongPosition { entry: 2, receipt: 1 })));
    let stray = Entry { stream: StreamId(9), ..entry(1) };
    let receipt = receipts(&[stray], origin(), &log_key()).remove(0);
    assert!(matches!(receipt.verify(&keys()), Err(ReceiptError::WrongStream { .. })));

    let mut elsewhere = ticket();
    elsewhere.note = log_key().sign(&TreeHead {
        origin: origin().tickets(4),
        size: 5,
        root: ticket().verify(&keys()).unwrap().head.root,
        state_hash: None,
    });
    assert!(matches!(elsewhere.verify(&keys()), Err(ReceiptError::WrongNode { ticket: 3, head: 4 })));
}
