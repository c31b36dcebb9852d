//! A proxy between a node and PostgreSQL that knows which statement is under way and where its execution, its commit
//! and its answer lie in the stream of messages, and cuts there.
//!
//! The protocol (PostgreSQL manual, "Message Formats"): after the start-up message every message is a type byte and a
//! length that counts itself. `P` (Parse) names a statement, `B` (Bind) gives it its parameters, `E` (Execute) makes
//! the server carry it out, `S` (Sync) makes it commit, `Z` (ReadyForQuery) says that it has.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::schedule::{Commit, Cut};

/// What is ordered and what was done, shared by the proxies of both nodes: a cut falls where its statement runs.
#[derive(Debug)]
pub(crate) struct Orders {
    next: Mutex<Option<(Commit, Cut)>>,
    made: Mutex<BTreeMap<(Commit, Cut), u32>>,
    away: watch::Sender<bool>,
}

impl Orders {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { next: Mutex::default(), made: Mutex::default(), away: watch::Sender::new(false) })
    }

    /// Cuts the next statement of this kind.
    pub(crate) fn cut_next(&self, commit: Commit, cut: Cut) {
        *self.next.lock().expect("no panic inside") = Some((commit, cut));
    }

    /// Whether the cut that was ordered has been made.
    pub(crate) fn has_cut(&self) -> bool {
        self.next.lock().expect("no panic inside").is_none()
    }

    /// Takes back what was ordered and not made.
    pub(crate) fn clear(&self) {
        *self.next.lock().expect("no panic inside") = None;
    }

    /// Cuts everybody off and lets nobody in, or everybody again.
    pub(crate) fn away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// How often each cut was made.
    pub(crate) fn made(&self) -> BTreeMap<(Commit, Cut), u32> {
        self.made.lock().expect("no panic inside").clone()
    }

    fn take(&self, kinds: &[Commit]) -> Option<Cut> {
        let mut next = self.next.lock().expect("no panic inside");
        let (commit, cut) = next.filter(|(commit, _)| kinds.contains(commit))?;
        *next = None;
        *self.made.lock().expect("no panic inside").entry((commit, cut)).or_default() += 1;
        Some(cut)
    }
}

/// A proxy before a database.
#[derive(Debug)]
pub(crate) struct PostgresProxy {
    dir: TempDir,
    options: PgConnectOptions,
    accepting: JoinHandle<()>,
}

impl PostgresProxy {
    pub(crate) fn before(database_url: &str, orders: Arc<Orders>) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(database_url).context("the database's URL")?;
        let server = server_socket(&options);
        let dir = tempfile::tempdir().context("a folder for the proxy's socket")?;
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).context("the proxy's socket")?;
        let accepting = tokio::spawn(accept(listener, server, orders));
        Ok(Self { dir, options, accepting })
    }

    /// A URL that leads through the proxy.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://{}@localhost:5432/{}?host={}&sslmode=disable",
            self.options.get_username(),
            self.options.get_database().unwrap_or("postgres"),
            self.dir.path().display()
        )
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn server_socket(options: &PgConnectOptions) -> PathBuf {
    let host = options.get_host().to_owned();
    let dir = options.get_socket().cloned().unwrap_or_else(|| Path::new(&host).to_owned());
    dir.join(format!(".s.PGSQL.{}", options.get_port()))
}

async fn accept(listener: UnixListener, server: PathBuf, orders: Arc<Orders>) {
    while let Ok((client, _)) = listener.accept().await {
        if *orders.away.borrow() {
            continue;
        }
        let Ok(server) = UnixStream::connect(&server).await else { continue };
        let orders = Arc::clone(&orders);
        tokio::spawn(async move {
            let mut away = orders.away.subscribe();
            tokio::select! {
                () = relay(client, server, &orders) => {}
                // The sender lives as long as the orders do.
                _ = away.wait_for(|away| *away) => {}
            }
        });
    }
}

async fn relay(client: UnixStream, server: UnixStream, orders: &Orders) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = AtomicBool::new(false);
    let back = answers(from_server, to_client, &swallow);
    let forth = demands(from_client, to_server, orders, &swallow);
    tokio::pin!(back);
    tokio::select! {
        // The server has gone, or its swallowed answer has come.
        _ = &mut back => {}
        cut = forth => {
            // The server's answer is awaited, and thrown away. In every other case dropping both halves closes the
            // client's side now, and the server finds out when it answers.
            if let Some((Cut::AfterCommit, _kept_open)) = cut {
                let _ = back.await;
            }
        }
    }
}

/// The statements of a connection, by the names the client gave them.
#[derive(Debug, Default)]
struct Statements {
    append: HashMap<Vec<u8>, bool>,
    bound: Vec<Commit>,
}

impl Statements {
    /// `P`: name, zero, text, zero, … Only the two kinds of statement that can be cut are remembered.
    fn parse(&mut self, message: &[u8]) {
        let Some((name, rest)) = text(&message[5..]) else { return };
        let Some((sql, _)) = text(rest) else { return };
        let sql = String::from_utf8_lossy(sql);
        if sql.contains("INSERT INTO log ") {
            self.append.insert(name.to_vec(), true);
        } else if sql.contains("INSERT INTO intake ") {
            self.append.insert(name.to_vec(), false);
        } else {
            self.append.remove(name);
        }
    }

    /// `B`: portal, zero, name, zero, formats, parameters. The fourth of an append are the kinds of its entries.
    fn bind(&mut self, message: &[u8]) {
        self.bound.clear();
        let bound = || {
            let (_portal, rest) = text(&message[5..])?;
            let (name, rest) = text(rest)?;
            match self.append.get(name)? {
                true => kinds(rest),
                false => Some(vec![Commit::Intake]),
            }
        };
        self.bound = bound().unwrap_or_default();
    }
}

/// Which commits of LOG.md §4 an append is: one group may be several.
fn kinds(parameters: &[u8]) -> Option<Vec<Commit>> {
    let (formats, rest) = number(parameters)?;
    let (_count, mut rest) = number(rest.get(usize::from(formats) * 2..)?)?;
    for _ in 0..3 {
        rest = parameter(rest)?.1;
    }
    // A binary array of one dimension: dimensions, flags, type, length, lower bound, then length and value of each.
    let (array, _) = parameter(rest)?;
    let mut values = array.get(20..)?;
    let mut found = Vec::new();
    while let Some((value, more)) = parameter(values) {
        let kind = i16::from_be_bytes(value.try_into().ok()?);
        let commit = match kind {
            3..=9 => Some(Commit::Decisions),
            11 => Some(Commit::Batch),
            12 => Some(Commit::Attempt),
            1 | 13..=21 => Some(Commit::Watcher),
            _ => None,
        };
        found.extend(commit);
        values = more;
    }
    Some(found)
}

/// A text that ends with a zero, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

/// A value after its length; a null is an empty one.
fn parameter(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
    rest.split_at_checked(length)
}

/// Client to server; returns the cut that ended it, with the half that keeps the way to the server open.
async fn demands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    orders: &Orders,
    swallow: &AtomicBool,
) -> Option<(Cut, OwnedWriteHalf)> {
    let start = message(&mut client, false).await?;
    server.write_all(&start).await.ok()?;
    let (mut statements, mut cut) = (Statements::default(), None);
    loop {
        let message = message(&mut client, true).await?;
        match (message[0], cut) {
            (b'P', _) => statements.parse(&message),
            (b'B', _) => statements.bind(&message),
            (b'E', None) => {
                cut = orders.take(&statements.bound);
                match cut {
                    Some(Cut::BeforeExecute) => return Some((Cut::BeforeExecute, server)),
                    Some(Cut::AfterCommit) => swallow.store(true, Ordering::SeqCst),
                    _ => {}
                }
            }
            (b'S', Some(Cut::BeforeCommit)) => return Some((Cut::BeforeCommit, server)),
            (b'S', Some(made @ (Cut::AfterCommit | Cut::Blindly))) => {
                server.write_all(&message).await.ok()?;
                return Some((made, server));
            }
            _ => {}
        }
        server.write_all(&message).await.ok()?;
    }
}

/// Server to client. When the answer is to be swallowed it ends with the commit, and the client hears nothing.
async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, swallow: &AtomicBool) -> Option<()> {
    loop {
        let message = message(&mut server, true).await?;
        if !swallow.load(Ordering::SeqCst) {
            client.write_all(&message).await.ok()?;
        } else if message[0] == b'Z' {
            return None;
        }
    }
}

/// One whole message; `None` at the end of the stream.
async fn message(from: &mut OwnedReadHalf, typed: bool) -> Option<Vec<u8>> {
    let head = if typed { 5 } else { 4 };
    let mut message = vec![0; head];
    from.read_exact(&mut message).await.ok()?;
    let length = u32::from_be_bytes(message[head - 4..].try_into().ok()?) as usize;
    message.resize(head - 4 + length, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    fn parameter_of(value: &[u8]) -> Vec<u8> {
        [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
    }

    /// A Bind as sqlx writes it: binary formats, and the kinds as the fourth parameter.
    fn append_of(kinds: &[i16]) -> Vec<u8> {
        let mut array = [1u32, 0, 21, u32::try_from(kinds.len()).unwrap(), 1].map(u32::to_be_bytes).concat();
        kinds.iter().for_each(|kind| array.extend(parameter_of(&kind.to_be_bytes())));
        let eight = parameter_of(&7u64.to_be_bytes());
        let four = [parameter_of(&1u32.to_be_bytes()), eight.clone(), eight, parameter_of(&array)].concat();
        typed(b'B', &[b"\0one\0", &[0, 1, 0, 1][..], &[0, 4], &four].concat())
    }

    #[test]
    fn an_append_is_told_by_the_kinds_of_its_entries() {
        let mut statements = Statements::default();
        statements.parse(&typed(b'P', b"one\0WITH h AS () INSERT INTO log (stream) SELECT 1\0\0\0"));
        for (kinds, commits) in [
            (&[5, 6][..], vec![Commit::Decisions, Commit::Decisions]),
            (&[11], vec![Commit::Batch]),
            (&[12, 20], vec![Commit::Attempt, Commit::Watcher]),
            (&[2, 10], vec![]),
        ] {
            statements.bind(&append_of(kinds));
            assert_eq!(statements.bound, commits, "{kinds:?}");
        }
        statements.parse(&typed(b'P', b"one\0INSERT INTO intake (n) VALUES (1)\0\0\0"));
        statements.bind(&append_of(&[]));
        assert_eq!(statements.bound, [Commit::Intake]);
        statements.parse(&typed(b'P', b"one\0SELECT 1\0\0\0"));
        statements.bind(&append_of(&[5]));
        assert_eq!(statements.bound, []);
    }
}
