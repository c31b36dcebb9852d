//! What a claimant keeps: a ticket, the signed promise to decide by a time, and a receipt, the signed proof of what was
//! decided at which position. Both are verified offline, with nothing but the log's verifier key.

mod json;

#[cfg(test)]
mod tests;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryError};
use super::merkle::{Frontier, Hash, ProofError, leaf_hash, verify_inclusion};
use super::note::{self, LogKey, LogVerifier, NoteError, Origin, SignedHead, TreeHead};
use crate::ids::{DemandId, IntakeKey, Millis, NodeId, Seq, StreamId};

pub use json::Proof;

/// The format of receipts and tickets, in their JSON and in a ticket's leaf.
pub const FORMAT: u8 = 1;

/// What a ticket's leaf begins with. No entry begins so: the first byte of an entry is its format.
const TICKET_LEAF: &[u8] = b"sluice ticket\n";

/// Proof that an entry stands at its position in the log.
///
/// JSON: `kind` "receipt", `format` 1, `seq`, `entry` (its bytes in base64), `path` (0x-hex hashes, from the leaf
/// upwards), `note` (the signed tree head's text).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "json::Wire")]
pub struct Receipt {
    /// The entry's bytes, as the log row holds them.
    pub entry: Vec<u8>,
    /// Its position.
    pub seq: Seq,
    /// Its inclusion path in the tree of the note.
    pub path: Vec<Hash>,
    /// The signed head of a tree that contains it.
    pub note: String,
}

/// What a receipt proves, once verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// What was decided, and where.
    pub entry: Entry,
    /// The head of the log that contains it.
    pub head: TreeHead,
    /// Which of the given keys signed the head: the log's own, and co-signers.
    pub signers: Vec<String>,
}

/// What a node promises for a demand whose row is durable.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Promise {
    /// The intake row: campaign, node, and number there.
    pub intake: IntakeKey,
    /// The client's id of the demand.
    pub id: DemandId,
    /// SHA-256 of the demand's canonical bytes.
    pub body_hash: B256,
    /// The database's clock at the row.
    pub accepted_at: Millis,
    /// How many demands stood before it.
    pub place: u64,
    /// The expected wait, milliseconds from `accepted_at`. An estimate; nothing follows from missing it.
    pub estimate_ms: u64,
    /// The demand is decided by then. A later decision, or none, is proof against the operator.
    pub decide_by: Millis,
}

/// Proof that a node made a promise. One signature serves all tickets of an intake commit: their leaves form a tree.
///
/// JSON: `kind` "ticket", `format` 1, `campaign`, `node`, `n`, `id`, `body_hash`, `accepted_at`, `place`, `estimate_ms`,
/// `decide_by`, `index` (the leaf's in that tree), `path`, `note`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "json::Wire", try_from = "json::Wire")]
pub struct Ticket {
    /// What was promised.
    pub promise: Promise,
    /// Its leaf's index in the commit's tree, from 0.
    pub index: u64,
    /// The leaf's inclusion path there.
    pub path: Vec<Hash>,
    /// The signed head of that tree, of the origin `<log>/tickets/<node>`.
    pub note: String,
}

/// What a ticket proves, once verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTicket {
    /// What was promised.
    pub promise: Promise,
    /// The head of the intake commit's tree.
    pub head: TreeHead,
    /// Which of the given keys signed it.
    pub signers: Vec<String>,
}

/// Why a receipt or a ticket proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The signed head cannot be believed or read.
    #[error("the signed tree head is not accepted")]
    Note(#[from] NoteError),
    /// The head is signed, but not by the log it speaks of.
    #[error("the head speaks of {origin}, but that log's own key did not sign it; those that did: {}", .signers.join(", "))]
    ForeignSigner {
        /// Whose tree it says it is.
        origin: Origin,
        /// The given keys that signed it.
        signers: Vec<String>,
    },
    /// A receipt with a ticket's head.
    #[error(
        "the head of {0} is of tickets, which promise and do not decide; a receipt needs a head of the log"
    )]
    NotALogHead(Origin),
    /// A ticket with a log's head.
    #[error("the head of {0} is the log's own; a ticket needs one of a node's tickets")]
    NotATicketHead(Origin),
    /// Positions are counted from 1.
    #[error("position 0 is before the first entry; positions are counted from 1")]
    NoPosition,
    /// The entry or the promise is not in the tree that was signed.
    #[error("what it shows is not in the signed tree")]
    NotInTree(#[from] ProofError),
    /// The log holds bytes that this binary cannot read.
    #[error("the entry is in the log, but cannot be read")]
    Entry(#[from] EntryError),
    /// The entry names another position.
    #[error("the entry says that it is at position {entry}, the receipt shows it at {receipt}")]
    WrongPosition {
        /// The entry's own.
        entry: Seq,
        /// The receipt's.
        receipt: Seq,
    },
    /// The entry names another log.
    #[error("the entry belongs to stream {}, the head to stream {}", .entry.0, .head.0)]
    WrongStream {
        /// The entry's own.
        entry: StreamId,
        /// The head's.
        head: StreamId,
    },
    /// The promise names another node.
    #[error("the ticket names node {ticket}, its head was signed for node {head}")]
    WrongNode {
        /// The ticket's.
        ticket: NodeId,
        /// The head's.
        head: NodeId,
    },
}

impl Receipt {
    /// Verifies it with the log's verifier key among `keys`, offline.
    ///
    /// # Errors
    /// When anything in it is not what the log's key signed.
    pub fn verify(&self, keys: &[LogVerifier]) -> Result<VerifiedReceipt, ReceiptError> {
        let SignedHead { head, signers } = open_own(&self.note, keys)?;
        if head.origin.ticket_node().is_some() {
            return Err(ReceiptError::NotALogHead(head.origin));
        }
        let index = self.seq.checked_sub(1).ok_or(ReceiptError::NoPosition)?;
        verify_inclusion(&leaf_hash(&self.entry), index, head.size, &self.path, &head.root)?;
        let entry = Entry::decode(&self.entry)?;
        if entry.seq != self.seq {
            return Err(ReceiptError::WrongPosition { entry: entry.seq, receipt: self.seq });
        }
        if entry.stream != head.origin.stream() {
            return Err(ReceiptError::WrongStream { entry: entry.stream, head: head.origin.stream() });
        }
        Ok(VerifiedReceipt { entry, head, signers })
    }
}

impl Promise {
    /// The bytes of its leaf.
    fn leaf(&self) -> Vec<u8> {
        let mut leaf = [TICKET_LEAF, &[FORMAT]].concat();
        self.serialize(&mut leaf).expect("writing to memory cannot fail");
        leaf
    }
}

impl Ticket {
    /// The tickets of one intake commit of a node, in the order of the promises, under one signature.
    pub fn give(node: NodeId, promises: Vec<Promise>, key: &LogKey) -> Vec<Self> {
        debug_assert!(
            promises.iter().all(|promise| promise.intake.node == node),
            "a node promises for itself"
        );
        let leaves: Vec<_> = promises.iter().map(|promise| leaf_hash(&promise.leaf())).collect();
        let appended = Frontier::default().extend_with_paths(&leaves);
        let origin = key.origin().tickets(node);
        let head = TreeHead { origin, size: appended.size, root: appended.root, state_hash: None };
        let note = key.sign(&head);
        let tickets = promises.into_iter().zip(appended.paths).zip(0..);
        tickets.map(|((promise, path), index)| Self { promise, index, path, note: note.clone() }).collect()
    }

    /// Verifies it with the log's verifier key among `keys`, offline.
    ///
    /// # Errors
    /// When anything in it is not what the log's key signed.
    pub fn verify(&self, keys: &[LogVerifier]) -> Result<VerifiedTicket, ReceiptError> {
        let SignedHead { head, signers } = open_own(&self.note, keys)?;
        let Some(node) = head.origin.ticket_node() else {
            return Err(ReceiptError::NotATicketHead(head.origin));
        };
        if node != self.promise.intake.node {
            return Err(ReceiptError::WrongNode { ticket: self.promise.intake.node, head: node });
        }
        verify_inclusion(&leaf_hash(&self.promise.leaf()), self.index, head.size, &self.path, &head.root)?;
        Ok(VerifiedTicket { promise: self.promise.clone(), head, signers })
    }
}

/// Opens a head that its own log signed. A co-signer alone vouches for nothing: it signs what it was shown.
fn open_own(note: &str, keys: &[LogVerifier]) -> Result<SignedHead, ReceiptError> {
    let signed = note::open(note, keys)?;
    let log = signed.head.origin.log().to_string();
    if signed.signers.contains(&log) {
        return Ok(signed);
    }
    Err(ReceiptError::ForeignSigner { origin: signed.head.origin, signers: signed.signers })
}
