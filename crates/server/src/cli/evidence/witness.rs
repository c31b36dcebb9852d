//! `sluice witness`: an outside body compares a log with what is signed over it, and puts its own name to it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use sluice_core::ids::StreamId;
use sluice_core::log::merkle::Hash;
use sluice_core::log::note::{Cosigner, LogVerifier, SignedHead, open};
use sluice_engine::evidence::witness::{LastSeen, Witness as Replaying, continues};

use super::{PinArgs, open_store};
use crate::cli::block_on;
use crate::cli::reach::client_now;
use crate::cli::serve::told_to_stop;
use crate::keys::{Password, open_log_key};

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read: a checkpoint has less than one KiB, a proof some KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Follow a log, read only, and co-sign its checkpoints; ends with an error at a fork, a rollback or a difference.
///
/// With --database-url every entry is replayed and root and state hash are computed anew. With --node alone, only that
/// each checkpoint continues the one co-signed before.
#[derive(Debug, Args)]
pub struct Witness {
    /// The database to replay; it is only read, and not at all with --node.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// A node to ask, without a database.
    #[arg(long, value_name = "URL", required_unless_present = "database_url")]
    node: Option<String>,
    /// Which log.
    #[arg(long, default_value_t = 0)]
    stream: u32,
    #[command(flatten)]
    pin: PinArgs,
    /// This witness's name, as audit.example/sluice.
    #[arg(long)]
    name: String,
    /// The file of its Ed25519 key, made by `sluice keys new log`.
    #[arg(long, value_name = "FILE")]
    witness_key: PathBuf,
    /// A file whose first line opens it.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// The last co-signed checkpoint: written after each, read at the start. It is what a rollback is seen by.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do it once, up to the newest checkpoint.
    #[arg(long)]
    once: bool,
    /// How often to look, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    every: u64,
}

impl Witness {
    /// Witnesses until it is stopped, or must refuse.
    ///
    /// # Errors
    /// When log or keys cannot be read; when the log is not the one it signed before, or not what was signed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let secret = open_log_key(&self.witness_key, &Password::read(&self.password_file)?)?;
        let cosigner = Cosigner::new(&self.name, &secret)?;
        eprintln!("witness key {}", cosigner.verifier());
        block_on(async {
            let (stop, out) = (told_to_stop()?, self.out.display().to_string());
            tokio::select! {
                ended = self.follow(cosigner) => ended,
                // The file holds the last note whole: it is written aside and renamed.
                () = stop => {
                    eprintln!("stopped; what was co-signed last stands in {out}");
                    Ok(ExitCode::SUCCESS)
                }
            }
        })
    }

    async fn follow(self, cosigner: Cosigner) -> anyhow::Result<ExitCode> {
        let keys = self.pin.verifiers(self.stream).await?;
        let mut last = last_seen(&self.out, &keys)?;
        let mut replaying = match (&self.database_url, &self.node) {
            (Some(url), None) => {
                let store = open_store(url).await?;
                Some(Replaying::new(store, StreamId(self.stream), keys.clone(), last.clone()))
            }
            _ => None,
        };
        loop {
            let newer = match (&mut replaying, &self.node) {
                (Some(replaying), _) => replaying.tick().await?,
                (None, Some(node)) => match ask(node, last.as_ref(), &keys).await {
                    // A node that is away, or has no checkpoint yet, proves nothing: it is asked again.
                    Err(error) if !self.once && error.downcast_ref::<reqwest::Error>().is_some() => {
                        eprintln!("asked again later: {error}");
                        None
                    }
                    asked => asked?,
                },
                (None, None) => None,
            };
            if let Some((head, note)) = newer {
                let note = cosigner.cosign(&note, client_now())?;
                keep(&self.out, &note)?;
                println!("{note}");
                last = Some(LastSeen { size: head.head.size, root: head.head.root });
            }
            if self.once {
                ensure!(last.is_some(), "the log has no checkpoint yet");
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(Duration::from_secs(self.every.max(1))).await;
        }
    }
}

/// What was co-signed last, if anything.
fn last_seen(path: &Path, keys: &[LogVerifier]) -> anyhow::Result<Option<LastSeen>> {
    let note = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let head =
        open(&note, keys).with_context(|| format!("{} is no checkpoint of this log", path.display()))?.head;
    Ok(Some(LastSeen { size: head.size, root: head.root }))
}

/// Writes aside and renames: a cut leaves the old one.
fn keep(path: &Path, note: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let aside =
        tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| ".".as_ref())).with_context(failed)?;
    std::fs::write(aside.path(), note).with_context(failed)?;
    aside.as_file().sync_all().with_context(failed)?;
    aside.persist(path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}

#[derive(Deserialize)]
struct ProofBody {
    proof: Vec<alloy_primitives::B256>,
}

/// A node's newest checkpoint, if it continues the last one.
async fn ask(
    node: &str,
    last: Option<&LastSeen>,
    keys: &[LogVerifier],
) -> anyhow::Result<Option<(SignedHead, String)>> {
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
    let get = async |path: String| {
        let answer =
            client.get(format!("{}{path}", node.trim_end_matches('/'))).send().await?.error_for_status()?;
        let bytes = answer.bytes().await?;
        ensure!(bytes.len() <= ANSWER_BYTES_MAX, "{path} answers with {} bytes", bytes.len());
        Ok(String::from_utf8(bytes.into())?)
    };
    let note = get("/v1/checkpoint".into()).await?;
    let size = open(&note, keys)?.head.size;
    let mut proof: Vec<Hash> = Vec::new();
    if let Some(last) = last.filter(|last| last.size < size) {
        let body: ProofBody =
            serde_json::from_str(&get(format!("/v1/log/proof?from={}&to={size}", last.size)).await?)?;
        proof = body.proof.into_iter().map(|hash| hash.0).collect();
    }
    let head = continues(last, &note, &proof, keys)?;
    Ok(last.is_none_or(|last| last.size < head.head.size).then_some((head, note)))
}
