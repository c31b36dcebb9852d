//! A proxy between a session and PostgreSQL that knows where a statement's execution, its commit and its answer lie in
//! the stream of messages, and cuts there.
//!
//! The protocol (PostgreSQL manual, "Message Formats"): after the start-up message every message is a type byte and a
//! length that counts itself. `E` (Execute) makes the server carry a statement out, `S` (Sync) makes it commit, `Z`
//! (ReadyForQuery) says that it has.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sluice_embedded::testing::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// Where the next statement is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of it.
    BeforeExecute,
    /// Carried out, then the connection ends before its commit.
    BeforeCommit,
    /// Committed, and the answer never arrives.
    AfterCommit,
    /// Everything is sent, and the client is cut off while the server is still at it.
    Blindly,
    /// Carried out, and the commit does not come until [`Proxy::resume`]: a process that was stopped.
    HoldCommit,
}

#[derive(Default)]
struct Plan {
    next: Mutex<Option<Cut>>,
    refuse: AtomicBool,
    held: Notify,
    resume: Notify,
}

pub(crate) struct Proxy {
    dir: TempDir,
    plan: Arc<Plan>,
    options: PgConnectOptions,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy before a test's database.
    pub(crate) fn before(database: &TestDatabase) -> Self {
        let options = PgConnectOptions::from_str(database.url()).unwrap();
        let server = server_socket(&options);
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let plan = Arc::new(Plan::default());
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&plan)));
        Self { dir, plan, options, accepting }
    }

    /// A URL that leads through the proxy.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://{}@localhost:5432/{}?host={}&sslmode=disable",
            self.options.get_username(),
            self.options.get_database().unwrap(),
            self.dir.path().display()
        )
    }

    /// Cuts the next statement that is executed.
    pub(crate) fn cut_next(&self, cut: Cut) {
        *self.plan.next.lock().unwrap() = Some(cut);
    }

    /// Whether the cut that was ordered has been made.
    pub(crate) fn has_cut(&self) -> bool {
        self.plan.next.lock().unwrap().is_none()
    }

    /// Lets nobody in, or everybody again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.plan.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Waits until a commit is held.
    pub(crate) async fn held(&self) {
        self.plan.held.notified().await;
    }

    /// Lets a held commit go.
    pub(crate) fn resume(&self) {
        self.plan.resume.notify_one();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn server_socket(options: &PgConnectOptions) -> PathBuf {
    let host = options.get_host().to_owned();
    let dir = options.get_socket().cloned().unwrap_or_else(|| Path::new(&host).to_owned());
    dir.join(format!(".s.PGSQL.{}", options.get_port()))
}

async fn accept(listener: UnixListener, server: PathBuf, plan: Arc<Plan>) {
    while let Ok((client, _)) = listener.accept().await {
        if plan.refuse.load(Ordering::SeqCst) {
            continue;
        }
        let server = UnixStream::connect(&server).await.unwrap();
        tokio::spawn(relay(client, server, Arc::clone(&plan)));
    }
}

/// What the direction to the server tells the direction to the client.
#[derive(Default)]
struct Verdict {
    swallow: AtomicBool,
}

async fn relay(client: UnixStream, server: UnixStream, plan: Arc<Plan>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let verdict = Arc::new(Verdict::default());
    let back = tokio::spawn(answers(from_server, to_client, Arc::clone(&verdict)));
    let cut = demands(from_client, to_server, plan, &verdict).await;
    match cut {
        // The server's answer is awaited, and thrown away.
        Some(Cut::AfterCommit) => drop(back.await),
        // Dropping it closes the client's side now; the server finds out when it answers.
        _ => back.abort(),
    }
}

/// Client to server; returns the cut that ended it.
async fn demands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    plan: Arc<Plan>,
    verdict: &Verdict,
) -> Option<Cut> {
    let start = message(&mut client, false).await?;
    server.write_all(&start).await.ok()?;
    let mut cut = None;
    loop {
        let message = message(&mut client, true).await?;
        match (message[0], cut) {
            (b'E', None) => {
                cut = plan.next.lock().unwrap().take();
                match cut {
                    Some(Cut::BeforeExecute) => return cut,
                    Some(Cut::AfterCommit) => verdict.swallow.store(true, Ordering::SeqCst),
                    _ => {}
                }
                server.write_all(&message).await.ok()?;
            }
            (b'S', Some(Cut::BeforeCommit)) => return cut,
            (b'S', Some(Cut::HoldCommit)) => {
                plan.held.notify_one();
                plan.resume.notified().await;
                cut = None;
                server.write_all(&message).await.ok()?;
            }
            (b'S', Some(Cut::AfterCommit | Cut::Blindly)) => {
                server.write_all(&message).await.ok()?;
                // Keep the way to the server open for as long as the other direction wants it.
                if cut == Some(Cut::AfterCommit) {
                    server.forget();
                }
                return cut;
            }
            _ => server.write_all(&message).await.ok()?,
        }
    }
}

/// Server to client. When the answer is to be swallowed it ends with the commit, and the client hears nothing.
async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, verdict: Arc<Verdict>) -> Option<()> {
    loop {
        let message = message(&mut server, true).await?;
        if !verdict.swallow.load(Ordering::SeqCst) {
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
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    message.resize(head - 4 + length, 0);
    from.read_exact(&mut message[head..]).await.ok()?;
    Some(message)
}
