//! The JSON of receipts and tickets. Stable: a file kept today is read by every later version.

use std::fmt;

use alloy_primitives::B256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Promise, Receipt, Ticket};
use crate::ids::{CampaignId, DemandId, IntakeKey, Millis, NodeId, Seq};
use crate::log::merkle::Hash;

/// A kept file: one or the other, told apart by its `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", from = "Wire")]
pub enum Proof {
    /// What was decided.
    Receipt(Receipt),
    /// What was promised.
    Ticket(Ticket),
}

/// The JSON itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Wire {
    Receipt(ReceiptWire),
    Ticket(TicketWire),
}

/// A receipt as it is written, without a copy of it: every decided claim is answered with one.
#[derive(Serialize)]
struct Written<'a> {
    kind: &'static str,
    format: Format,
    seq: Seq,
    #[serde(serialize_with = "base64_bytes::serialize")]
    entry: &'a [u8],
    path: Hashes<'a>,
    note: &'a str,
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { entry, seq, path, note } = self;
        Written { kind: "receipt", format: Format, seq: *seq, entry, path: Hashes(path), note }.serialize(to)
    }
}

/// Hashes in 0x-hex.
struct Hashes<'a>(&'a [Hash]);

impl Serialize for Hashes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|hash| B256::from(*hash)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptWire {
    format: Format,
    seq: Seq,
    #[serde(with = "base64_bytes")]
    entry: Vec<u8>,
    path: Vec<B256>,
    note: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketWire {
    format: Format,
    campaign: CampaignId,
    node: NodeId,
    n: u64,
    id: DemandId,
    body_hash: B256,
    accepted_at: Millis,
    place: u64,
    estimate_ms: u64,
    decide_by: Millis,
    index: u64,
    path: Vec<B256>,
    note: String,
}

/// The number 1, and no other.
struct Format;

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(FORMAT)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u64::deserialize(from)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "format {other} is unknown; this version reads format {FORMAT}"
            ))),
        }
    }
}

mod base64_bytes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(text)
            .map_err(|error| D::Error::custom(format_args!("the entry is not base64: {error}")))
    }
}

/// The file is of the other kind.
pub(super) struct OtherKind(&'static str);

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn to_wire(path: Vec<Hash>) -> Vec<B256> {
    path.into_iter().map(B256::from).collect()
}

fn from_wire(path: Vec<B256>) -> Vec<Hash> {
    path.into_iter().map(Hash::from).collect()
}

impl From<Receipt> for Wire {
    fn from(Receipt { entry, seq, path, note }: Receipt) -> Self {
        Self::Receipt(ReceiptWire { format: Format, seq, entry, path: to_wire(path), note })
    }
}

impl From<Ticket> for Wire {
    fn from(Ticket { promise, index, path, note }: Ticket) -> Self {
        let Promise { intake, id, body_hash, accepted_at, place, estimate_ms, decide_by } = promise;
        let IntakeKey { campaign, node, n } = intake;
        let (format, path) = (Format, to_wire(path));
        Self::Ticket(TicketWire {
            format,
            campaign,
            node,
            n,
            id,
            body_hash,
            accepted_at,
            place,
            estimate_ms,
            decide_by,
            index,
            path,
            note,
        })
    }
}

impl From<ReceiptWire> for Receipt {
    fn from(ReceiptWire { format: Format, seq, entry, path, note }: ReceiptWire) -> Self {
        Self { entry, seq, path: from_wire(path), note }
    }
}

impl From<TicketWire> for Ticket {
    fn from(wire: TicketWire) -> Self {
        let Format = wire.format;
        let promise = Promise {
            intake: IntakeKey { campaign: wire.campaign, node: wire.node, n: wire.n },
            id: wire.id,
            body_hash: wire.body_hash,
            accepted_at: wire.accepted_at,
            place: wire.place,
            estimate_ms: wire.estimate_ms,
            decide_by: wire.decide_by,
        };
        Self { promise, index: wire.index, path: from_wire(wire.path), note: wire.note }
    }
}

impl TryFrom<Wire> for Receipt {
    type Error = OtherKind;

    fn try_from(wire: Wire) -> Result<Self, OtherKind> {
        match wire {
            Wire::Receipt(wire) => Ok(wire.into()),
            Wire::Ticket(_) => Err(OtherKind("this is a ticket, not a receipt")),
        }
    }
}

impl TryFrom<Wire> for Ticket {
    type Error = OtherKind;

    fn try_from(wire: Wire) -> Result<Self, OtherKind> {
        match wire {
            Wire::Ticket(wire) => Ok(wire.into()),
            Wire::Receipt(_) => Err(OtherKind("this is a receipt, not a ticket")),
        }
    }
}

impl From<Proof> for Wire {
    fn from(proof: Proof) -> Self {
        match proof {
            Proof::Receipt(receipt) => receipt.into(),
            Proof::Ticket(ticket) => ticket.into(),
        }
    }
}

impl From<Wire> for Proof {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Receipt(wire) => Self::Receipt(wire.into()),
            Wire::Ticket(wire) => Self::Ticket(wire.into()),
        }
    }
}
