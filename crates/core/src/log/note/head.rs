//! A tree head as a checkpoint's text, and the origins that keep logs, and a log's heads and tickets, apart.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::NoteError;
use crate::ids::{ContractRef, NodeId, StreamId};
use crate::log::merkle::Hash;

/// Whose tree a head belongs to: a stream's log, `sluice/<chain id>/<charter address>/<stream>`, or the tickets that one
/// node gives for it, the same with `/tickets/<node>`. The Charter is the stream's home Charter.
///
/// A ticket tree is of one intake commit and continues no other; that is why it must never pass for a head of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    charter: ContractRef,
    stream: StreamId,
    tickets: Option<NodeId>,
}

impl Origin {
    /// The log of a stream.
    pub fn new(charter: ContractRef, stream: StreamId) -> Self {
        Self { charter, stream, tickets: None }
    }

    /// The tickets that a node gives for this log.
    pub fn tickets(&self, node: NodeId) -> Self {
        Self { tickets: Some(node), ..self.clone() }
    }

    /// The log itself.
    pub fn log(&self) -> Self {
        Self { tickets: None, ..self.clone() }
    }

    /// The stream's home Charter.
    pub fn charter(&self) -> ContractRef {
        self.charter
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The node that gave the tickets; `None` for the log itself.
    pub fn ticket_node(&self) -> Option<NodeId> {
        self.tickets
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sluice/{}/{:#x}/{}", self.charter.chain_id, self.charter.address, self.stream.0)?;
        self.tickets.map_or(Ok(()), |node| write!(f, "/tickets/{node}"))
    }
}

impl FromStr for Origin {
    type Err = NoteError;

    /// Accepts exactly what `Display` writes: two spellings of one origin would be two logs to a reader who compares text.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let parts: Vec<_> = text.split('/').collect();
            let (chain_id, charter, stream, tickets) = match parts[..] {
                ["sluice", chain_id, charter, stream] => (chain_id, charter, stream, None),
                ["sluice", chain_id, charter, stream, "tickets", node] => {
                    (chain_id, charter, stream, Some(node))
                }
                _ => return None,
            };
            let address: Address = charter.parse().ok()?;
            let charter = ContractRef { chain_id: chain_id.parse().ok()?, address };
            let tickets = tickets.map(str::parse).transpose().ok()?;
            Some(Self { charter, stream: StreamId(stream.parse().ok()?), tickets })
        };
        read()
            .filter(|origin| origin.to_string() == text)
            .ok_or_else(|| NoteError::BadOrigin(text.to_owned()))
    }
}

/// The head of a tree: whose, how many leaves, which root. `Display` and `FromStr` are the checkpoint's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Whose tree.
    pub origin: Origin,
    /// Leaves in it. For a log: the highest position it covers.
    pub size: u64,
    /// Its RFC 6962 root.
    pub root: Hash,
    /// The hash of State after the last leaf, where the head is a checkpoint: the extension line `state <base64>`.
    pub state_hash: Option<Hash>,
}

const STATE_LINE: &str = "state ";

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))?;
        self.state_hash.map_or(Ok(()), |hash| writeln!(f, "{STATE_LINE}{}", STANDARD.encode(hash)))
    }
}

impl FromStr for TreeHead {
    type Err = NoteError;

    /// Extension lines of other kinds are passed over, as the specification asks.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let bad = NoteError::NotAHead;
        let text = text.strip_suffix('\n').ok_or(bad("the last line has no newline"))?;
        let mut lines = text.split('\n');
        let mut next = || lines.next().filter(|line| !line.is_empty());
        let origin = next().ok_or(bad("the first line is the origin"))?.parse()?;
        let size = next().and_then(decimal).ok_or(bad("the second line is the size, in digits"))?;
        let root = next().and_then(hash).ok_or(bad("the third line is the root, 32 bytes in base64"))?;
        let mut state_hash = None;
        for line in lines {
            if line.is_empty() {
                return Err(bad("an extension line is empty"));
            }
            let Some(value) = line.strip_prefix(STATE_LINE) else { continue };
            let value = hash(value).ok_or(bad("the state hash is 32 bytes in base64"))?;
            if state_hash.replace(value).is_some() {
                return Err(bad("it has two state hashes"));
            }
        }
        Ok(Self { origin, size, root, state_hash })
    }
}

/// Digits without a sign or leading zeroes.
fn decimal(line: &str) -> Option<u64> {
    line.parse().ok().filter(|number: &u64| number.to_string() == line)
}

fn hash(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}
