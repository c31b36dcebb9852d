//! The configuration: one TOML file, a few settings from the environment, checked once and as a whole.
//!
//! No secret stands in it: keys lie in encrypted files with their passwords in files beside them, and a password of
//! the database or a provider's URL may be put into a file of its own. `deploy/sluice.example.toml` describes every
//! field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use ipnet::IpNet;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use sluice_chain::{ChainKind, Finality};
use sluice_core::ids::{ChainId, StreamId};
use sluice_core::limits::{LANES_MAX, WEIGHT_MAX};

use crate::cli::words;

pub mod gate_signer;
mod open;

pub use open::open;

/// Characters of a node's name: the database keeps it, with a suffix, in 200.
const NAME_CHARS_MAX: usize = 100;
/// How often a chain may be looked at: rarer than a minute, payments would seem to stand still.
const LOOK_EVERY_MS: RangeInclusive<u64> = 10..=60_000;
/// RPC URLs of a chain.
const RPC_MAX: usize = 2;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, or not of this form.
    #[error("{}{}: {field}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<usize>,
        /// The field, with dots.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// Fields that contradict each other or their meaning; all of them.
    #[error("{}:\n  {}", path.display(), faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        faults: Vec<Fault>,
    },
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, with dots, or the variable.
    pub field: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// The configuration of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names this node where nodes are listed; the host's name is a good one.
    pub name: String,
    /// Which log.
    pub stream: StreamId,
    /// The chain whose Charter founds the stream.
    pub home: ChainId,
    /// This node's sequencer id in the Charter.
    pub sequencer: u64,
    /// Demands this node decides a second while it leads; as many as it can where nothing is said.
    pub decisions_per_second: Option<NonZeroU32>,
    /// The folder in which snapshots lie.
    pub snapshots: PathBuf,
    /// Where Postgres is.
    pub database: Database,
    /// The API.
    #[serde(default)]
    pub http: Http,
    /// Signs heads, receipts and tickets.
    pub log_key: KeyFile,
    /// Seals what is personal in the database; the same on every node of the stream.
    pub seal_key: KeyFile,
    /// The chains, by id.
    #[serde(deserialize_with = "by_chain_id")]
    pub chains: BTreeMap<ChainId, ChainSection>,
    /// What is said of single campaigns, by their ids.
    #[serde(default)]
    pub campaigns: BTreeMap<uuid::Uuid, CampaignSection>,
}

/// A campaign at this node.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSection {
    /// How many of its claims have their turn where another campaign's has one.
    pub weight: u32,
}

/// Where Postgres is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `postgres://user@host/database`.
    pub url: Secret,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
}

/// The API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What clients call this service, with the port where it is not the scheme's own.
    pub names: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// SHA-256 of the operator's key (`sluice keys new operator`).
    pub operator_key_sha256: Option<B256>,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Self { listen, names: Vec::new(), trusted_proxies: Vec::new(), operator_key_sha256: None }
    }
}

/// A key at rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The encrypted file.
    pub file: PathBuf,
    /// A file whose first line is its password.
    pub password_file: PathBuf,
}

/// A chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSection {
    /// One or two RPC URLs; with two, a block is final only if both say so.
    #[serde(default)]
    pub rpc: Vec<Secret>,
    /// Files whose first line is an RPC URL, for URLs that hold a provider's key.
    #[serde(default)]
    pub rpc_files: Vec<PathBuf>,
    /// The stream's Charter there.
    #[serde(deserialize_with = "contract")]
    pub charter: Address,
    /// When a block is final: `"finalized"`, `"safe"` or `{ confirmations = 12 }`.
    pub finality: Option<Finality>,
    /// Outbound requests a second and URL.
    pub requests_per_second: Option<NonZeroU32>,
    /// Gas one transaction may use, where it is less than EIP-7825 allows.
    pub transaction_gas_cap: Option<u64>,
    /// How often the chain is looked at, milliseconds; a block's time is a good measure.
    #[serde(default = "second")]
    pub look_every_ms: u64,
    /// Takes epochs there.
    pub control: KeyFile,
    /// Settlement accounts.
    pub lanes: Vec<KeyFile>,
    /// What is paid for gas.
    #[serde(default)]
    pub fees: Fees,
    /// What the chain charges for besides execution: `"ethereum"` nothing, `"op"` and `"arbitrum"` calldata, in their ways.
    #[serde(default)]
    pub kind: ChainKind,
    /// How long claims wait for company, and what their settlement may cost.
    #[serde(default)]
    pub settlement: SettlementSection,
}

/// Terms of settlement: the usual ones, and single campaigns' own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementSection {
    /// Of campaigns that have none of their own.
    #[serde(default)]
    pub usual: TermsSection,
    /// By campaign id; nothing is taken over from the usual ones.
    #[serde(default)]
    pub campaigns: BTreeMap<uuid::Uuid, TermsSection>,
}

/// A campaign's terms of settlement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TermsSection {
    /// A batch that is not full waits this long for more, seconds.
    pub window_seconds: u64,
    /// What the campaign's transactions may cost in any period, billionths of the chain's coin.
    pub spend_limit_gwei: Option<u64>,
    /// The period, seconds.
    pub spend_period_seconds: NonZeroU64,
}

impl Default for TermsSection {
    fn default() -> Self {
        let day = NonZeroU64::new(86_400).expect("a day is not zero");
        Self { window_seconds: 0, spend_limit_gwei: None, spend_period_seconds: day }
    }
}

/// Providers bill by request; most chains make a block in a second or two, Ethereum in twelve.
const fn second() -> u64 {
    1_000
}

/// What is paid for gas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// Never more than this, wei per gas.
    pub max_fee_cap_wei: Option<u64>,
    /// No transaction may cost more than this, wei: its gas limit times its fee per gas. Below the cap of the nodes.
    pub max_transaction_fee_wei: Option<u64>,
    /// At least this tip, wei per gas.
    pub priority_fee_min_wei: Option<u64>,
    /// Blocks an attempt may wait before it is replaced.
    pub bump_after_blocks: Option<u64>,
}

/// A text that may hold a password; shown only as far as it cannot.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", ""));
        let host =
            rest.rsplit_once('@').map_or(rest, |(_, host)| host).split(['/', '?']).next().unwrap_or("");
        write!(f, "{scheme}://{host}/…")
    }
}

/// TOML's keys are texts; these are numbers.
fn by_chain_id<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<BTreeMap<ChainId, T>, D::Error> {
    let texts = BTreeMap::<String, T>::deserialize(from)?;
    let number = |(text, section): (String, T)| match text.parse() {
        Ok(id) => Ok((id, section)),
        Err(_) => Err(serde::de::Error::custom(format!("{text:?} is no chain id; write [chains.1]"))),
    };
    texts.into_iter().map(number).collect()
}

/// Reads and checks the configuration. `variable` gives settings from the environment, which overrule the file's:
/// `SLUICE_NAME`, `SLUICE_LISTEN`, `SLUICE_SNAPSHOTS`, `SLUICE_DATABASE_URL`.
///
/// # Errors
/// With every field that is wrong.
pub fn load(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let source = std::fs::read_to_string(path);
    let text = source.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let mut config: Config = parse(path, &text)?;
    let mut faults = overrule(&mut config, variable);
    faults.extend(config.faults());
    if !faults.is_empty() {
        return Err(ConfigError::Invalid { path: path.to_owned(), faults });
    }
    config.resolve(path.parent().unwrap_or(Path::new(".")));
    Ok(config)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let malformed = |error: &toml::de::Error, field: String| ConfigError::Malformed {
        path: path.to_owned(),
        line: error.span().map(|span| text[..span.start].lines().count().max(1)),
        field,
        // Without the line itself: it may hold a secret.
        what: error.message().to_owned(),
    };
    let reader = toml::Deserializer::parse(text).map_err(|error| malformed(&error, "TOML".into()))?;
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let field = error.path().to_string();
        malformed(error.inner(), if field == "." || field == "?" { "the file".into() } else { field })
    })
}

fn overrule(config: &mut Config, variable: impl Fn(&str) -> Option<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(name) = variable("SLUICE_NAME") {
        config.name = name;
    }
    if let Some(folder) = variable("SLUICE_SNAPSHOTS") {
        config.snapshots = folder.into();
    }
    if let Some(url) = variable("SLUICE_DATABASE_URL") {
        config.database.url = Secret(url);
    }
    if let Some(text) = variable("SLUICE_LISTEN") {
        match text.parse() {
            Ok(listen) => config.http.listen = listen,
            Err(_) => {
                faults.push(fault("SLUICE_LISTEN", format!("{text:?} is no address; write 127.0.0.1:8080")))
            }
        }
    }
    faults
}

fn fault(field: impl Into<String>, what: impl Into<String>) -> Fault {
    Fault { field: field.into(), what: what.into() }
}

impl Config {
    /// Everything that is wrong by meaning.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.len() > NAME_CHARS_MAX || !self.name.chars().all(plain) {
            let what = format!("use 1 to {NAME_CHARS_MAX} letters, digits, points, hyphens or underscores");
            faults.push(fault("name", what));
        }
        if !self.database.is_postgres() {
            faults.push(fault("database.url", "it begins with postgres://"));
        }
        let host = |name: &String| !name.is_empty() && !name.contains(['/', '@', '?', '#', '*', ' ']);
        if !self.http.names.iter().all(host) {
            faults.push(fault("http.names", "a name is as in a URL, without scheme and path: api.example"));
        }
        if !self.chains.contains_key(&self.home) {
            faults.push(fault("home", format!("there is no [chains.{}]", self.home)));
        }
        for (id, campaign) in &self.campaigns {
            if !(1..=WEIGHT_MAX).contains(&campaign.weight) {
                let what = format!("it lies between 1, which every campaign has, and {WEIGHT_MAX}");
                faults.push(fault(format!("campaigns.{id}.weight"), what));
            }
        }
        for (id, chain) in &self.chains {
            faults.extend(
                chain.faults().into_iter().map(|f| fault(format!("chains.{id}.{}", f.field), f.what)),
            );
        }
        faults
    }

    /// Files are named relative to the configuration.
    fn resolve(&mut self, folder: &Path) {
        let chains = self.chains.values_mut();
        let keys = chains.flat_map(|chain| {
            let urls = chain.rpc_files.iter_mut();
            let keys = std::iter::once(&mut chain.control).chain(&mut chain.lanes);
            urls.chain(keys.flat_map(KeyFile::paths))
        });
        let own = [&mut self.snapshots].into_iter().chain(&mut self.database.password_file);
        for path in keys.chain(own).chain(self.log_key.paths()).chain(self.seal_key.paths()) {
            *path = folder.join(&*path);
        }
    }
}

impl Database {
    fn is_postgres(&self) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| self.url.0.starts_with(scheme))
    }
}

fn contract<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
    words::address(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// What is wrong about how a chain is reached.
fn reach_faults(rpc: &[Secret], rpc_files: &[PathBuf], charter: Address) -> Vec<Fault> {
    let mut faults = Vec::new();
    let urls = rpc.len() + rpc_files.len();
    if urls == 0 || urls > RPC_MAX {
        faults.push(fault("rpc", format!("there are {urls} URLs with rpc_files; name 1 or {RPC_MAX}")));
    }
    if !rpc.iter().all(|url| url.0.starts_with("http://") || url.0.starts_with("https://")) {
        faults.push(fault("rpc", "a URL begins with http:// or https://"));
    }
    if charter.is_zero() {
        faults.push(fault("charter", "the zero address holds no Charter"));
    }
    faults
}

impl KeyFile {
    fn paths(&mut self) -> [&mut PathBuf; 2] {
        [&mut self.file, &mut self.password_file]
    }
}

impl ChainSection {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = reach_faults(&self.rpc, &self.rpc_files, self.charter);
        if self.lanes.is_empty() || self.lanes.len() > LANES_MAX {
            faults.push(fault("lanes", format!("there are {}; name 1 to {LANES_MAX}", self.lanes.len())));
        }
        let files: BTreeSet<_> = self.lanes.iter().chain([&self.control]).map(|key| &key.file).collect();
        if files.len() <= self.lanes.len() {
            faults.push(fault("lanes", "a key serves twice: control and every lane need one of their own"));
        }
        if !LOOK_EVERY_MS.contains(&self.look_every_ms) {
            let (least, most) = LOOK_EVERY_MS.into_inner();
            faults.push(fault("look_every_ms", format!("it lies between {least} and {most}")));
        }
        if self.fees.max_transaction_fee_wei == Some(0) {
            faults.push(fault("fees.max_transaction_fee_wei", "no transaction can be paid with nothing"));
        }
        if self.transaction_gas_cap == Some(0) {
            faults.push(fault("transaction_gas_cap", "no transaction fits into no gas"));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
