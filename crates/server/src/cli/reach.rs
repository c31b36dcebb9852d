//! How a command reaches what it works with: a node over HTTP, a chain by RPC, keys in encrypted files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Serialize;
use sluice_chain::deploy::Operator;
use sluice_chain::signer::Account;
use sluice_chain::{Chain, ChainConfig};
use sluice_core::ids::{CampaignId, ChainId, DemandId, ProjectId};
use uuid::Uuid;

use crate::api_client::ApiClient;
use crate::keys::{self, Password};

/// Which node.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// The node's URL.
    #[arg(long, value_name = "URL", env = "SLUICE_NODE", default_value = "http://127.0.0.1:8080")]
    pub node: String,
    /// A file with a project's or the operator's key, where one is needed.
    #[arg(long, value_name = "FILE", env = "SLUICE_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
}

impl NodeArgs {
    /// The node.
    ///
    /// # Errors
    /// When the key file cannot be read.
    pub fn client(&self) -> anyhow::Result<ApiClient> {
        let key = self.api_key_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            text.map(|text| text.trim().to_owned()).with_context(|| format!("cannot read {}", path.display()))
        });
        ApiClient::new(&self.node, key.transpose()?)
    }
}

/// Which chain.
#[derive(Clone, Debug, Args)]
pub struct ChainArgs {
    /// The chain's JSON-RPC.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    pub rpc: String,
}

impl ChainArgs {
    /// The chain, which must be the one meant.
    ///
    /// # Errors
    /// When it cannot be reached or is another one.
    pub async fn connect(&self, chain_id: ChainId) -> anyhow::Result<Chain> {
        Ok(Chain::connect(ChainConfig::new(chain_id, self.rpc.clone())).await?)
    }
}

/// Whose keys. Every file needs a password file; one for all is enough.
#[derive(Clone, Debug, Default, Args)]
pub struct KeyArgs {
    /// An encrypted key file. May be repeated, for M of N.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// A file whose first line opens the key file; one for all, or one for each in their order.
    #[arg(long, value_name = "FILE")]
    pub password_file: Vec<PathBuf>,
}

impl KeyArgs {
    /// The accounts, in the order of `--key`.
    ///
    /// # Errors
    /// When a file or its password is missing or wrong.
    pub fn open(&self) -> anyhow::Result<Vec<Account>> {
        let passwords = match (self.key.len(), self.password_file.len()) {
            (0, _) => return Ok(Vec::new()),
            (keys, 1) => vec![&self.password_file[0]; keys],
            (keys, given) if keys == given => self.password_file.iter().collect(),
            (keys, given) => bail!(
                "--password-file is given {given} times for {keys} keys; give one for all or one for each"
            ),
        };
        let opened = self.key.iter().zip(passwords).map(|(key, password)| open_account(key, password));
        opened.collect()
    }

    /// The one account meant.
    ///
    /// # Errors
    /// When `--key` is not given exactly once.
    pub fn open_one(&self) -> anyhow::Result<Account> {
        ensure!(!self.key.is_empty(), "--key is missing: the file of the key that signs");
        ensure!(self.key.len() == 1, "--key is given {} times; give it once", self.key.len());
        self.open()?.pop().context("--key names no key")
    }
}

/// Who pays for transactions on chain.
#[derive(Clone, Debug, Args)]
pub struct OperatorArgs {
    /// The chain.
    #[command(flatten)]
    pub chain: ChainArgs,
    /// The key file of the account that pays for the transaction. It has no authority over anything.
    #[arg(long, value_name = "FILE")]
    pub gas_key: PathBuf,
    /// A file whose first line opens it.
    #[arg(long, value_name = "FILE")]
    pub gas_password_file: PathBuf,
}

impl OperatorArgs {
    /// The operator on this chain.
    ///
    /// # Errors
    /// When the chain cannot be reached or the key not be opened.
    pub async fn connect(&self, chain_id: ChainId) -> anyhow::Result<Operator> {
        let account = open_account(&self.gas_key, &self.gas_password_file)?;
        Ok(Operator::new(self.chain.connect(chain_id).await?, account))
    }
}

fn open_account(key: &std::path::Path, password: &std::path::Path) -> anyhow::Result<Account> {
    let signer = keys::open_account(key, &Password::read(password)?)?;
    Ok(Account::from_bytes(&signer.to_bytes())?)
}

/// A jurisdiction's tag, for an option.
///
/// # Errors
/// When it is none, with what would be right.
pub fn jurisdiction(tag: &str) -> Result<String, &'static str> {
    if sluice_core::command::is_jurisdiction(tag) {
        Ok(tag.to_owned())
    } else {
        Err("write upper-case letters and digits, parts joined by -, as DE or DE-BE")
    }
}

/// The id of a project from its name, or the id itself. Derived, so that creating a project twice is creating it once.
pub fn project_id(text: &str) -> ProjectId {
    text.parse().unwrap_or_else(|_| ProjectId(derived("project", text.as_bytes())))
}

/// The id of the campaign of a Distributor: one contract is one campaign.
pub fn campaign_id(chain_id: ChainId, distributor: alloy_primitives::Address) -> CampaignId {
    CampaignId(derived("campaign", &[&chain_id.to_be_bytes(), distributor.as_slice()].concat()))
}

/// A fresh id of a demand.
pub fn new_demand() -> DemandId {
    DemandId(Uuid::now_v7())
}

/// This machine's clock, Unix seconds. Only for deadlines that node and contract check again.
#[expect(clippy::disallowed_methods, reason = "a client has no database; it decides nothing by this clock")]
pub fn client_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn derived(kind: &str, of: &[u8]) -> Uuid {
    let hash = alloy_primitives::keccak256([b"sluice ", kind.as_bytes(), b"\0", of].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Prints an answer: lines for people, or one line of JSON.
///
/// # Errors
/// When it cannot be written.
pub fn answer(json: bool, value: &impl Serialize, lines: &[(&str, String)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let told = match json {
        true => writeln!(out, "{}", serde_json::to_string(value)?),
        false => {
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            lines.iter().try_for_each(|(name, text)| writeln!(out, "{name:width$}  {text}"))
        }
    };
    match told {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
