//! The command line: one file per command, one line per command here.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::telemetry::{self, LogOptions};

pub mod appeal;
pub mod asking;
pub mod attestation;
pub mod authority;
pub mod brakes;
pub mod campaign;
pub mod claim;
pub mod cycle;
pub mod erase;
pub mod evidence;
pub mod gate;
pub mod gate_signer;
pub mod hold;
pub mod keys;
pub mod order;
pub mod person;
pub(crate) mod progress;
pub mod project;
pub mod push;
pub mod reach;
pub mod receipt;
pub mod report;
pub mod rules;
pub mod scenario;
pub mod seal;
pub mod serve;
pub mod show;
pub mod sign;
pub mod snapshot;
pub mod status;
pub(crate) mod time;
pub mod void;
pub mod words;

/// Token distribution with one ordered, provable sequence of decisions.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    GateSigner(gate_signer::GateSigner),
    Demo(Box<crate::demo::Demo>),
    Scenario(scenario::Scenario),
    Campaign(Box<campaign::Campaign>),
    Claim(Box<claim::Claim>),
    Push(Box<push::Push>),
    Void(Box<void::Void>),
    Sign(sign::Sign),
    Rules(Box<rules::Rules>),
    Cycle(Box<cycle::Cycle>),
    Authority(Box<authority::Authority>),
    Gate(Box<gate::Gate>),
    Hold(Box<hold::Hold>),
    Confirm(Box<hold::Confirm>),
    Renew(Box<hold::Renew>),
    Release(Box<hold::Release>),
    Pause(Box<brakes::Pause>),
    Resume(Box<brakes::Resume>),
    Limit(Box<brakes::Limit>),
    Person(Box<person::Person>),
    Appeal(Box<appeal::Appeal>),
    Attestation(Box<attestation::Attestation>),
    Project(project::Project),
    Erase(Box<erase::Erase>),
    Seal(Box<seal::Seal>),
    Status(status::Status),
    Show(Box<show::Show>),
    /// Make and show keys: accounts, log keys, operator keys.
    Keys(keys::Keys),
    Receipt(receipt::ReceiptArgs),
    Log(evidence::log::Log),
    Trace(Box<evidence::trace::Trace>),
    Audit(Box<evidence::audit::Audit>),
    Witness(Box<evidence::witness::Witness>),
    /// Turn lists into snapshots, and snapshots into proofs.
    Snapshot(snapshot::SnapshotArgs),
}

impl Command {
    /// What the log shows when nobody asked for anything else: a node tells its story, a command only what is wrong.
    const fn default_log(&self) -> &'static str {
        match self {
            // Postgres notes at each start that what the migrations want to create is there.
            Self::Serve(_) | Self::GateSigner(_) => "info,sqlx::postgres::notice=warn",
            Self::Keys(_) | Self::Snapshot(_) | Self::Receipt(_) => "warn",
            Self::Log(_) | Self::Trace(_) | Self::Audit(_) | Self::Witness(_) => "warn",
            Self::Demo(_) | Self::Campaign(_) | Self::Sign(_) | Self::Claim(_) | Self::Push(_) => "warn",
            Self::Void(_) | Self::Project(_) | Self::Status(_) | Self::Erase(_) => "warn",
            Self::Rules(_) | Self::Authority(_) | Self::Gate(_) | Self::Hold(_) => "warn",
            Self::Confirm(_) | Self::Renew(_) | Self::Release(_) | Self::Pause(_) => "warn",
            Self::Resume(_) | Self::Limit(_) | Self::Person(_) | Self::Appeal(_) => "warn",
            Self::Attestation(_) | Self::Cycle(_) | Self::Scenario(_) | Self::Seal(_) | Self::Show(_) => {
                "warn"
            }
        }
    }

    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(command) => command.run(),
            Self::Scenario(command) => command.run(),
            Self::Campaign(command) => command.run(),
            Self::Claim(command) => command.run(),
            Self::Push(command) => command.run(),
            Self::Void(command) => command.run(),
            Self::Sign(command) => command.run(),
            Self::Rules(command) => command.run(),
            Self::Cycle(command) => command.run(),
            Self::Authority(command) => command.run(),
            Self::Gate(command) => command.run(),
            Self::Hold(command) => command.run(),
            Self::Confirm(command) => command.run(),
            Self::Renew(command) => command.run(),
            Self::Release(command) => command.run(),
            Self::Pause(command) => command.run(),
            Self::Resume(command) => command.run(),
            Self::Limit(command) => command.run(),
            Self::Person(command) => command.run(),
            Self::Appeal(command) => command.run(),
            Self::Attestation(command) => command.run(),
            Self::Project(command) => command.run(),
            Self::Erase(command) => command.run(),
            Self::Seal(command) => command.run(),
            Self::Status(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Keys(command) => command.run(),
            Self::Snapshot(command) => command.run(),
            Self::Receipt(command) => command.run(),
            Self::Log(command) => command.run(),
            Self::Trace(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Witness(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::GateSigner(command) => command.run(),
        }
    }
}

/// Reads the command line, does what it says, and says on stderr what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = telemetry::start(&cli.log, cli.command.default_log()).and_then(|()| cli.command.run());
    done.unwrap_or_else(|error| {
        eprintln!("sluice: {}", told(&error));
        ExitCode::FAILURE
    })
}

/// The whole chain of causes on one line: what was tried, then why it failed. Some errors say their cause themselves; it is
/// told once.
fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// Runs a command that waits for others, on as many threads as the machine has cores.
///
/// # Errors
/// The command's own, or that the machine gives no threads.
pub fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads this command needs")?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn a_cause_is_told_once() {
        let refused = std::io::Error::other("connection refused");
        let error = anyhow::Error::new(refused).context("cannot connect: connection refused");
        assert_eq!(
            super::told(&error.context("the node cannot start")),
            "the node cannot start: cannot connect: connection refused"
        );
        assert_eq!(
            super::told(&anyhow::anyhow!("disk full").context("cannot write")),
            "cannot write: disk full"
        );
    }

    #[test]
    fn the_program_says_what_it_is_for() {
        let about = super::Cli::command().get_about().map(ToString::to_string);
        assert!(about.is_some_and(|about| about.starts_with("Token distribution")));
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Cli::command().debug_assert();
    }
}
