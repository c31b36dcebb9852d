//! `sluice snapshot`: lists become snapshots become proofs. Needs neither a database nor a chain.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use sluice_core::amount::Total;

mod build;
mod diff;
mod disclose;
mod export;
mod inspect;
mod progress;
mod prove;
mod publish;
mod verify;

/// Turn lists into snapshots, and snapshots into proofs.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a snapshot file from a list: all or nothing.
    Build(build::Build),
    /// Prove that an address is listed, or that it is not.
    Prove(prove::Prove),
    /// Compute everything again that a snapshot file claims.
    Verify(verify::Verify),
    /// Show what a snapshot file is.
    Inspect(inspect::Inspect),
    /// Show what changed from one snapshot to another.
    Diff(diff::Diff),
    /// Write a snapshot as OpenZeppelin's or Uniswap's JSON, or as CSV.
    Export(export::Export),
    /// Write proof pages and their manifest to a folder or an object store: encrypted with --list-key, or --public.
    Publish(publish::Publish),
    /// Open the proof pages of a private list with its key, check them against the root, and write them as public ones.
    Disclose(disclose::Disclose),
}

impl SnapshotArgs {
    /// Does it.
    ///
    /// # Errors
    /// When an input cannot be read or does not hold, or an output cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Build(command) => command.run(),
            Command::Prove(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Diff(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Publish(command) => command.run(),
            Command::Disclose(command) => command.run(),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

/// A snapshot file and how to show the answer: what most commands take.
#[derive(Debug, Args)]
struct OfSnapshot {
    /// The snapshot file.
    file: PathBuf,
    /// Print the answer as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl OfSnapshot {
    fn open(&self) -> anyhow::Result<sluice_snapshot::Snapshot> {
        Ok(sluice_snapshot::Snapshot::open(&self.file)?)
    }
}

/// Prints a command's answer: one line of JSON, or a line for each fact.
fn answer<T: Serialize>(json: bool, value: &T, facts: &[(&str, String)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, value)?;
        writeln!(out)?;
    } else {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, fact) in facts {
            writeln!(out, "{name:width$}  {fact}")?;
        }
    }
    Ok(out.flush()?)
}

/// An amount or a sum for people: tokens, and base units where they differ.
fn tokens(total: impl Into<Total>, decimals: u8) -> String {
    let total = total.into();
    if decimals == 0 {
        total.to_string()
    } else {
        format!("{} ({total} base units)", total.to_decimal_string(decimals))
    }
}
