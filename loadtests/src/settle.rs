//! `sluice-load settle`: claims settled a second and what each costs, by how many of a round's wallets have claimed; beside
//! it the same signed transactions sent again to the same chain state as fast as it takes them. With `--curve`, what
//! waiting for company saves.

mod curve;
mod density;

use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::claims::cluster;
use crate::claims::ground::Servers;
use crate::claims::{run, wallets};
use crate::estimate::Needs;
use crate::report::{Figure, Report, Show};
use density::Settled;

/// `sluice-load settle`.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// Wallets in the round.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    wallets: u32,
    /// How many of a hundred of them have claimed, each measured by itself.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [1, 5, 25, 100],
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    densities: Vec<u32>,
    /// Instead, what waiting saves: gas a claim by arrivals a second and settlement window, with the engine's planner and
    /// its model of gas, without a chain. Printed as the table in docs/PERFORMANCE.md.
    #[arg(long, conflicts_with_all = ["wallets", "densities"])]
    curve: bool,
    #[command(flatten)]
    show: Show,
}

impl SettleArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if self.curve {
            let needs = Needs { time: Duration::from_secs(60), disk: 0, memory: 256 << 20 };
            needs.announce("settle --curve", &std::env::temp_dir())?;
            return curve::print(self.show);
        }
        for (at, percent) in self.densities.iter().enumerate() {
            ensure!(
                !self.densities[..at].contains(percent),
                "--densities names {percent} twice; once is enough"
            );
        }
        let claims: u64 = self.densities.iter().map(|percent| self.claims(*percent) as u64).sum();
        let needs = Needs {
            // Setting up a deployment, then claims decided, settled and sent again.
            time: Duration::from_secs(20 * self.densities.len() as u64 + claims / 150),
            disk: cluster::DISK + claims * 8_000,
            memory: (1 << 29) + claims * 20_000,
        };
        needs.announce("settle", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    fn claims(&self, percent: u32) -> usize {
        (self.wallets as usize * percent as usize / 100).max(1)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let count = self.wallets;
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        let mut report = Report::new("settle");
        for percent in &self.densities {
            let settled = density::measure(&servers, &wallets, *percent, self.claims(*percent)).await?;
            eprintln!("settle: {percent} % done");
            add(&mut report, *percent, &settled);
        }
        report.print(self.show)?;
        servers.stop().await;
        Ok(())
    }
}

fn add(report: &mut Report, percent: u32, settled: &Settled) {
    let Settled { claims, calls, gas, took, raw, .. } = *settled;
    let rate = |time: Duration| claims as f64 / time.as_secs_f64();
    let about = format!("{claims} claims in {calls} transactions");
    report.add(Figure::new(format!("settled at {percent} %"), rate(took), "claims/s").note(about));
    report.add(Figure::new(format!("gas at {percent} %"), gas as f64 / claims as f64, "gas/claim"));
    let note = "the same transactions, sent again to the same state";
    report.add(Figure::new(format!("anvil alone at {percent} %"), rate(raw), "claims/s").note(note));
    report.add(Figure::new(format!("ratio at {percent} %"), raw.as_secs_f64() / took.as_secs_f64(), "×"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: SettleArgs,
    }

    #[test]
    fn options_that_cannot_be_are_refused_before_the_work() {
        for options in [["--wallets", "0"], ["--densities", "0"], ["--densities", "25,101"]] {
            let error = Cli::try_parse_from(["settle"].into_iter().chain(options)).unwrap_err().to_string();
            assert!(error.contains(options[0]), "{error}");
        }
        for options in [["--wallets", "5"], ["--densities", "5"]] {
            let error = Cli::try_parse_from(["settle", "--curve"].into_iter().chain(options)).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        }
        Cli::try_parse_from(["settle", "--curve"]).unwrap();
        let twice = Cli::try_parse_from(["settle", "--densities", "25,5,25"]).unwrap().args;
        assert!(twice.run().unwrap_err().to_string().contains("names 25 twice"));
    }
}
