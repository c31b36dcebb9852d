//! `sluice-load`: lists of any size, and measurements beside what one would use instead, in the same run.
//!
//! Every subcommand first says what time, disk and memory it will take here, prints a table and, with `--json`, one
//! line. `generate`, `snapshot` and the scenarios of whole programmes go on where they were interrupted; the others
//! begin anew, because the two sides of a comparison must be of one moment.

// Rates and ratios of measurements are floats. Money here is integers, as everywhere.
#![allow(clippy::float_arithmetic)]

mod claims;
mod estimate;
mod fair;
mod flood;
mod gated;
mod generate;
mod insist;
mod machine;
mod network;
mod overload;
mod proofs;
mod reader;
mod report;
mod resume;
mod scenario;
mod sequence;
mod settle;
mod size;
mod snapshot;
mod soak;
mod stage;
mod start;
mod steady;
mod wallet;
mod workers;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// As `sluice` has it, so that what is measured is what runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load tests of Sluice: generated lists and measurements.
#[derive(Debug, Parser)]
#[command(name = "sluice-load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write lists with realistic amounts, of wallets whose keys are known.
    Generate(generate::GenerateArgs),
    /// Print address and secret key of a wallet of generated lists.
    Wallet(wallet::WalletArgs),
    /// Lists to snapshots at several sizes: rows a second for each stage, memory, and what else could be used.
    Snapshot(snapshot::SnapshotArgs),
    /// One build, in a process of its own.
    #[command(hide = true)]
    SnapshotOnce(snapshot::OnceArgs),
    /// Proofs a second, in process and over HTTP, cold and warm; static pages published and read back.
    Proofs(proofs::ProofsArgs),
    /// Signed claims over HTTP in an open loop, compared with the log afterwards.
    Claims(claims::ClaimsArgs),
    /// Whether a flood of attestations slows claims, and the reverse.
    Flood(flood::FloodArgs),
    /// Durable decisions a second beside COPY of the same rows and pgbench.
    Sequence(sequence::SequenceArgs),
    /// Whether a long reader, a follower that catches up or a new partition slows decisions.
    Reader(reader::ReaderArgs),
    /// How long a node takes to start with a long log: from the log, from a state dump, beside reading the same rows.
    Start(start::StartArgs),
    /// Claims settled a second and gas a claim, by how many of a round have claimed; what waiting saves.
    Settle(settle::SettleArgs),
    /// Headlines that others tell, run through the whole of Sluice on this machine.
    Scenario(scenario::ScenarioArgs),
    /// What a claim leaves on disk, table by table, and whether any of it must be vacuumed away.
    Size(size::SizeArgs),
    /// Decisions a second with gates on beside gates off, and in a crowd of mandates and rule sets.
    Gated(gated::GatedArgs),
    /// Ten times what a node may decide: goodput, memory, and how soon everything is as before.
    Overload(overload::OverloadArgs),
    /// One campaign sends nine tenths of an overload: what those of others notice.
    Fair(fair::FairArgs),
    /// A hundred thousand claimants behind one address.
    Network(network::NetworkArgs),
    /// Verify workers that come and go at two nodes under load.
    Workers(workers::WorkersArgs),
    /// Claims for half an hour or more, settled as they come: whether memory and latency stay as they are.
    Soak(soak::SoakArgs),
    /// A node with its servers, in a process of its own.
    #[command(hide = true)]
    Stage(stage::StageArgs),
    /// Say what this machine is: cores, memory, and the disk under a folder.
    Machine(machine::MachineArgs),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Generate(args) => args.run(),
            Self::Wallet(args) => args.run(),
            Self::Snapshot(args) => args.run(),
            Self::SnapshotOnce(args) => args.run(),
            Self::Proofs(args) => args.run(),
            Self::Claims(args) => args.run(),
            Self::Flood(args) => args.run(),
            Self::Sequence(args) => args.run(),
            Self::Reader(args) => args.run(),
            Self::Start(args) => args.run(),
            Self::Settle(args) => args.run(),
            Self::Scenario(args) => args.run(),
            Self::Size(args) => args.run(),
            Self::Gated(args) => args.run(),
            Self::Overload(args) => args.run(),
            Self::Fair(args) => args.run(),
            Self::Network(args) => args.run(),
            Self::Workers(args) => args.run(),
            Self::Soak(args) => args.run(),
            Self::Stage(args) => args.run(),
            Self::Machine(args) => args.run(),
        }
    }
}

fn main() -> ExitCode {
    sluice_server::memory::without_huge_pages();
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
