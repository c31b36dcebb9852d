//! From the configuration to what a node is started with: files are read, keys opened, chains reached.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::{Context, bail};
use reqwest::Url;
use sluice_chain::signer::Account;
use sluice_chain::{Chain, ChainConfig, ChainKind, Finality};
use sluice_core::fees::{FeePolicy, SettlementPolicy, SettlementTerms, SpendLimit};
use sluice_core::ids::{CampaignId, ChainId};
use sluice_core::sequencer::fair::Weights;
use sluice_engine::node::NodeConfig;
use sluice_engine::standby::ChainSettings;

use super::{ChainSection, Config, Database, Fees, KeyFile, Secret, SettlementSection, TermsSection};
use crate::keys::{self, Password};

/// Opens everything a node needs. Its process gets a name of its own, which is never used again.
///
/// # Errors
/// When a file cannot be read, a password does not open its key, or a chain cannot be reached or is another one.
pub async fn open(config: &Config) -> anyhow::Result<NodeConfig> {
    let database_url = config.database.open().context("database")?;
    let log_secret = config.log_key.open_log_key().context("log_key")?;
    let seal_secret = config.seal_key.open_seal_key().context("seal_key")?;
    let mut chains = BTreeMap::new();
    for (id, section) in &config.chains {
        chains.insert(*id, section.open(*id).await.with_context(|| format!("chains.{id}"))?);
    }
    Ok(NodeConfig {
        stream: config.stream,
        database_url,
        holder: format!("{}/{}", config.name, uuid::Uuid::now_v7()),
        snapshots: config.snapshots.clone(),
        chains,
        home: config.home,
        log_secret,
        seal_secret,
        sequencer: config.sequencer,
        decisions_per_second: config.decisions_per_second,
        weights: config.weights(),
    })
}

impl Config {
    /// How campaigns take turns.
    pub(super) fn weights(&self) -> Weights {
        Weights::new(self.campaigns.iter().map(|(id, section)| (CampaignId(*id), section.weight)))
    }
}

impl Database {
    pub(super) fn open(&self) -> anyhow::Result<String> {
        let Some(path) = &self.password_file else { return Ok(self.url.0.clone()) };
        let password = first_line(path)?;
        let mut url = Url::parse(&self.url.0).map_err(|error| anyhow::anyhow!("url: {error}"))?;
        if url.set_password(Some(&password)).is_err() {
            // A URL without a host, for a Unix socket, takes it as a parameter.
            url.query_pairs_mut().append_pair("password", &password);
        }
        Ok(url.into())
    }
}

impl ChainSection {
    async fn open(&self, id: ChainId) -> anyhow::Result<ChainSettings> {
        let lanes = self.lanes.iter().map(KeyFile::open_account).collect::<anyhow::Result<_>>();
        Ok(ChainSettings {
            charter: self.charter,
            control: self.control.open_account().context("control")?,
            lanes: lanes.context("lanes")?,
            policy: self.fees.policy(),
            terms: self.settlement.policy(),
            every: Duration::from_millis(self.look_every_ms),
            // Last, because it takes longest.
            chain: chain(
                id,
                &self.rpc,
                &self.rpc_files,
                self.finality,
                self.requests_per_second,
                self.transaction_gas_cap,
                self.kind,
            )
            .await?,
        })
    }
}

/// A chain, reached. What is not said is as usual.
pub(super) async fn chain(
    id: ChainId,
    rpc: &[Secret],
    rpc_files: &[PathBuf],
    finality: Option<Finality>,
    requests_per_second: Option<NonZeroU32>,
    transaction_gas_cap: Option<u64>,
    kind: ChainKind,
) -> anyhow::Result<Chain> {
    let mut urls: Vec<_> = rpc.iter().map(|url| url.0.clone()).collect();
    for path in rpc_files {
        urls.push(first_line(path).context("rpc_files")?);
    }
    let Some(first) = urls.first() else { bail!("rpc: there is no URL") };
    let mut chain = ChainConfig::new(id, first.clone());
    chain.rpc = urls;
    chain.finality = finality.unwrap_or(chain.finality);
    chain.requests_per_second = requests_per_second.unwrap_or(chain.requests_per_second);
    chain.transaction_gas_cap = transaction_gas_cap.unwrap_or(chain.transaction_gas_cap);
    chain.kind = kind;
    Chain::connect(chain).await.context("rpc")
}

impl KeyFile {
    pub(super) fn open_account(&self) -> anyhow::Result<Account> {
        let signer = keys::open_account(&self.file, &Password::read(&self.password_file)?)?;
        Ok(Account::from_bytes(&B256::from_slice(&signer.to_bytes()[..]))?)
    }

    fn open_log_key(&self) -> anyhow::Result<[u8; 32]> {
        Ok(keys::open_log_key(&self.file, &Password::read(&self.password_file)?)?)
    }

    pub(super) fn open_seal_key(&self) -> anyhow::Result<[u8; 32]> {
        Ok(keys::open_seal_key(&self.file, &Password::read(&self.password_file)?)?)
    }
}

impl SettlementSection {
    pub(super) fn policy(&self) -> SettlementPolicy {
        let campaigns = self.campaigns.iter().map(|(id, terms)| (CampaignId(*id), terms.terms()));
        SettlementPolicy { usual: self.usual.terms(), campaigns: campaigns.collect() }
    }
}

impl TermsSection {
    fn terms(&self) -> SettlementTerms {
        let spend = self.spend_limit_gwei.map(|gwei| SpendLimit {
            wei: u128::from(gwei) * 1_000_000_000,
            period: Duration::from_secs(self.spend_period_seconds.get()),
        });
        SettlementTerms { window: Duration::from_secs(self.window_seconds), spend }
    }
}

impl Fees {
    fn policy(self) -> FeePolicy {
        let default = FeePolicy::default();
        FeePolicy {
            max_fee_cap: self.max_fee_cap_wei.map_or(default.max_fee_cap, u128::from),
            max_transaction_fee: self.max_transaction_fee_wei.map_or(default.max_transaction_fee, u128::from),
            priority_fee_min: self.priority_fee_min_wei.map_or(default.priority_fee_min, u128::from),
            bump_after_blocks: self.bump_after_blocks.unwrap_or(default.bump_after_blocks),
        }
    }
}

fn first_line(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => Ok(line.to_owned()),
        _ => bail!("the first line of {} is empty", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_put_into_the_url_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "p@ss:w/rd\n").unwrap();
        let open = |url: &str, path: &Path| {
            Database { url: Secret(url.into()), password_file: Some(path.to_owned()) }.open()
        };
        assert_eq!(open("postgres://me@db/name", &path).unwrap(), "postgres://me:p%40ss%3Aw%2Frd@db/name");
        let socket = open("postgres:///name?host=/run/postgresql", &path).unwrap();
        assert_eq!(socket, "postgres:///name?host=/run/postgresql&password=p%40ss%3Aw%2Frd");
        std::fs::write(&path, "\n").unwrap();
        assert!(open("postgres://me@db/name", &path).is_err());
    }
}
