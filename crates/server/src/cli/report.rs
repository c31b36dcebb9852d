//! `sluice campaign report`: every entitlement of a campaign, and whether the money adds up.
//!
//! The log is replayed from the database, so the report is of one position and needs no node. The sums are computed
//! three ways that share no code: from the entitlements' bits and the snapshots, from the rows of the posting ledger,
//! and from the chain's words and balances at the block up to which the log has read it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use sluice_chain::{Chain, ChainConfig};
use sluice_core::ids::{CampaignId, StreamId};
use sluice_engine::snapshots::Snapshots;
use sluice_store::Store;

use super::reach::answer;

mod replay;
mod rows;
mod sums;

/// Write a campaign's entitlements as CSV, and check that the money adds up; the exit code is 0 only if it does.
#[derive(Debug, Args)]
pub struct Report {
    /// The campaign.
    campaign: CampaignId,
    /// The database.
    #[arg(long, value_name = "URL", env = "DATABASE_URL")]
    database_url: String,
    /// The nodes' snapshot folder.
    #[arg(long, value_name = "DIR", env = "SLUICE_SNAPSHOTS")]
    store: PathBuf,
    /// The chain's JSON-RPC.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: String,
    /// Which log.
    #[arg(long, default_value_t = 0)]
    stream: u32,
    /// Where the CSV goes; standard output by default.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the sums as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Report {
    /// Does it.
    ///
    /// # Errors
    /// When database, snapshots or chain cannot be read.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let store = Store::connect(&self.database_url, sluice_store::Options::default()).await?;
        let replayed = replay::replay(&store, StreamId(self.stream), self.campaign).await?;
        let campaign = replayed.campaign(self.campaign)?;
        let snapshots = Snapshots::new(&self.store);
        let chain = campaign.terms.distributor.chain_id;
        let chain = Chain::connect(ChainConfig::new(chain, self.rpc.clone())).await?;
        self.write(&replayed, &snapshots)?;
        let sums = sums::compute(&replayed, campaign, &snapshots, &store, &chain).await?;
        store.close().await;
        let decimals = campaign.terms.decimals;
        // The table goes beside the CSV, never into it.
        let facts = sums.facts(decimals);
        match (&self.out, self.json) {
            (None, false) => facts.iter().for_each(|(name, text)| eprintln!("{name:<10} {text}")),
            _ => answer(self.json, &sums, &facts)?,
        }
        Ok(if sums.add_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn write(&self, replayed: &replay::Replayed, snapshots: &Snapshots) -> anyhow::Result<()> {
        let campaign = replayed.campaign(self.campaign)?;
        let Some(path) = &self.out else {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            rows::write(replayed, campaign, snapshots, &mut out)?;
            return Ok(out.flush()?);
        };
        let failed = || format!("cannot write {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let aside =
            tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| ".".as_ref())).with_context(failed)?;
        let mut out = std::io::BufWriter::new(aside);
        rows::write(replayed, campaign, snapshots, &mut out)?;
        let aside = out.into_inner().map_err(|error| error.into_error()).with_context(failed)?;
        aside.persist(path).map_err(|error| error.error).with_context(failed)?;
        Ok(())
    }
}
