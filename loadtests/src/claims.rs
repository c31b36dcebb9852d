//! `sluice-load claims`: signed claims over HTTP, one a request, every wallet its own, a third of them before a gate. They
//! come in an open loop; afterwards the client's record is compared with the log.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod embedded;
pub(crate) mod figures;
pub(crate) mod ground;
pub(crate) mod offer;
pub(crate) mod processor;
pub(crate) mod reconcile;
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod wallets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::estimate::Needs;
use crate::report::Show;

/// What a claim's wallet, its attestations and its rows take, bytes.
const DISK_EACH: u64 = 8_000;
const MEMORY_EACH: u64 = 2_500;
/// Claims a second that the set-up signs, lists and attests, about.
const PREPARED_PER_SECOND: u64 = 3_000;

/// `sluice-load claims`.
#[derive(Debug, Args)]
pub(crate) struct ClaimsArgs {
    /// `embedded` for a node with a private PostgreSQL and chain in this process, or the URL of a node.
    #[arg(long, default_value = "embedded")]
    target: String,
    /// Listed wallets; each claims at most once. Of the embedded node, or of `--write-list`.
    #[arg(long, default_value_t = 400_000)]
    wallets: u32,
    /// Claims a second offered; left out, what the node bears is found out first.
    #[arg(long)]
    rate: Option<f64>,
    /// How long they are offered at the full rate, seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long they are offered at 70 % of what was decided, seconds.
    #[arg(long, default_value_t = 20)]
    calm_seconds: u64,
    /// Connections; an arrival that finds all of them busy waits, and its waiting counts.
    #[arg(long, default_value_t = 1_024)]
    connections: usize,
    /// Every so many-th claim is one before a gate; 0 for none. Of the embedded node.
    #[arg(long, default_value_t = 3)]
    gated_every: u32,
    /// Writes the list of the wallets to this file and ends: what a node elsewhere is to publish.
    #[arg(long, value_name = "FILE")]
    write_list: Option<PathBuf>,
    /// Of a node elsewhere: the campaign.
    #[arg(long)]
    campaign: Option<uuid::Uuid>,
    /// Of a node elsewhere: the open round.
    #[arg(long, default_value_t = 1)]
    round: u64,
    /// Of a node elsewhere: the round's snapshot file.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    #[command(flatten)]
    show: Show,
}

impl ClaimsArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.write_list {
            return wallets::write_list(&wallets::wallets(self.wallets)?, path);
        }
        let count = u64::from(self.wallets);
        let time = count / PREPARED_PER_SECOND + self.seconds + self.calm_seconds + 40;
        let needs = Needs {
            time: Duration::from_secs(time),
            disk: if self.is_embedded() { count * DISK_EACH + cluster::DISK } else { 0 },
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("claims", Path::new("/tmp"))?;
        match self.is_embedded() {
            true => run::to_the_end(embedded::measure(self)),
            false => run::to_the_end(remote::measure(self)),
        }
    }

    fn is_embedded(&self) -> bool {
        self.target == "embedded"
    }
}
