//! `sluice rules`: rule sets from their files to the log. Everything but proposing, approving, activating and retiring
//! needs neither node nor chain.

use std::process::ExitCode;

use clap::{Args, Subcommand};

mod compare;
mod dry_run;
mod facts;
mod orders;
mod show;
pub mod source;

/// Check, try, compare and explain rule sets; propose, approve, activate and retire them.
#[derive(Debug, Args)]
pub struct Rules {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(show::Check),
    Build(show::Build),
    Explain(show::Explain),
    Table(show::Table),
    Simulate(dry_run::Simulate),
    Diff(compare::Diff),
    Propose(orders::Propose),
    Approve(orders::Approve),
    Activate(orders::Activate),
    Retire(orders::Retire),
}

impl Rules {
    /// Does it.
    ///
    /// # Errors
    /// When a file cannot be read, or the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Check(check) => check.run(),
            What::Build(build) => build.run(),
            What::Explain(explain) => explain.run(),
            What::Table(table) => table.run(),
            What::Simulate(simulate) => simulate.run(),
            What::Diff(diff) => diff.run(),
            What::Propose(propose) => propose.run(),
            What::Approve(approve) => approve.run(),
            What::Activate(activate) => activate.run(),
            What::Retire(retire) => retire.run(),
        }
    }
}
