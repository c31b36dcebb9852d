//! `sluice log`: a log as a file, and whether it is the one that was signed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_core::ids::StreamId;
use sluice_engine::evidence::{LogSource, Verified, export::export_told, verify};

use super::{PinArgs, SealArgs, open_store, watched};
use crate::cli::block_on;
use crate::cli::progress::Steps;
use crate::cli::reach::answer;
use crate::cli::time::shown;

/// Export the log, and verify an export offline.
#[derive(Debug, Args)]
pub struct Log {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Copy the log with its checkpoints and kept facts into a file; run again, it goes on where it ended.
    Export(Export),
    /// Recompute an export and compare it with every signed checkpoint; exit code 0 only if all agree.
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Export {
    /// The database; it is only read.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Which log.
    #[arg(long, default_value_t = 0)]
    stream: u32,
    /// The file. It holds what the log holds; with --seal-key also the facts, which are personal data.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    seal: SealArgs,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Verify {
    /// The export.
    file: PathBuf,
    #[command(flatten)]
    pin: PinArgs,
    /// Which log the Charter's keys sign.
    #[arg(long, default_value_t = 0)]
    stream: u32,
    /// A checkpoint kept elsewhere (a witness's, a neighbour's) that the log must contain. May be repeated. Without one, a
    /// log cut short together with its own checkpoints cannot be told from a young one.
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Log {
    /// Does it.
    ///
    /// # Errors
    /// When the log cannot be read, or is not what was signed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Export(export) => export.run().await,
                What::Verify(verify) => verify.run().await,
            }
        })
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let store = self.seal.on(open_store(&self.database_url).await?)?;
        let steps = Steps::new("entries exported", None);
        let done = export_told(&store, StreamId(self.stream), &self.out, |seq| steps.at(seq)).await;
        steps.done();
        store.close().await;
        let done = done?;
        let value = json!({ "from": done.from, "to": done.to, "log_keys": done.log_keys });
        let keys: Vec<String> = done.log_keys.iter().map(ToString::to_string).collect();
        let lines = [
            ("written", format!("positions {} to {}", done.from, done.to)),
            ("log keys", format!("{} (as the log says; pin them from elsewhere)", keys.join(", "))),
        ];
        answer(self.json, &value, &lines)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let keys = self.pin.verifiers(self.stream).await?;
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let kept = self.checkpoints.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let (source, steps) = watched(LogSource::Export(self.file.clone()));
        let verified = verify(&source, &keys, &kept).await;
        steps.done();
        match verified {
            Ok(verified) => {
                answer(self.json, &json!({ "verified": true, "log": verified }), &lines(&verified))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) if self.json => {
                let place = error.place().map(|place| json!({ "from": place.from, "to": place.to }));
                let reason = format!("{:#}", anyhow::Error::new(error));
                println!("{}", json!({ "verified": false, "place": place, "reason": reason }));
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(anyhow::Error::new(error).context("the log proves nothing")),
        }
    }
}

fn lines(verified: &Verified) -> Vec<(&'static str, String)> {
    let uncovered = verified.entries - verified.covered;
    let mut lines = vec![
        ("log", verified.origin.clone().unwrap_or_else(|| "no checkpoint names it".into())),
        ("entries", format!("{}, the last of {}", verified.entries, shown(verified.recorded_at))),
        ("root", verified.root.to_string()),
        ("state", verified.state_hash.to_string()),
        ("checkpoints", format!("{}, covering {} entries", verified.checkpoints, verified.covered)),
        ("not signed yet", format!("{uncovered} entries")),
        ("facts", format!("{} kept, {} sealed, {} erased", verified.facts, verified.sealed, verified.erased)),
    ];
    if verified.unrecorded > 0 {
        lines.push(("erased past the log", format!("{}, of which no entry says so", verified.unrecorded)));
    }
    if verified.unerased > 0 {
        lines.push(("not erased", format!("{}, of which an entry says that they are", verified.unerased)));
    }
    lines
}
