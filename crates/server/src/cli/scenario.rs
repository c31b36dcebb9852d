//! `sluice scenario`: stories that are told and checked on this machine.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::scenario::Institutions;

/// Tell a story on this machine, for real, and check what it shows.
#[derive(Debug, Args)]
pub struct Scenario {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Institutions(Box<Institutions>),
}

impl Scenario {
    /// Does it. The exit code is 0 only if every check is good.
    ///
    /// # Errors
    /// When a step fails, or on Ctrl-C.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Institutions(story) => story.run(),
        }
    }
}
