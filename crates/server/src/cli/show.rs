//! `sluice show`: what a node says of something, as an office, a claimant or anybody is told it.

use std::io::Write;
use std::process::ExitCode;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::Value;
use sluice_core::ids::{CampaignId, DemandId, RoundNo, Seq};

use super::asking::AskArgs;
use super::block_on;
use super::serve::told_to_stop;
use super::words;
use crate::api_client::ApiClient;

/// Seconds that a node keeps a question for the next change open; below a request's own limit.
const WAIT: u64 = 20;
/// The exit code of a reading that was stopped, as shells have it of Ctrl-C.
const STOPPED: u8 = 130;

/// Look something up at a node.
///
/// With --authority, --mandate and --key it is told what the mandate lets the institution read;
/// what others are told instead stands there as a hash, or is left out.
#[derive(Debug, Args)]
pub struct Show {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The change feed, one entry a line, from behind a position to the end of the log.
    Changes(Changes),
    /// A person: where they are paid, what holds them.
    Person {
        /// The registrar's id.
        #[arg(value_parser = words::id)]
        person: B256,
        #[command(flatten)]
        shown: Shown,
    },
    /// Holds in force.
    Holds(Shown),
    /// Appeals that wait for an answer, with their texts.
    Appeals(Shown),
    /// An attestation. Whom it is about asks with --key and --campaign.
    Attestation {
        /// Its id, as `attestation submit` gives it.
        #[arg(value_parser = words::id)]
        id: B256,
        /// A campaign with a gate that accepts it.
        #[arg(long)]
        campaign: Option<CampaignId>,
        #[command(flatten)]
        shown: Shown,
    },
    /// What an address, or an index, receives in a round. Whose it is asks with --key.
    Entitlement {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNo,
        /// The address, or the index.
        #[arg(value_parser = place)]
        place: Place,
        #[command(flatten)]
        shown: Shown,
    },
    /// What became of a claim.
    Claim {
        /// The campaign.
        campaign: CampaignId,
        /// The claim's id.
        id: DemandId,
        #[command(flatten)]
        shown: Shown,
    },
    /// What became of a command, with its reason.
    Command {
        /// Its id.
        id: DemandId,
        /// The campaign it concerns; none for what concerns no single one.
        #[arg(long)]
        campaign: Option<CampaignId>,
        #[command(flatten)]
        shown: Shown,
    },
    /// The receipt of the entry at a position, sealed where it says something about people.
    Entry {
        /// The position.
        seq: Seq,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Args)]
struct Shown {
    #[command(flatten)]
    ask: AskArgs,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Changes {
    /// Behind this position; 0 for the whole log.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: Seq,
    /// Go on with what happens from then on, until it is stopped.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Debug)]
enum Place {
    Address(Address),
    Index(u64),
}

fn place(text: &str) -> Result<Place, String> {
    if text.starts_with("0x") {
        return words::address(text).map(Place::Address);
    }
    words::number(text).map(Place::Index)
}

impl Show {
    /// Prints what the node says.
    ///
    /// # Errors
    /// When it refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let stop = told_to_stop()?;
            tokio::select! {
                done = self.what.run() => done.map(|()| ExitCode::SUCCESS),
                () = stop => Ok(ExitCode::from(STOPPED)),
            }
        })
    }
}

impl What {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Changes(changes) => changes.run().await,
            Self::Person { person, shown } => shown.at(&format!("/v1/persons/{person}")).await,
            Self::Holds(shown) => shown.pages("/v1/holds?").await,
            Self::Appeals(shown) => shown.pages("/v1/appeals?text=true&").await,
            Self::Attestation { id, campaign, shown } => {
                let api = shown.ask.client_for(campaign).await?;
                shown.print(&api.look_up(&format!("/v1/attestations/{id}")).await?)
            }
            Self::Entitlement { campaign, round, place, shown } => {
                let api = shown.ask.client_for(Some(campaign)).await?;
                let round = format!("/v1/campaigns/{campaign}/rounds/{round}");
                let path = match place {
                    Place::Address(address) => format!("{round}/entitlements/{address}"),
                    Place::Index(index) => format!("{round}/indexes/{index}"),
                };
                shown.print(&api.look_up(&path).await?)
            }
            Self::Claim { campaign, id, shown } => {
                shown.at(&format!("/v1/campaigns/{campaign}/claims/{id}")).await
            }
            Self::Command { id, campaign, shown } => {
                shown.at(&format!("/v1/commands/{}/{id}", campaign.unwrap_or_default())).await
            }
            Self::Entry { seq, shown } => shown.at(&format!("/v1/log/entries/{seq}")).await,
        }
    }
}

impl Shown {
    async fn at(&self, path: &str) -> anyhow::Result<()> {
        self.print(&self.ask.client().await?.look_up(path).await?)
    }

    /// Every item of a list that comes in pages.
    async fn pages(&self, path: &str) -> anyhow::Result<()> {
        let api = self.ask.client().await?;
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let mut page = api.look_up(&format!("{path}{after}")).await?;
            if let Value::Array(items) = page["items"].take() {
                all.extend(items);
            }
            // A position; a page that ends the list names none.
            let Some(next) = page["next"].as_u64() else { break };
            after = format!("after={next}");
        }
        self.print(&Value::Array(all))
    }

    fn print(&self, value: &Value) -> anyhow::Result<()> {
        let text = if self.json { value.to_string() } else { serde_json::to_string_pretty(value)? };
        write(&text).map(drop)
    }
}

impl Changes {
    async fn run(self) -> anyhow::Result<()> {
        let api = self.ask.client().await?;
        let mut after = self.after;
        loop {
            let told = page(&api, after, self.follow).await?;
            let changes = told["changes"].as_array().map_or(&[][..], Vec::as_slice);
            for change in changes {
                if !write(&change.to_string())? {
                    return Ok(());
                }
            }
            if changes.is_empty() && !self.follow {
                return Ok(());
            }
            after = told["next"].as_u64().unwrap_or(after);
        }
    }
}

async fn page(api: &ApiClient, after: Seq, follow: bool) -> anyhow::Result<Value> {
    let wait = if follow { WAIT } else { 0 };
    Ok(api.look_up(&format!("/v1/changes?after={after}&wait={wait}")).await?)
}

/// Prints a line; whether somebody still reads.
fn write(line: &str) -> anyhow::Result<bool> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}
