//! `sluice seal`: changes the key under which the keys of personal data lie.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_store::{Options, RewrapAt, Rewrapped, SealKey, Store};

use super::block_on;
use super::progress::Steps;
use super::reach::answer;
use crate::keys::{Password, open_seal_key};

/// Change the nodes' seal key.
#[derive(Debug, Args)]
pub struct Seal {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put every key of facts and attestations under another seal key. Nodes and gate-signers are stopped first, and start
    /// with the next key afterwards. When it was cut, the same command goes on; until it is done no node starts.
    Rotate(Box<Rotate>),
}

#[derive(Debug, Args)]
struct Rotate {
    /// The database.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The seal key until now.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    from_password_file: PathBuf,
    /// The next seal key: sluice keys new seal.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    to_password_file: PathBuf,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Seal {
    /// Does it.
    ///
    /// # Errors
    /// When a node leads, a key does not open, or the database cannot be reached.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let What::Rotate(rotate) = self.what;
        block_on(rotate.run())
    }
}

impl Rotate {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let from = SealKey::new(
            &open_seal_key(&self.from, &Password::read(&self.from_password_file)?).context("--from")?,
        );
        let to =
            SealKey::new(&open_seal_key(&self.to, &Password::read(&self.to_password_file)?).context("--to")?);
        ensure!(from.name() != to.name(), "--from and --to are the same key");
        let store = Store::connect(&self.database_url, Options { connections: 2 }).await;
        let store = store.context("--database-url: the log's database cannot be opened")?;
        let steps = Steps::new("keys looked at", None);
        let (mut at, mut all, mut looked_at) = (RewrapAt::START, Rewrapped::default(), 0);
        while at != RewrapAt::Done {
            if let Some(holder) = store.led_by().await? {
                bail!(
                    "{holder} leads: stop all nodes and gate-signers, then begin again; what is done stays done"
                );
            }
            let (next, found) = store.rewrap(&at, &from, &to).await?;
            (at, looked_at) = (next, looked_at + found.rewrapped + found.already);
            all += found;
            steps.at(looked_at);
        }
        steps.done();
        let name = alloy_primitives::hex::encode(to.name());
        let told = json!({ "seal_key": name, "rewrapped": all.rewrapped, "already": all.already, "broken": all.broken });
        let lines = [
            ("seal key", name),
            ("under it now", format!("{} keys, {} of them before", all.rewrapped + all.already, all.already)),
            ("unreadable before and after", all.broken.to_string()),
        ];
        answer(self.json, &told, &lines)?;
        Ok(ExitCode::SUCCESS)
    }
}
