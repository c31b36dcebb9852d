//! `sluice-load claims`: signed claims over HTTP, one a request, every wallet its own, a third of them before a gate. They
//! come in an open loop; afterwards the client's record is compared with the log.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod embedded;
pub(crate) mod figures;
pub(crate) mod ground;
pub(crate) mod offer;
pub(crate) mod options;
mod paid;
mod phases;
pub(crate) mod processor;
pub(crate) mod reconcile;
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod stretch;
pub(crate) mod wallets;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;

use crate::estimate::Needs;
use crate::report::Show;

/// What a claim's wallet, its attestations and its rows take, bytes.
const DISK_EACH: u64 = 8_000;
const MEMORY_EACH: u64 = 2_500;
/// Claims a second that the set-up signs, lists and attests, about.
const PREPARED_PER_SECOND: u64 = 3_000;
/// Claims a second that wallets are prepared for where no rate is given: a third more than the most that an idle machine of
/// two cores has taken.
const PREPARED_FOR: f64 = 13_000.0;
/// How long the node is pressed to find out what it bears.
const PRESS_FOR: Duration = Duration::from_secs(8);
/// So many times what the node took when pressed is offered then: no more is decided than is offered, and offered no more
/// than a crowd of connections took that each waited for its answer, a node could not show that it bears more.
const ABOVE: f64 = 1.1;
/// The part of what was decided that is offered calmly.
const CALM: f64 = 0.7;
/// Offered a second to a node elsewhere where nothing else is said: far below what any node bears.
const REMOTE_RATE: f64 = 200.0;
const GATED_EVERY: u32 = 3;
const CALM_SECONDS: u64 = 20;
const ROUND: u64 = 1;

/// `sluice-load claims`.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// `embedded` for a node with a private PostgreSQL and chain in this process, or the URL of a node.
    #[arg(long, default_value = "embedded")]
    target: String,
    /// Listed wallets; each claims at most once. Left out, as many as the time may take.
    #[arg(long, value_parser = options::some())]
    wallets: Option<u32>,
    /// Claims a second offered; left out, a tenth more than the node takes when it is pressed, or 200 to a node elsewhere.
    #[arg(long, value_parser = options::rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// How long they are offered at the full rate, seconds.
    #[arg(long, default_value_t = 60, value_parser = options::seconds())]
    seconds: u64,
    /// How long they are offered at 70 % of what was decided, seconds. Of the embedded node [default: 20].
    #[arg(long, value_parser = options::seconds())]
    calm_seconds: Option<u64>,
    /// Connections; an arrival that finds all of them busy waits, and its waiting counts.
    #[arg(long, default_value_t = 1_024, value_parser = options::some())]
    connections: u32,
    /// Every so many-th claim is one before a gate; 0 for none. Of the embedded node [default: 3].
    #[arg(long)]
    gated_every: Option<u32>,
    /// Afterwards gives the settlement account coin, waits until all claims without a gate are paid, and compares the chain with
    /// the log, bit by bit. Takes about as long again for each hundred thousand of them. Of the embedded node.
    #[arg(long)]
    settle: bool,
    /// Writes the list of the wallets to this file and ends: what a node elsewhere is to publish.
    #[arg(long, value_name = "FILE", requires = "wallets", conflicts_with_all = [
        "target", "rate", "seconds", "calm_seconds", "connections", "gated_every", "settle", "campaign", "round", "snapshot", "skip",
        "json",
    ])]
    write_list: Option<PathBuf>,
    /// Of a node elsewhere: the campaign.
    #[arg(long)]
    campaign: Option<uuid::Uuid>,
    /// Of a node elsewhere: the open round [default: 1].
    #[arg(long)]
    round: Option<u64>,
    /// Of a node elsewhere: the round's snapshot file.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Of a node elsewhere: the first so many wallets are passed over, whose claims earlier runs made.
    #[arg(long, value_name = "WALLETS")]
    skip: Option<u32>,
    #[command(flatten)]
    show: Show,
}

impl ClaimsArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if let (Some(path), Some(wallets)) = (&self.write_list, self.wallets) {
            return wallets::write_list(&wallets::wallets(wallets)?, path);
        }
        self.check()?;
        let count = u64::from(self.wallets());
        let time = count / PREPARED_PER_SECOND + self.seconds + self.calm_seconds() + 40;
        let needs = Needs {
            time: Duration::from_secs(time),
            disk: if self.is_embedded() { count * DISK_EACH + cluster::DISK } else { 0 },
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("claims", &std::env::temp_dir())?;
        match self.is_embedded() {
            true => run::to_the_end(phases::measure(self)),
            false => run::to_the_end(remote::measure(self)),
        }
    }

    fn is_embedded(&self) -> bool {
        self.target == "embedded"
    }

    /// Refuses options that the target has no use for, and wallets that would run out.
    fn check(&self) -> anyhow::Result<()> {
        let (of_another, its) = match self.is_embedded() {
            true => {
                let its = vec![
                    ("--campaign", self.campaign.is_some()),
                    ("--round", self.round.is_some()),
                    ("--snapshot", self.snapshot.is_some()),
                    ("--skip", self.skip.is_some()),
                ];
                ("a node elsewhere, whose URL --target names", its)
            }
            false => {
                let its = vec![
                    ("--gated-every", self.gated_every.is_some()),
                    ("--calm-seconds", self.calm_seconds.is_some()),
                    ("--settle", self.settle),
                ];
                ("the embedded node, and not of one elsewhere", its)
            }
        };
        if let Some((name, _)) = its.iter().find(|(_, given)| *given) {
            bail!("{name} is of {of_another}");
        }
        if self.rate.is_some() || !self.is_embedded() {
            let needed = self.fewest();
            ensure!(
                u64::from(self.wallets()) >= needed,
                "--wallets {}: so many claims a second for so long take {needed} wallets",
                self.wallets()
            );
        }
        Ok(())
    }

    fn gated_every(&self) -> u32 {
        self.gated_every.unwrap_or(GATED_EVERY)
    }

    fn calm_seconds(&self) -> u64 {
        self.calm_seconds.unwrap_or(CALM_SECONDS)
    }

    fn remote_rate(&self) -> f64 {
        self.rate.unwrap_or(REMOTE_RATE)
    }

    fn wallets(&self) -> u32 {
        self.wallets.unwrap_or_else(|| u32::try_from(self.fewest()).unwrap_or(u32::MAX))
    }

    /// Wallets that the run takes at most, at the rate that is given or prepared for.
    fn fewest(&self) -> u64 {
        match self.rate {
            _ if !self.is_embedded() => {
                let claims = self.remote_rate() * self.seconds as f64;
                u64::from(self.skip.unwrap_or(0)) + stats::whole(claims.ceil())
            }
            Some(rate) => self.stretches(rate),
            None => {
                let pressed = PREPARED_FOR * PRESS_FOR.as_secs_f64();
                stats::whole(pressed.ceil()) + self.stretches(PREPARED_FOR * ABOVE)
            }
        }
    }

    /// Wallets that both stretches take at most at such a full rate: no more is decided of it than is offered.
    fn stretches(&self, full: f64) -> u64 {
        let (seconds, calm) = (self.seconds as f64, self.calm_seconds() as f64);
        stats::whole((full * seconds).ceil()) + stats::whole((full * CALM * calm).ceil())
    }
}

#[cfg(test)]
mod tests;
