//! A gate as a file: which rule sets and attestations it asks for, and its key.
//!
//! ```toml
//! version = 1
//! signer = "0x…"                       # the gate's key, ERC-7913 signer bytes; an address for an account
//!
//! [[rule_sets]]                        # all must permit
//! owner = "0x…"                        # or the name it was registered with
//! lineage = "residency-and-age"
//!
//! [[attestations]]
//! name = "residency"                   # under which the rules see it
//! [attestations.accepts]
//! schema_text = "string country,uint32 birth_date,bool registered"
//! issuers = ["0x…"]
//! subject = "recipient"
//! source = { kind = "eas_offchain", chain_id = 1, contract = "0x…", schema = "0x…", resolver = "0x…", revocable = true }
//! ```

use std::path::Path;

use alloy_primitives::{B256, Bytes};
use anyhow::{Context, ensure};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sluice_core::command::{AcceptedAttestation, GateTerms, lineage_id};
use sluice_core::ids::CampaignId;
use sluice_core::limits::{GATE_ACCEPT_BYTES_MAX, GATE_ACCEPTS_MAX, GATE_RULE_SETS_MAX};
use sluice_gate::attestation::{Accepts, AllowList};

use crate::cli::order::authority_id;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFile {
    /// The version installed in the Distributor, from 1.
    pub version: u16,
    /// The gate's key, as ERC-7913 signer bytes.
    pub signer: Bytes,
    /// Whose rule sets it asks.
    #[serde(default)]
    pub rule_sets: Vec<Lineage>,
    /// Which attestations it accepts.
    #[serde(default)]
    pub attestations: Vec<Accepted>,
}

/// A lineage of rule sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The institution that owns it: its id, or its name as the Charter derives ids from names.
    #[serde(deserialize_with = "owner")]
    pub owner: B256,
    /// Its name.
    pub lineage: String,
}

fn owner<'de, D: Deserializer<'de>>(from: D) -> Result<B256, D::Error> {
    authority_id(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// An attestation that the gate accepts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Under which name rules see it.
    pub name: String,
    /// From whom, about whom, how old.
    pub accepts: Accepts,
}

impl GateFile {
    /// Reads a gate's file.
    ///
    /// # Errors
    /// Naming the line that is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: Self =
            toml::from_str(&text).with_context(|| format!("{} describes no gate", path.display()))?;
        ensure!(file.version > 0, "{}: version 0 means no gate; count from 1", path.display());
        ensure!(
            file.rule_sets.len() <= GATE_RULE_SETS_MAX && file.attestations.len() <= GATE_ACCEPTS_MAX,
            "{}: a gate asks at most {GATE_RULE_SETS_MAX} rule sets and {GATE_ACCEPTS_MAX} attestations",
            path.display()
        );
        if !file.attestations.is_empty() {
            file.allowed().with_context(|| format!("{}, attestations", path.display()))?;
        }
        Ok(file)
    }

    /// The attestations it accepts, in the file's order.
    ///
    /// # Errors
    /// Naming the entry that is wrong.
    pub fn allowed(&self) -> anyhow::Result<AllowList> {
        Ok(AllowList::new(self.attestations.iter().map(|a| a.accepts.clone()).collect())?)
    }

    /// What the log and, by its hash, the Distributor are told.
    ///
    /// # Errors
    /// When an entry is too long.
    pub fn terms(&self, campaign: CampaignId) -> anyhow::Result<GateTerms> {
        let accepted = |a: &Accepted| -> anyhow::Result<AcceptedAttestation> {
            let accepts = borsh::to_vec(&a.accepts)?;
            ensure!(
                accepts.len() <= GATE_ACCEPT_BYTES_MAX,
                "attestation {}: {} bytes; an entry has at most {GATE_ACCEPT_BYTES_MAX} (name fewer issuers)",
                a.name,
                accepts.len()
            );
            Ok(AcceptedAttestation { name: a.name.clone(), accepts: accepts.into() })
        };
        Ok(GateTerms {
            campaign,
            version: self.version,
            rule_sets: self.rule_sets.iter().map(|l| lineage_id(l.owner, &l.lineage)).collect(),
            attestations: self.attestations.iter().map(accepted).collect::<anyhow::Result<_>>()?,
            signer: self.signer.clone(),
        })
    }
}
