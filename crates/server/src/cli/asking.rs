//! In whose name a node is asked: an office's, which is shown what its mandate lets it read; a claimant's; or nobody's.

use alloy_primitives::{B256, Bytes};
use anyhow::{Context, bail, ensure};
use clap::Args;
use sluice_chain::signer::Account;
use sluice_core::ids::{CampaignId, ContractRef};

use super::order::authority_id;
use super::reach::{KeyArgs, NodeArgs, client_now};
use super::words;
use crate::api_client::ApiClient;
use crate::http::claimant::Looking;
use crate::http::reading::OfficeKey;

/// How long a claimant's statement is good, seconds: a command's few questions.
const LOOK_FOR: u64 = 120;

/// Which node, and who asks. Named as in orders, so that an office reads with what it orders with.
#[derive(Clone, Debug, Args)]
pub struct AskArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Ask as this institution: its id, or its name. Takes --mandate and --key.
    #[arg(long, value_name = "ID|NAME", requires_all = ["mandate", "key"], value_parser = authority_id)]
    pub authority: Option<B256>,
    /// The mandate under which it reads.
    #[arg(long, value_name = "ID", requires = "authority", value_parser = words::id)]
    pub mandate: Option<B256>,
    /// One of the institution's keys; without --authority a claimant's, where their own affairs are asked about.
    #[command(flatten)]
    pub keys: KeyArgs,
}

impl AskArgs {
    /// The node, asked as an office or as nobody.
    ///
    /// # Errors
    /// When the key cannot be opened or the node not be asked for its Charter; when a key is given and nobody it speaks for.
    pub async fn client(&self) -> anyhow::Result<ApiClient> {
        ensure!(
            self.authority.is_some() || self.keys.key.is_empty(),
            "--key alone proves no office; --authority and --mandate say whose it is and under which mandate it reads"
        );
        self.client_for(None).await
    }

    /// The same; a key alone is a claimant's, who asks about their own affairs in this campaign.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub async fn client_for(&self, campaign: Option<CampaignId>) -> anyhow::Result<ApiClient> {
        let api = self.node.client()?;
        let (authority, mandate) = match (self.authority, self.mandate) {
            (Some(authority), Some(mandate)) => (authority, mandate),
            (None, None) if self.keys.key.is_empty() => return Ok(api),
            (None, None) => {
                let campaign = campaign.context("--key alone is a claimant's, and takes --campaign")?;
                return as_claimant(&api, campaign, &self.keys.open_one()?).await;
            }
            _ => bail!("--authority and --mandate belong together"),
        };
        let account = self.keys.open_one()?;
        let (charter, stream) = (home(&api).await?, api.status().await?.stream);
        Ok(api.as_office(OfficeKey { account, authority, mandate, charter, stream }))
    }
}

/// The node, asked with a wallet's statement that it looks up its own affairs in a campaign.
///
/// # Errors
/// When the node cannot be asked for its Charter, or the key not sign.
pub async fn as_claimant(
    api: &ApiClient,
    campaign: CampaignId,
    wallet: &Account,
) -> anyhow::Result<ApiClient> {
    let mut looking = Looking {
        campaign,
        account: wallet.address(),
        host: api.host()?,
        expires_at: (client_now() + LOOK_FOR) * 1_000,
        signature: Bytes::new(),
    };
    looking.signature = wallet.sign_digest(looking.digest(home(api).await?))?;
    Ok(api.as_claimant(&looking))
}

async fn home(api: &ApiClient) -> anyhow::Result<ContractRef> {
    let charter = api.charter().await?;
    Ok(ContractRef { chain_id: charter.chain_id, address: charter.address })
}
