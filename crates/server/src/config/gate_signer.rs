//! The configuration of a gate-signer: one TOML file in the style of a node's. `deploy/gate-signer.example.toml` describes
//! every field.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context;
use serde::Deserialize;
use sluice_chain::{ChainKind, Finality};
use sluice_core::ids::{ChainId, StreamId};
use sluice_engine::gate_signer::GateSignerConfig;

use super::{
    ConfigError, Database, Fault, KeyFile, Secret, by_chain_id, contract, fault, open, parse, reach_faults,
};

/// A word may be signed as often as this, seconds: oftener would cost signatures, more rarely delay payments by an hour.
const INTERVAL: RangeInclusive<u64> = 1..=3_600;
/// Nodes named for delivery.
const NODES_MAX: usize = 16;

/// The configuration of a gate-signer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which log.
    pub stream: StreamId,
    /// The chain whose Charter founds the stream.
    pub home: ChainId,
    /// The folder in which snapshots lie.
    pub snapshots: PathBuf,
    /// Where Postgres is; the account needs to read and no more.
    pub database: Database,
    /// Opens what nodes keep sealed; theirs.
    pub seal_key: KeyFile,
    /// Its own part.
    pub gate_signer: Section,
    /// The chains, by id.
    #[serde(deserialize_with = "by_chain_id")]
    pub chains: BTreeMap<ChainId, ChainSection>,
}

/// What only a gate-signer has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// URLs of nodes that take masks, tried in order.
    pub nodes: Vec<String>,
    /// A word is signed at most once within so many seconds.
    #[serde(default = "minute")]
    pub interval_seconds: u64,
    /// The gate's key.
    pub key: KeyFile,
}

const fn minute() -> u64 {
    60
}

/// A chain that is looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSection {
    /// One or two RPC URLs.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// Files whose first line is an RPC URL, for URLs that hold a provider's key.
    #[serde(default)]
    pub rpc_files: Vec<PathBuf>,
    /// The stream's Charter there.
    #[serde(deserialize_with = "contract")]
    pub charter: Address,
    /// When a block is final.
    pub finality: Option<Finality>,
    /// Outbound requests a second and URL.
    pub requests_per_second: Option<NonZeroU32>,
}

/// Reads and checks the configuration. `SLUICE_SNAPSHOTS` and `SLUICE_DATABASE_URL` overrule the file.
///
/// # Errors
/// With every field that is wrong.
pub fn load(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let source = std::fs::read_to_string(path);
    let text = source.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let mut config: Config = parse(path, &text)?;
    if let Some(folder) = variable("SLUICE_SNAPSHOTS") {
        config.snapshots = folder.into();
    }
    if let Some(url) = variable("SLUICE_DATABASE_URL") {
        config.database.url = Secret(url);
    }
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(ConfigError::Invalid { path: path.to_owned(), faults });
    }
    config.resolve(path.parent().unwrap_or(Path::new(".")));
    Ok(config)
}

impl Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.database.is_postgres() {
            faults.push(fault("database.url", "it begins with postgres://"));
        }
        if !self.chains.contains_key(&self.home) {
            faults.push(fault("home", format!("there is no [chains.{}]", self.home)));
        }
        let Section { nodes, interval_seconds, .. } = &self.gate_signer;
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            faults.push(fault("gate_signer.nodes", format!("name 1 to {NODES_MAX}, not {}", nodes.len())));
        }
        if !nodes.iter().all(|url| url.starts_with("http://") || url.starts_with("https://")) {
            faults.push(fault("gate_signer.nodes", "a URL begins with http:// or https://"));
        }
        if !INTERVAL.contains(interval_seconds) {
            let (least, most) = INTERVAL.into_inner();
            faults.push(fault("gate_signer.interval_seconds", format!("it lies between {least} and {most}")));
        }
        for (id, chain) in &self.chains {
            let found = reach_faults(&chain.rpc, &chain.rpc_files, chain.charter);
            faults.extend(found.into_iter().map(|f| fault(format!("chains.{id}.{}", f.field), f.what)));
        }
        faults
    }

    fn resolve(&mut self, folder: &Path) {
        let urls = self.chains.values_mut().flat_map(|chain| chain.rpc_files.iter_mut());
        let own = [&mut self.snapshots].into_iter().chain(&mut self.database.password_file);
        for path in urls.chain(own).chain(self.gate_signer.key.paths()).chain(self.seal_key.paths()) {
            *path = folder.join(&*path);
        }
    }

    /// Opens everything a gate-signer needs.
    ///
    /// # Errors
    /// When a file cannot be read, a password does not open its key, or a chain cannot be reached or is another one.
    pub async fn open(&self) -> anyhow::Result<GateSignerConfig> {
        let mut chains = BTreeMap::new();
        let key = self.gate_signer.key.open_account().context("gate_signer.key")?;
        let seal_secret = self.seal_key.open_seal_key().context("seal_key")?;
        let database_url = self.database.open().context("database")?;
        for (id, section) in &self.chains {
            let ChainSection { rpc, rpc_files, charter, finality, requests_per_second } = section;
            let chain =
                open::chain(*id, rpc, rpc_files, *finality, *requests_per_second, None, ChainKind::default())
                    .await;
            chains.insert(*id, (chain.with_context(|| format!("chains.{id}"))?, *charter));
        }
        Ok(GateSignerConfig {
            stream: self.stream,
            database_url,
            snapshots: self.snapshots.clone(),
            chains,
            home: self.home,
            key,
            interval: Duration::from_secs(self.gate_signer.interval_seconds),
            seal_secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../../deploy/gate-signer.example.toml");

    fn load_text(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate-signer.toml");
        std::fs::write(&path, text).unwrap();
        load(&path, |_| None)
    }

    fn faults(line: &str, to: &str) -> Vec<String> {
        assert!(EXAMPLE.contains(line), "the example has no {line:?}");
        match load_text(&EXAMPLE.replacen(line, to, 1)) {
            Err(ConfigError::Invalid { faults, .. }) => faults.into_iter().map(|f| f.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let config = load_text(EXAMPLE).unwrap();
        assert_eq!(config.gate_signer.interval_seconds, 60);
        assert!(config.gate_signer.key.file.is_absolute(), "files are named relative to the configuration");
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(faults("home = 8453", "home = 1"), ["home"]);
        assert_eq!(faults("interval_seconds = 60", "interval_seconds = 0"), ["gate_signer.interval_seconds"]);
        assert_eq!(faults("nodes = [\"https://", "nodes = [\"ftp://"), ["gate_signer.nodes"]);
        assert_eq!(faults("url = \"postgres://", "url = \"mysql://"), ["database.url"]);
        let zero = "charter = \"0x0000000000000000000000000000000000000000\"";
        assert_eq!(
            faults("charter = \"0x1111111111111111111111111111111111111111\"", zero),
            ["chains.8453.charter"]
        );
    }

    #[test]
    fn a_malformed_field_is_named_with_its_line_and_what_would_be_right() {
        let error = |from: &str, to: &str| {
            let error = load_text(&EXAMPLE.replacen(from, to, 1)).unwrap_err();
            let ConfigError::Malformed { line, field, .. } = &error else { panic!("{error:?}") };
            let at = EXAMPLE.lines().position(|l| l.starts_with(from)).unwrap() + 1;
            assert!((at - 1..=at + 1).contains(&line.unwrap()), "{field} at {line:?}, not {at}");
            error.to_string()
        };
        let short = error("charter = \"0x1111111111111111111111111111111111111111\"", "charter = \"0x11\"");
        assert!(short.contains("chains.8453.charter") && short.contains("40 hexadecimal digits"), "{short}");
        let unknown = error("interval_seconds = 60", "intervall = 60");
        assert!(
            unknown.contains("gate_signer.intervall") && unknown.contains("`interval_seconds`"),
            "{unknown}"
        );
        let soon = error("finality = \"finalized\"", "finality = \"soon\"");
        assert!(soon.contains("chains.8453.finality") && soon.contains("`safe`"), "{soon}");
    }

    /// The example with key and password written where it says, in a folder of their own.
    async fn open_with(password: Option<&str>, key: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        for name in ["keys", "secrets"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let path = folder.path().join("gate-signer.toml");
        std::fs::write(&path, EXAMPLE).unwrap();
        let right = folder.path().join("right");
        std::fs::write(&right, "the right password").unwrap();
        if let Some(password) = password {
            std::fs::write(folder.path().join("secrets/gate-password"), password).unwrap();
        }
        if key {
            let password = crate::keys::Password::read(&right).unwrap();
            crate::keys::new_account(&folder.path().join("keys/gate.json"), &password).unwrap();
        }
        let opened = load(&path, |_| None).unwrap().open().await;
        format!("{:#}", opened.expect_err("something is missing"))
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_wrong_is_named_with_its_field() {
        let missing = open_with(None, true).await;
        assert!(
            missing.starts_with("gate_signer.key: ") && missing.contains("secrets/gate-password"),
            "{missing}"
        );
        let no_key = open_with(Some("the right password"), false).await;
        assert!(no_key.starts_with("gate_signer.key: ") && no_key.contains("keys/gate.json"), "{no_key}");
        let wrong = open_with(Some("another password"), true).await;
        assert!(wrong.starts_with("gate_signer.key: ") && wrong.contains("gate.json"), "{wrong}");
        let next = open_with(Some("the right password"), true).await;
        assert!(next.starts_with("seal_key: ") && next.contains("secrets/seal-password"), "{next}");
    }

    #[test]
    fn a_nodes_configuration_is_none_of_a_gate_signers() {
        let error =
            load_text(&EXAMPLE.replace("[gate_signer]\n", "[gate_signer]\nlanes = []\n")).unwrap_err();
        assert!(error.to_string().contains("gate_signer"), "{error}");
    }
}
