//! `sluice-load`: lists of any size, and measurements beside what one would use instead, in the same run.
//!
//! Every subcommand first says what time, disk and memory it will take here, prints a table and, with `--json`, one
//! line; a run that was interrupted goes on where it stopped.

// Rates and ratios of measurements are floats. Money here is integers, as everywhere.
#![allow(clippy::float_arithmetic)]

mod estimate;
mod machine;
mod report;
mod resume;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Load tests of Sluice: generated lists and measurements.
#[derive(Debug, Parser)]
#[command(name = "sluice-load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what this machine is: cores, memory, and the disk under a folder.
    Machine(machine::MachineArgs),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Machine(args) => args.run(),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
