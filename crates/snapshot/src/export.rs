//! Writing snapshots as their peers' files, which the peers' own tools load, and as CSV.

use crate::file::Format;
use crate::snapshot::{Snapshot, SnapshotError};
use alloy_primitives::{B256, hex};
use std::io::{self, Write};

/// Why an export fails.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The snapshot cannot answer.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The output cannot be written.
    #[error("cannot write the export")]
    Write(#[from] io::Error),
}

/// Writes the file that the snapshot's own format is published as: OpenZeppelin's tree dump (`StandardMerkleTree.load`
/// reads it) or Uniswap's claims. A native snapshot is published as pages instead.
pub fn export_peer(snapshot: &Snapshot, out: &mut impl Write) -> Result<(), ExportError> {
    match snapshot.format() {
        Format::OpenZeppelin => Ok(openzeppelin(snapshot, out)?),
        Format::Uniswap => uniswap(snapshot, out),
        found @ Format::Native => {
            Err(SnapshotError::Format { found, needed: "openzeppelin or uniswap (or export as csv)" }.into())
        }
    }
}

fn openzeppelin(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    write!(out, r#"{{"format":"standard-v1","leafEncoding":["address","uint256"],"tree":["#)?;
    for (i, &node) in snapshot.nodes().iter().enumerate() {
        write!(out, r#"{}"{}""#, comma(i), B256::new(node))?;
    }
    write!(out, r#"],"values":["#)?;
    for (i, word) in snapshot.all_words().iter().enumerate() {
        let (recipient, amount, place) = (word.recipient(), word.amount(), snapshot.place(i as u64));
        write!(out, r#"{}{{"value":["{recipient}","{amount}"],"treeIndex":{place}}}"#, comma(i))?;
    }
    writeln!(out, "]}}")
}

fn uniswap(snapshot: &Snapshot, out: &mut impl Write) -> Result<(), ExportError> {
    let (root, total) = (snapshot.root(), hex_number(snapshot.total().get()));
    write!(out, r#"{{"merkleRoot":"{root}","tokenTotal":"{total}","claims":{{"#)?;
    for (i, word) in snapshot.all_words().iter().enumerate() {
        let (recipient, amount) = (word.recipient(), hex_number(word.amount().get()));
        write!(out, r#"{}"{recipient}":{{"index":{i},"amount":"{amount}","proof":["#, comma(i))?;
        for (j, sibling) in snapshot.foreign_proof(i as u64)?.path.iter().enumerate() {
            write!(out, r#"{}"{sibling}""#, comma(j))?;
        }
        write!(out, "]}}")?;
    }
    writeln!(out, "}}}}")?;
    Ok(())
}

fn comma(place: usize) -> &'static str {
    if place == 0 { "" } else { "," }
}

/// A number as ethers' BigNumber writes it: hexadecimal with an even number of digits.
pub(crate) fn hex_number(number: u128) -> String {
    let bytes = number.to_be_bytes();
    let begin = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len() - 1);
    hex::encode_prefixed(&bytes[begin..])
}

/// Writes the entitlements as CSV (`index,address,amount[,person]`) in base units, which `snapshot build --unit base`
/// reads again.
pub fn export_csv(snapshot: &Snapshot, out: impl Write) -> Result<(), ExportError> {
    let mut csv = csv::WriterBuilder::new().flexible(false).from_writer(out);
    let failed = |error: csv::Error| io::Error::other(error);
    let columns = ["index", "address", "amount", "person"];
    let named = if snapshot.has_persons() { 4 } else { 3 };
    csv.write_record(&columns[..named]).map_err(failed)?;
    for (index, word) in (0..).zip(snapshot.all_words()) {
        let person = snapshot.person(index).map(|person| person.to_string()).unwrap_or_default();
        let row = [index.to_string(), word.recipient().to_string(), word.amount().to_string(), person];
        csv.write_record(&row[..named]).map_err(failed)?;
    }
    csv.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
