//! `sluice-sim`: the crash test.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Doubts what the other crates promise.
#[derive(Debug, Parser)]
#[command(name = "sluice-sim", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Chaos(sluice_sim::chaos::Chaos),
    Node(sluice_sim::node::NodeArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Chaos(chaos) => chaos.run(),
        Command::Node(node) => node.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("sluice-sim: {error:#}");
        ExitCode::FAILURE
    })
}
