//! Cutting bytes into rows and rows into fields: RFC 4180, strictly.

use super::Reason;
use memchr::{memchr, memchr2};

/// A field as it stands in its row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Plain(&'a [u8]),
    /// What stands between the quotes, inner quotes still doubled.
    Quoted(&'a [u8]),
}

impl<'a> Field<'a> {
    /// The bytes without doubled quotes.
    pub(crate) fn text(self) -> Vec<u8> {
        match self {
            Self::Plain(bytes) => bytes.to_vec(),
            Self::Quoted(bytes) => match memchr(b'"', bytes) {
                None => bytes.to_vec(),
                Some(_) => String::from_utf8_lossy(bytes).replace("\"\"", "\"").into_bytes(),
            },
        }
    }

    /// The bytes as they stand: no address, amount or person contains a quote.
    pub(crate) fn raw(self) -> &'a [u8] {
        match self {
            Self::Plain(bytes) | Self::Quoted(bytes) => bytes,
        }
    }
}

/// The places of the `\n` that end rows in `bytes`, which begin at a row's start. `quoted` says whether the bytes may
/// hold quotes at all. A quote opens a field only at the field's start, so that a stray one spoils its own row alone.
pub(crate) fn row_ends(bytes: &[u8], quoted: bool) -> RowEnds<'_> {
    RowEnds { bytes, at: 0, quoted }
}

#[derive(Debug)]
pub(crate) struct RowEnds<'a> {
    bytes: &'a [u8],
    at: usize,
    quoted: bool,
}

impl Iterator for RowEnds<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut from = self.at;
        let end = loop {
            let rest = &self.bytes[from..];
            let found = if self.quoted { memchr2(b'"', b'\n', rest) } else { memchr(b'\n', rest) };
            let at = from + found?;
            if self.bytes[at] == b'\n' {
                break at;
            }
            let opens = at == self.at || self.bytes[at - 1] == b',';
            from = at + 1;
            if opens {
                from += closing_quote(&self.bytes[from..])? + 1;
            }
        };
        self.at = end + 1;
        Some(end)
    }
}

/// Where the last whole row of `bytes` ends.
pub(crate) fn last_row_end(bytes: &[u8], quoted: bool) -> Option<usize> {
    if quoted { row_ends(bytes, true).last() } else { memchr::memrchr(b'\n', bytes) }
}

/// A row without the `\r` of a `\r\n`.
pub(crate) fn without_return(row: &[u8]) -> &[u8] {
    row.strip_suffix(b"\r").unwrap_or(row)
}

/// Hands each field of a row to `take`, in order.
pub(crate) fn fields<'a>(row: &'a [u8], quoted: bool, mut take: impl FnMut(Field<'a>)) -> Result<(), Reason> {
    let mut rest = row;
    loop {
        let next;
        if quoted && rest.first() == Some(&b'"') {
            let end = closing_quote(&rest[1..]).ok_or(Reason::OpenQuote)?;
            take(Field::Quoted(&rest[1..1 + end]));
            next = &rest[end + 2..];
            match next.first() {
                None => return Ok(()),
                Some(b',') => rest = &next[1..],
                Some(_) => return Err(Reason::StrayQuote),
            }
            continue;
        }
        let end = memchr(b',', rest);
        let field = &rest[..end.unwrap_or(rest.len())];
        if quoted && field.contains(&b'"') {
            return Err(Reason::StrayQuote);
        }
        take(Field::Plain(field));
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return Ok(()),
        }
    }
}

/// The place of the quote that closes a field, past all doubled ones.
fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(b'"', &bytes[from..])?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}
