//! A programme of campaigns, from its lists to every balance.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::estimate::Needs;
use crate::generate::{self, Plan};
use crate::report::{Figure, Report, Show};

/// What may be chosen about a run.
#[derive(Debug, Args)]
pub(crate) struct ProgrammeArgs {
    /// Wallets of all lists together: `40M`, `400k`. Everything shrinks with it but the number of campaigns.
    #[arg(long, value_parser = generate::count)]
    wallets: Option<u64>,
    /// Chooses keys and amounts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where lists and snapshots lie.
    #[arg(long, default_value = "/tmp/sluice-load")]
    work: PathBuf,
    #[command(flatten)]
    show: Show,
}

/// What is told of a programme.
#[derive(Debug)]
pub(crate) struct Programme {
    name: &'static str,
    campaigns: u64,
    /// Paid out by all campaigns together, each token worth one.
    dollars: u128,
}

/// What TokenTable says it has paid out.
pub(crate) const TOKENTABLE: Programme =
    Programme { name: "tokentable-40m", campaigns: 200, dollars: 4_000_000_000 };
/// A month of 40 dollars on average for everybody.
pub(crate) const NATION: Programme =
    Programme { name: "nation-50m", campaigns: 1, dollars: 2_000_000_000 };

/// Wallets of a run that does not say how many.
const WALLETS: u64 = 400_000;

impl Programme {
    /// Runs it and prints.
    pub(crate) fn run(&self, args: &ProgrammeArgs) -> anyhow::Result<()> {
        let folder = args.work.join(self.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let wallets = args.wallets.unwrap_or(WALLETS);
        let needs: Needs = generate::needs(wallets);
        needs.announce(self.name, &folder)?;
        let plans: Vec<Plan> = generate::campaigns(args.seed, self.campaigns, wallets, self.dollars);
        let mut report = Report::new(self.name);
        report.add(Figure::new("campaigns", plans.len() as f64, ""));
        report.print(args.show)
    }
}
