//! `sluice campaign publish`: a snapshot becomes the next round, in the log and on chain.
//!
//! The order is fixed: the file into storage, the command to the log, the publication on chain. Each step is asked for
//! before it is done, so that a second run goes on where the first was cut.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use alloy_primitives::B256;
use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use sluice_chain::At;
use sluice_chain::deploy::{Done, Operator};
use sluice_core::command::{Action, RoundMode, RoundTerms, Visibility};
use sluice_core::ids::{CampaignId, RoundNo};
use sluice_engine::snapshots::{Snapshots, file_hash};
use sluice_snapshot::{Format, Snapshot};

use crate::api_client::{ApiClient, CampaignInfo, CharterInfo};
use crate::cli::reach::{NodeArgs, OperatorArgs, answer};
use crate::cli::sign::papers::{Deed, Papers};
use crate::cli::sign::{Collected, Signing, waiting};

/// Publish a snapshot as the next round of a campaign.
#[derive(Debug, Args)]
pub struct Publish {
    /// The campaign.
    campaign: CampaignId,
    /// The snapshot file (`sluice snapshot build`).
    snapshot: PathBuf,
    /// The nodes' snapshot folder, where the file is put first.
    #[arg(long, value_name = "DIR", env = "SLUICE_SNAPSHOTS")]
    store: PathBuf,
    /// Who is paid: `push` pays without being asked, `pull` only who claims, `gated` only whom the gate approves.
    #[arg(long, value_enum, default_value_t = ModeName::Pull)]
    mode: ModeName,
    /// With --mode gated: the gate version, which must be installed in the Distributor (`sluice gate install`).
    #[arg(long, value_name = "VERSION", required_if_eq("mode", "gated"))]
    gate: Option<u16>,
    /// Earliest opening, Unix seconds; by default as soon as the Distributor allows.
    #[arg(long, value_name = "SECONDS")]
    opens_at: Option<u64>,
    /// End of claims, Unix seconds.
    #[arg(long, value_name = "SECONDS")]
    closes_at: u64,
    /// The round this one corrects.
    #[arg(long, value_name = "ROUND", default_value_t = 0)]
    supersedes: RoundNo,
    /// Where the list and its proof pages are published. Those of a private campaign must be encrypted, and be there.
    #[arg(long, value_name = "URI", default_value = "")]
    list_uri: String,
    /// Publish it as a new round although the last round has the same snapshot (a month's benefit like the last).
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    signing: Signing,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    Push,
    Pull,
    Gated,
}

/// A round to be published.
#[derive(Clone, Debug)]
pub struct NewRound {
    /// The campaign.
    pub campaign: CampaignId,
    /// Who is paid.
    pub mode: RoundMode,
    /// Unix seconds.
    pub opens_at: u64,
    /// Unix seconds.
    pub closes_at: u64,
    /// The round it corrects, or 0.
    pub supersedes: RoundNo,
    /// Where the list is.
    pub list_uri: String,
    /// Whether the same snapshot may be published once more.
    pub again: bool,
}

impl Publish {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let info = api.campaign(self.campaign).await?;
        let operator = self.operator.connect(info.head.chain_id).await?;
        let (snapshot, list_hash) = store(&self.snapshot, &self.store).await?;
        if info.head.visibility == Visibility::Private.as_str() && !self.list_uri.is_empty() {
            super::pages::must_be_sealed(&self.list_uri, snapshot.root()).await?;
        }
        let new = NewRound {
            campaign: self.campaign,
            mode: match self.mode {
                ModeName::Push => RoundMode::Push,
                ModeName::Pull => RoundMode::Pull,
                ModeName::Gated => RoundMode::Gated,
            },
            opens_at: self.opens_at.unwrap_or(0),
            closes_at: self.closes_at,
            supersedes: self.supersedes,
            list_uri: self.list_uri.clone(),
            again: self.again,
        };
        let charter = api.charter().await?;
        let gate = self.gate(&api, &info, &operator).await?;
        let terms = gated(terms(&api, &info, &new, &snapshot, list_hash).await?, gate);
        let draft = papers(&api, &operator, &charter, &info, &terms);
        let done = match self.signing.collect(draft).await? {
            Collected::Waiting(papers) => return waiting(&papers, self.signing.papers.as_deref(), self.json),
            Collected::Ready(papers) => publish(&api, &operator, &info, &papers).await?,
        };
        let transaction = match &done {
            Done::Now(receipt) => receipt.tx_hash.to_string(),
            Done::Before => "before".to_owned(),
        };
        let value =
            serde_json::json!({ "round": terms.round, "root": terms.root, "transaction": transaction });
        let facts = [
            ("round", terms.round.to_string()),
            ("root", terms.root.to_string()),
            ("transaction", transaction),
        ];
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Publish {
    /// The gate as the Distributor has it: what is installed there is what the round will be paid under.
    async fn gate(
        &self,
        api: &ApiClient,
        info: &CampaignInfo,
        operator: &Operator,
    ) -> anyhow::Result<(u64, B256)> {
        let version = match (self.mode, self.gate) {
            (ModeName::Gated, Some(version)) => u64::from(version),
            (_, Some(version)) => bail!("--gate {version} belongs to --mode gated"),
            (_, None) => return Ok((0, B256::ZERO)),
        };
        let charter = api.charter().await?;
        let warden = operator.chain.warden(charter.address, At::Latest).await?;
        let known = operator.chain.gate_version(warden, info.head.distributor, version, At::Latest).await?;
        let known = known.with_context(|| {
            format!("--gate {version} is not installed in the Distributor; `sluice gate install` does it")
        })?;
        Ok((version, known.rules_hash))
    }
}

fn gated(terms: RoundTerms, (gate, rules_hash): (u64, B256)) -> RoundTerms {
    RoundTerms { gate, rules_hash, ..terms }
}

/// Puts a snapshot file into storage under its SHA-256: written aside and renamed, so that a file of that name is whole.
///
/// # Errors
/// When it is no native snapshot, or cannot be copied.
pub async fn store(file: &Path, folder: &Path) -> anyhow::Result<(Arc<Snapshot>, B256)> {
    let (file, folder) = (file.to_owned(), folder.to_owned());
    tokio::task::spawn_blocking(move || {
        let snapshot =
            Snapshot::open(&file).with_context(|| format!("{} cannot be published", file.display()))?;
        ensure!(
            snapshot.format() == Format::Native,
            "{} is a snapshot of format {}; the Distributor pays native ones only",
            file.display(),
            snapshot.format()
        );
        let hash = file_hash(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let stored = Snapshots::new(&folder).path(hash);
        if !stored.is_file() {
            let failed = || format!("cannot store the snapshot as {}", stored.display());
            std::fs::create_dir_all(&folder).with_context(failed)?;
            let mut aside = tempfile::NamedTempFile::new_in(&folder).with_context(failed)?;
            std::io::copy(&mut std::fs::File::open(&file)?, &mut aside).with_context(failed)?;
            aside.as_file().sync_all().with_context(failed)?;
            aside.persist(&stored).map_err(|error| error.error).with_context(failed)?;
            std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).with_context(failed)?;
        }
        Ok((Arc::new(Snapshot::open(&stored)?), hash))
    })
    .await?
}

/// The terms of a new round; of one that was announced and not published, those that were announced.
///
/// # Errors
/// When the node cannot be asked, or the last round has the same snapshot.
pub async fn terms(
    api: &ApiClient,
    info: &CampaignInfo,
    new: &NewRound,
    snapshot: &Snapshot,
    list_hash: B256,
) -> anyhow::Result<RoundTerms> {
    if let Some(last) = info.rounds.last().filter(|last| last.root == snapshot.root() && !new.again) {
        let detail = api.round(new.campaign, last.round).await?;
        if detail.list_hash == list_hash {
            return detail.terms(new.campaign).context("the node's answer names no total");
        }
    }
    Ok(RoundTerms {
        campaign: new.campaign,
        round: info.rounds.len() as RoundNo + 1,
        root: snapshot.root(),
        depth: snapshot.depth(),
        count: snapshot.count(),
        total: snapshot.total(),
        rules_hash: B256::ZERO,
        opens_at: new.opens_at,
        closes_at: new.closes_at,
        mode: new.mode,
        gate: 0,
        supersedes: new.supersedes,
        list_uri: new.list_uri.clone(),
        list_hash,
    })
}

/// What institutions sign to publish a round; what is done already is left out.
///
/// # Errors
/// When node or chain cannot be asked.
pub async fn papers(
    api: &ApiClient,
    operator: &Operator,
    charter: &CharterInfo,
    info: &CampaignInfo,
    terms: &RoundTerms,
) -> anyhow::Result<Papers> {
    let distributor = info.head.distributor;
    let announced = info.round(terms.round).is_some();
    let command = if announced {
        None
    } else {
        // The campaign as it is now: what was seen is what is signed.
        let version = api.campaign(terms.campaign).await?.head.version;
        Some((Action::Publish(terms.clone()), version, String::new()))
    };
    let deed = Deed::Publish { distributor, terms: Box::new(terms.clone()) };
    let purpose = format!(
        "round {} of campaign {:?}: {} entitlements, {} base units in all",
        terms.round, info.head.name, terms.count, terms.total
    );
    let now = operator.chain.timestamp().await?;
    Ok(Papers::new(purpose, charter, charter.threshold, now, command, vec![deed]))
}

/// Hands signed papers in: to the log, then to the chain.
///
/// # Errors
/// When log or chain refuse.
pub async fn publish(
    api: &ApiClient,
    operator: &Operator,
    info: &CampaignInfo,
    papers: &Papers,
) -> anyhow::Result<Done> {
    let published = papers.actions.iter().find_map(|paper| match &paper.action {
        Deed::Publish { terms, .. } => Some(terms),
        _ => None,
    });
    let Some(terms) = published else { bail!("these papers publish nothing") };
    super::hand_in(api, papers, "round_exists").await?;
    let announced = api.round(terms.campaign, terms.round).await?.terms(terms.campaign);
    // The node refused other terms of the gate than those it knows; its view does not repeat them.
    let announced = announced.map(|announced| gated(announced, (terms.gate, terms.rules_hash)));
    ensure!(
        announced.as_ref() == Some(terms.as_ref()),
        "the log announced round {} with other terms; ask for its status",
        terms.round
    );
    let approvals = papers.approvals(|deed| matches!(deed, Deed::Publish { .. })).unwrap_or_default();
    Ok(operator.publish(info.head.distributor, terms, &approvals).await?)
}
