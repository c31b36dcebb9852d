//! A ministry and an agency whose rule sets are in force, the gate that asks both, and an issuer who attests what they
//! ask for. The rule sets are those of `sample-data/rules`.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use anyhow::{Context, bail, ensure};
use serde_json::json;
use sluice_chain::actions::ChainAction;
use sluice_chain::calls;
use sluice_chain::signer::Account;
use sluice_core::command::{
    AcceptedAttestation, Action, AuthorityTerms, GateTerms, MandateTerms, RulesTerms, lineage_id,
};
use sluice_core::ids::DemandId;
use sluice_core::log::entry::{Body, Entry};
use sluice_engine::attestations::{AttestationError, Attestations};
use sluice_gate::attestation::{
    Accepts, Attestation, EasDomain, EasOffchain, EasSchema, EasVersion, Source, Statement, SubjectIn,
    schema_uid,
};
use sluice_gate::mandate::Mandate;
use sluice_gate::rules::{PolicySource, RuleSet, Sources};
use sluice_server::dev;
use tokio::task::JoinSet;

use crate::claims::ground::{Ground, Servers};
use crate::claims::wallets::Wallet;

/// What residents' attestations state, and incomes'.
const RESIDENCY: &str = "string country,uint32 birth_date,bool registered";
const INCOME: &str = "uint32 year,uint64 yearly,uint8 household";
const RESIDENCY_MANIFEST: &str = include_str!("../../../sample-data/rules/residency/rules.toml");
const RESIDENCY_POLICIES: &str = include_str!("../../../sample-data/rules/residency/policies.cedar");
const RESIDENCY_NEVER: &str = include_str!("../../../sample-data/rules/residency/never.json");
const INCOME_MANIFEST: &str = include_str!("../../../sample-data/rules/income/rules.toml");
const INCOME_TABLE: &str = include_str!("../../../sample-data/rules/income/table.csv");
const INCOME_NEVER: &str = include_str!("../../../sample-data/rules/income/never.json");
const MANDATE: &str = include_str!("../../../sample-data/rules/mandates/eligibility-agency.cedar");
/// The registry of attestations on the private chain.
const REGISTRY: Address = Address::repeat_byte(0xea);
/// A registry in EVM code: `getRevokeOffchain(revoker, uid)` answers what its storage has under the uid, which is zero.
const REGISTRY_CODE: &str = "0x6024355460005260206000f3";
/// Attestations handed in at once.
const AT_ONCE: usize = 512;

/// An institution outside the Charter.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) id: B256,
    pub(crate) key: Account,
    pub(crate) mandate: B256,
}

/// A gate that is defined and installed.
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    pub(crate) version: u16,
    pub(crate) hash: B256,
}

/// The account of a name.
fn account(name: &str) -> anyhow::Result<Account> {
    Ok(Account::from_bytes(&keccak256(name))?)
}

/// Who attests.
pub(crate) fn issuer() -> anyhow::Result<Wallet> {
    Wallet::new(keccak256("issuer of a measurement"))
}

/// The command of an entry in which it took effect.
fn ordered(entry: &Entry) -> anyhow::Result<DemandId> {
    match &entry.body {
        Body::Ordered(ordered) => Ok(ordered.id),
        other => bail!("a command of the set-up was refused: {other:?}"),
    }
}

fn rules(sources: &Sources<'_>) -> anyhow::Result<RulesTerms> {
    let (set, _) = RuleSet::build(sources).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let text = set.encode().into();
    Ok(RulesTerms { owner: set.manifest.owner, lineage: set.manifest.lineage, text })
}

impl Office {
    /// Makes an office known to the log, with the mandate to propose rules.
    pub(crate) async fn register(ground: &Ground, name: &str, id: B256) -> anyhow::Result<Self> {
        let key = account(name)?;
        let terms = AuthorityTerms { authority: id, name: name.into(), signers: vec![key.signer_bytes()] };
        ordered(&ground.charter_command(Action::RegisterAuthority(terms), dev::THRESHOLD.into()).await?)?;
        let mandate = Self::grant(ground, id, name, MANDATE).await?;
        Ok(Self { id, key, mandate })
    }

    /// Grants a mandate; returns its id.
    pub(crate) async fn grant(ground: &Ground, holder: B256, name: &str, text: &str) -> anyhow::Result<B256> {
        let manifest = format!("holder = \"{holder}\"\nname = \"{name}\"\nversion = \"1\"\n");
        let (mandate, _) =
            Mandate::build(&manifest, text).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let terms = MandateTerms { holder, text: mandate.encode().into() };
        let granted = Action::GrantMandate(terms.clone());
        Ok(terms.id(ordered(&ground.charter_command(granted, dev::THRESHOLD.into()).await?)?))
    }

    /// Puts rules into force: proposed by this office, approved by the Charter's institutions, activated.
    pub(crate) async fn enact(&self, ground: &Ground, terms: RulesTerms) -> anyhow::Result<()> {
        let (rules, me) = (terms.hash(), [(self.id, self.key.clone())]);
        ordered(&ground.command(Action::ProposeRules(terms), self.mandate, &me).await?)?;
        ordered(&ground.charter_command(Action::ApproveRules { rules }, dev::THRESHOLD.into()).await?)?;
        let activate = Action::ActivateRules { rules, at: 0 };
        ordered(&ground.command(activate, B256::ZERO, &me).await?).map(drop)
    }
}

/// Two offices, their rules in force, a gate that asks both and one that asks the first alone, on chain as well.
pub(crate) async fn set_up(servers: &Servers, ground: &Ground) -> anyhow::Result<[Gate; 2]> {
    let residency = rules(&Sources {
        manifest: RESIDENCY_MANIFEST,
        policies: PolicySource::Cedar(RESIDENCY_POLICIES),
        never: RESIDENCY_NEVER,
    })?;
    let income = rules(&Sources {
        manifest: INCOME_MANIFEST,
        policies: PolicySource::Table(INCOME_TABLE),
        never: INCOME_NEVER,
    })?;
    let lineages = [&residency, &income].map(|terms| lineage_id(terms.owner, &terms.lineage));
    for (name, terms) in [("ministry", residency), ("agency", income)] {
        Office::register(ground, name, terms.owner).await?.enact(ground, terms).await?;
    }
    servers.anvil("anvil_setCode", json!([REGISTRY, REGISTRY_CODE])).await?;
    let issuer = issuer()?.address;
    let attestations = [("residency", RESIDENCY), ("income", INCOME)]
        .map(|(name, schema)| AcceptedAttestation { name: name.into(), accepts: accepts(schema, issuer) });
    let both = install(ground, 1, &lineages, &attestations).await?;
    let first = install(ground, 2, &lineages[..1], &attestations[..1]).await?;
    Ok([both, first])
}

/// Defines a gate, and installs it on chain.
async fn install(
    ground: &Ground,
    version: u16,
    rule_sets: &[B256],
    attestations: &[AcceptedAttestation],
) -> anyhow::Result<Gate> {
    let gate = GateTerms {
        campaign: ground.campaign,
        version,
        rule_sets: rule_sets.to_vec(),
        attestations: attestations.to_vec(),
        signer: account("gate of a measurement")?.signer_bytes(),
    };
    ordered(&ground.charter_command(Action::DefineGate(gate.clone()), dev::THRESHOLD.into()).await?)?;
    let (number, signer, rules_hash) = (u64::from(version), gate.signer.clone(), gate.hash());
    let distributor = ground.distributor.address;
    let install =
        ChainAction::InstallGate { distributor, version: number, signer: signer.clone(), rules_hash };
    let data = calls::install_gate(number, signer, rules_hash, &ground.approve(&install)?)?;
    ground.act("installGate", data).await?;
    Ok(Gate { version, hash: rules_hash })
}

fn accepts(schema: &str, issuer: Address) -> Bytes {
    let source = EasSchema {
        chain_id: dev::CHAIN_ID,
        contract: REGISTRY,
        schema: schema_uid(schema, Address::ZERO, true),
        resolver: Address::ZERO,
        revocable: true,
    };
    let accepts = Accepts {
        source: Source::EasOffchain(source),
        schema_text: schema.into(),
        issuers: vec![issuer],
        contract_issuers: Vec::new(),
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    };
    borsh::to_vec(&accepts).expect("writing to memory cannot fail").into()
}

/// One 32-byte word of ABI encoding.
fn word(n: u64) -> [u8; 32] {
    U256::from(n).to_be_bytes()
}

/// Attestations about somebody that the rules are content with, as the issuer's SDK writes them: a residency and an income.
/// `salt` tells repeated ones apart.
pub(crate) fn attested(issuer: &Wallet, about: Address, salt: u64) -> anyhow::Result<[String; 2]> {
    let mut country = [0; 32];
    country[..2].copy_from_slice(b"DE");
    let resident = [word(96), word(19_900_101), word(1), word(2), country].concat();
    let earns = [word(2_026), word(9_000), word(1)].concat();
    let text = |schema: &str, data: Vec<u8>| {
        let statement = EasOffchain {
            domain: EasDomain { version: "1.3.0".into(), chain_id: dev::CHAIN_ID, contract: REGISTRY },
            version: EasVersion::V2 { salt: keccak256([about.as_slice(), &salt.to_be_bytes()].concat()) },
            schema: schema_uid(schema, Address::ZERO, true),
            recipient: about,
            time: 1_790_000_000,
            expiration_time: 0,
            revocable: true,
            ref_uid: B256::ZERO,
            data: data.into(),
        };
        let signature = issuer.sign(statement.digest());
        let attestation =
            Attestation { issuer: issuer.address, statement: Statement::EasOffchain(statement), signature };
        Ok::<_, anyhow::Error>(attestation.eas_json().context("of EAS")?.to_string())
    };
    Ok([text(RESIDENCY, resident)?, text(INCOME, earns)?])
}

/// Hands in attestations, as many at once as the stage takes, until all are kept.
pub(crate) async fn hand_in(stage: &Attestations, texts: Vec<String>) -> anyhow::Result<()> {
    let count = texts.len();
    let waiting = Arc::new(std::sync::Mutex::new(texts.into_iter()));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE.min(count) {
        let (waiting, stage) = (Arc::clone(&waiting), stage.clone());
        workers.spawn(async move {
            let mut kept = 0;
            loop {
                let next = waiting.lock().expect("no panic inside").next();
                let Some(text) = next else { return Ok::<_, anyhow::Error>(kept) };
                loop {
                    match stage.submit(text.clone()).await {
                        Ok(_) => break,
                        Err(AttestationError::Busy { .. }) => {
                            tokio::time::sleep(Duration::from_millis(20)).await
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                kept += 1;
            }
        });
    }
    let mut kept = 0;
    while let Some(worker) = workers.join_next().await {
        kept += worker??;
    }
    ensure!(kept == count, "{kept} of {count} attestations were kept");
    Ok(())
}
