//! `sluice-load scenario`: the headlines that others tell, run through the whole of Sluice on this machine.

use clap::{Args, Subcommand};
use sluice_core::ids::RoundNo;

mod bitmap;
mod calls;
mod chain_state;
mod claimants;
mod decide;
mod door;
mod evm;
mod field;
mod figures;
mod groups;
mod lists;
mod mojaloop;
mod needs;
mod pay;
mod paying;
mod programme;
mod record;
mod sample;

/// The only round of a scenario's campaign.
const ROUND: RoundNo = 1;

/// `sluice-load scenario`.
#[derive(Debug, Args)]
pub(crate) struct ScenarioArgs {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// 4 billion dollars to 40 million wallets by 200 projects, tokens of 6, 8 and 18 decimals.
    #[command(name = "tokentable-40m")]
    Tokentable40m(programme::ProgrammeArgs),
    /// The first month of a benefit for 50 million people: one programme, one list.
    #[command(name = "nation-50m")]
    Nation50m(programme::ProgrammeArgs),
    /// 1,000 claims a second for an hour, of which at most one in a hundred may take longer than a second.
    #[command(name = "mojaloop-1h")]
    Mojaloop1h(mojaloop::MojaloopArgs),
}

impl ScenarioArgs {
    /// Runs it and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match &self.scenario {
            Scenario::Tokentable40m(args) => programme::TOKENTABLE.run(args),
            Scenario::Nation50m(args) => programme::NATION.run(args),
            Scenario::Mojaloop1h(args) => args.run(),
        }
    }
}
