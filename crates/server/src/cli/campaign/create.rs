//! `sluice campaign create`: a Distributor, registered at the Charter, taken into the log. Each step is asked for
//! before it is done, so that a second run goes on where the first was cut.

use std::process::ExitCode;

use alloy_primitives::{Address, B256, keccak256};
use anyhow::ensure;
use clap::Args;
use sluice_chain::deploy::{NewDistributor, Operator};
use sluice_core::command::{Action, CampaignTerms, Visibility};
use sluice_core::ids::{CampaignId, ContractRef, ProjectId};

use super::create2;
use crate::api_client::{ApiClient, CharterInfo};
use crate::cli::reach::{NodeArgs, OperatorArgs, answer, campaign_id, project_id};
use crate::cli::sign::papers::{Deed, Papers};
use crate::cli::sign::{Collected, Signing, waiting};

/// Deploy or take a Distributor, register it, and take it into the log as a campaign.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name, for people.
    name: String,
    /// The project it belongs to: its name as given to `sluice project create`, or its id.
    #[arg(long)]
    project: String,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    signing: Signing,
    /// The ERC-20 to pay, for a new Distributor.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "distributor")]
    token: Option<Address>,
    /// Where what is left goes, for a new Distributor.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "distributor")]
    refund: Option<Address>,
    /// Let wallets pay themselves only when the sequencer has failed; otherwise they may at any time.
    #[arg(long)]
    exit_only: bool,
    /// Seconds between a round's closing and its sweep; at least w1 + w2 + finality of the Charter.
    #[arg(long, default_value_t = 30 * 86_400)]
    grace: u64,
    /// Seconds between a publication and the earliest opening, in which it may be vetoed.
    #[arg(long, default_value_t = 3_600)]
    opening_delay: u64,
    /// Gas every transfer is given: 60,000 to 2,000,000.
    #[arg(long, default_value_t = 200_000)]
    transfer_gas: u64,
    /// Take this Distributor instead of a new one.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["token", "refund", "exit_only"])]
    distributor: Option<Address>,
    /// The block that Distributor was deployed in; found by itself where the node knows old states.
    #[arg(long, value_name = "BLOCK", requires = "distributor")]
    deployed_at: Option<u64>,
    /// Keep its lists private: claimants look up their own by signature, offices by mandate; proof pages are encrypted.
    #[arg(long)]
    private: bool,
    /// The jurisdiction it belongs to, as mandates name it: DE, or DE-BE, which lies in DE.
    #[arg(long, value_name = "TAG", default_value = "", value_parser = crate::cli::reach::jurisdiction)]
    jurisdiction: String,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

/// A campaign to be taken into the log.
#[derive(Clone, Debug)]
pub struct NewCampaign {
    /// The tenant.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// The contract.
    pub distributor: Address,
    /// The block it was deployed in.
    pub deployed_at: u64,
    /// Who may look its lists up.
    pub visibility: Visibility,
    /// The jurisdiction it belongs to; empty for none.
    pub jurisdiction: String,
}

impl Create {
    /// Does it.
    ///
    /// # Errors
    /// When node or chain refuse, naming why.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let charter = api.charter().await?;
        let operator = self.operator.connect(charter.chain_id).await?;
        let project = project_id(&self.project);
        let (distributor, deployed_at) = self.distributor(&operator, &charter, project).await?;
        let visibility = if self.private { Visibility::Private } else { Visibility::Public };
        let (name, jurisdiction) = (self.name.clone(), self.jurisdiction.clone());
        let new = NewCampaign { project, name, distributor, deployed_at, visibility, jurisdiction };
        let campaign = campaign_id(charter.chain_id, distributor);
        let known = api.campaigns().await?.into_iter().find(|known| known.distributor == distributor);
        if let Some(known) = &known {
            ensure!(
                known.visibility == visibility.as_str(),
                "campaign {campaign} is there already and {}, which never changes; {} --private",
                known.visibility,
                if self.private { "leave out" } else { "add" }
            );
        } else {
            let draft = papers(&api, &operator, &charter, &new);
            match self.signing.collect(draft).await? {
                Collected::Waiting(papers) => {
                    return waiting(&papers, self.signing.papers.as_deref(), self.json);
                }
                Collected::Ready(papers) => {
                    create(&api, &operator, &papers, &new).await?;
                }
            }
        }
        let shown = visibility.as_str();
        let value =
            serde_json::json!({ "campaign": campaign, "distributor": distributor, "visibility": shown });
        let facts = [
            ("campaign", campaign.to_string()),
            ("distributor", distributor.to_string()),
            ("visibility", shown.to_owned()),
        ];
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn distributor(
        &self,
        operator: &Operator,
        charter: &CharterInfo,
        project: ProjectId,
    ) -> anyhow::Result<(Address, u64)> {
        if let Some(taken) = self.distributor {
            let terms = operator.chain.distributor_terms(taken).await?;
            ensure!(
                terms.charter == charter.address,
                "--distributor obeys Charter {}, the node's is {}",
                terms.charter,
                charter.address
            );
            let at = match self.deployed_at {
                Some(block) => block,
                None => create2::deployed_at(&operator.chain, taken).await?,
            };
            return Ok((taken, at));
        }
        let (Some(token), Some(refund)) = (self.token, self.refund) else {
            anyhow::bail!("--token and --refund are needed for a new Distributor");
        };
        let terms = NewDistributor {
            token,
            charter: charter.address,
            refund,
            exit_only: self.exit_only,
            grace: self.grace,
            opening_delay: self.opening_delay,
            transfer_gas: self.transfer_gas,
        };
        create2::deploy(operator, &terms, salt(project, &self.name)).await
    }
}

/// The salt of a campaign's Distributor: the same project and name lead to the same contract.
pub fn salt(project: ProjectId, name: &str) -> B256 {
    keccak256([project.0.as_bytes().as_slice(), name.as_bytes()].concat())
}

/// What institutions sign to create this campaign.
///
/// # Errors
/// When the chain cannot be read.
pub async fn papers(
    api: &ApiClient,
    operator: &Operator,
    charter: &CharterInfo,
    new: &NewCampaign,
) -> anyhow::Result<Papers> {
    let chain = &operator.chain;
    let told = chain.distributor_terms(new.distributor).await?;
    let terms = CampaignTerms {
        campaign: campaign_id(charter.chain_id, new.distributor),
        project: new.project,
        name: new.name.clone(),
        distributor: ContractRef { chain_id: charter.chain_id, address: new.distributor },
        token: told.token,
        decimals: told.decimals,
        deployed_at: new.deployed_at,
        visibility: new.visibility,
        jurisdiction: new.jurisdiction.clone(),
    };
    let registered = chain.is_registered(charter.address, new.distributor).await?;
    let deeds =
        if registered { vec![] } else { vec![Deed::RegisterDistributor { distributor: new.distributor }] };
    let seen = api.status().await?.seq;
    let purpose = format!("campaign {:?}: register {} and take it into the log", new.name, new.distributor);
    let command = (Action::CreateCampaign(terms), seen, String::new());
    Ok(Papers::new(purpose, charter, charter.threshold, chain.timestamp().await?, Some(command), deeds))
}

/// Hands signed papers in: first to the Charter, then to the log, which asks the Charter.
///
/// # Errors
/// When chain or log refuse.
pub async fn create(
    api: &ApiClient,
    operator: &Operator,
    papers: &Papers,
    new: &NewCampaign,
) -> anyhow::Result<CampaignId> {
    if let Some(approvals) = papers.approvals(|deed| matches!(deed, Deed::RegisterDistributor { .. })) {
        operator.register_distributor(papers.charter.address, new.distributor, &approvals).await?;
    }
    super::hand_in(api, papers, "campaign_exists").await?;
    Ok(campaign_id(papers.charter.chain_id, new.distributor))
}
