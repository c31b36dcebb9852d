//! The whole log, read as fast as the server can tell it: for starting nodes and for followers far behind. `COPY` in its
//! binary form costs a third of what a query's rows do, on both sides.

use alloy_primitives::bytes::{Buf, Bytes};
use futures::TryStreamExt;
use sluice_core::ids::{Epoch, Seq, StreamId};
use sluice_core::log::entry::Entry;
use sluice_core::log::merkle::Hash;
use sqlx::ConnectOptions;
use tokio::sync::mpsc;

use crate::Store;
use crate::columns::{from_bigint, from_bytea, to_bigint, to_integer};
use crate::error::{Error, Result};
use crate::limits::{ANSWER_TIMEOUT, POUR_BYTES, POUR_ROWS};
use crate::log::checked;
use crate::store::within;

/// What binary `COPY` begins with, by PostgreSQL's manual ("COPY", File Formats): eleven bytes of signature, flags, and the
/// length of an extension that nobody uses.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A row of the log as it came over the wire. The entry is a part of what was received, not a copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poured {
    /// Its position.
    pub seq: Seq,
    /// The epoch it was appended under.
    pub epoch: Epoch,
    /// Its bytes.
    pub entry: Bytes,
    /// Its leaf hash, as stored.
    pub leaf: Hash,
}

impl Poured {
    /// As [`crate::StoredEntry::decode`].
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(&self) -> Result<Entry> {
        checked(self.seq, self.epoch, &self.entry, &self.leaf)
    }
}

impl Store {
    /// All entries after a position, ascending and without a gap, as the log was when this began, in parts of bounded size.
    /// Waits while nobody takes them, and ends early when nobody ever will. Has a connection of its own: no statement of the
    /// pool may take so long.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was handed on until then is good.
    pub async fn pour_log(
        &self,
        stream: StreamId,
        after: Seq,
        into: &mpsc::Sender<Vec<Poured>>,
    ) -> Result<()> {
        let action = "read the whole log";
        let (stream, after) = (to_integer("stream", stream.0)?, to_bigint("position", after)?);
        let statement = format!(
            "COPY (SELECT seq, epoch, entry, leaf FROM log WHERE stream = {stream} AND seq > {after} ORDER BY seq)
             TO STDOUT (FORMAT binary)"
        );
        let connect = self.connect_options();
        let mut session = within(ANSWER_TIMEOUT, connect.connect()).await.map_err(Error::reading(action))?;
        let mut messages =
            within(ANSWER_TIMEOUT, session.copy_out_raw(&statement)).await.map_err(Error::reading(action))?;
        let (mut part, mut bytes, mut begun) = (Vec::new(), 0, false);
        while let Some(mut message) =
            within(ANSWER_TIMEOUT, messages.try_next()).await.map_err(Error::reading(action))?
        {
            if !begun {
                if !message.starts_with(&HEADER) {
                    return Err(malformed("it does not begin as the binary form does"));
                }
                message.advance(HEADER.len());
                begun = true;
            }
            while let Some(row) = row(&mut message)? {
                bytes += row.entry.len();
                part.push(row);
                if part.len() == POUR_ROWS || bytes >= POUR_BYTES {
                    bytes = 0;
                    if into.send(std::mem::take(&mut part)).await.is_err() {
                        return Ok(());
                    }
                    part.reserve(POUR_ROWS);
                }
            }
        }
        if !part.is_empty() {
            // Nobody takes it: nobody misses it.
            let _ = into.send(part).await;
        }
        Ok(())
    }
}

fn malformed(reason: &str) -> Error {
    Error::Corrupt { what: "answer to COPY", reason: reason.into() }
}

/// The next row of a message; `None` at its end. The server never cuts a row in two.
fn row(message: &mut Bytes) -> Result<Option<Poured>> {
    if message.is_empty() {
        return Ok(None);
    }
    match message.try_get_i16() {
        Ok(-1) => return Ok(None),
        Ok(4) => {}
        _ => return Err(malformed("a row has not the columns that were asked for")),
    }
    let seq = from_bigint("log.seq", bigint(message)?)?;
    let epoch = from_bigint("log.epoch", bigint(message)?)?;
    let (entry, leaf) = (column(message)?, column(message)?);
    Ok(Some(Poured { seq, epoch, entry, leaf: from_bytea("log.leaf", &leaf)? }))
}

fn bigint(message: &mut Bytes) -> Result<i64> {
    column(message)?.try_get_i64().map_err(|_| malformed("a number is cut short"))
}

fn column(message: &mut Bytes) -> Result<Bytes> {
    let length = message.try_get_i32().ok().and_then(|length| usize::try_from(length).ok());
    match length {
        Some(length) if length <= message.len() => Ok(message.split_to(length)),
        _ => Err(malformed("a column is null or cut short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<u8> {
        let mut bytes = 4_i16.to_be_bytes().to_vec();
        for column in [7_i64.to_be_bytes().as_slice(), &3_i64.to_be_bytes(), b"entry", &[9; 32]] {
            bytes.extend(i32::try_from(column.len()).unwrap().to_be_bytes());
            bytes.extend(column);
        }
        bytes
    }

    #[test]
    fn a_row_is_read_and_the_end_is_seen() {
        let mut message = Bytes::from(good());
        let read = row(&mut message).unwrap().unwrap();
        assert_eq!(read, Poured { seq: 7, epoch: 3, entry: Bytes::from_static(b"entry"), leaf: [9; 32] });
        assert!(row(&mut message).unwrap().is_none());
        assert!(row(&mut Bytes::from_static(&[0xff, 0xff])).unwrap().is_none());
    }

    #[test]
    fn a_row_that_is_cut_anywhere_is_refused() {
        let good = good();
        for length in 1..good.len() {
            assert!(row(&mut Bytes::copy_from_slice(&good[..length])).is_err(), "{length} bytes");
        }
    }
}
