//! Who is in the story: people with wallets, five institutions with the worked mandates, rules in two versions. Every key
//! is derived from a public text.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use anyhow::Context;
use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::command::{AcceptedAttestation, AuthorityTerms, MandateTerms, RulesTerms};
use sluice_core::ids::{CampaignId, ChainId};
use sluice_core::sample::{person, wallet_key};
use sluice_gate::attestation::{
    Accepts, Attestation, SignIndex, SignOffchain, SignRecipients, Source, Statement, SubjectIn,
};
use sluice_gate::mandate::Mandate;
use sluice_gate::rules::{PolicySource, RuleSet, Sources};

use super::draw::Draw;

/// The schema of what the registrar's office attests about people's means.
const SCHEMA: &str = "SPS_cKmgkXVeojP-CdiH7kK7K";
const SCHEMA_TEXT: &str = "bool resident, uint32 income";
/// Yearly incomes that the first version of the rules permits.
pub(super) const CAP_OLD: u32 = 30_000;
/// The same of the second version.
pub(super) const CAP_NEW: u32 = 20_000;
/// Incomes of people, by turns: permitted by both versions, by the old one alone, by neither.
const INCOMES: [u32; 4] = [12_000, 26_000, 18_000, 41_000];
/// Where wallets of people begin among the sample keys, then those they move to, then those the registrar says.
const WALLETS: [u32; 3] = [20_000, 30_000, 40_000];

/// Somebody who is paid.
#[derive(Clone)]
pub(super) struct Person {
    /// The registrar's id.
    pub(super) id: B256,
    /// The listed wallet.
    pub(super) wallet: Account,
    /// Where the person moves to.
    pub(super) chosen: Address,
    /// Where the registrar says the person is paid.
    pub(super) corrected: Address,
    /// A year.
    pub(super) income: u32,
}

/// An institution's part in the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Registrar,
    Agency,
    Operator,
    Compliance,
    Auditor,
}

impl Role {
    pub(super) const ALL: [Self; 5] =
        [Self::Registrar, Self::Agency, Self::Operator, Self::Compliance, Self::Auditor];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Agency => "eligibility agency",
            Self::Operator => "payment operator",
            Self::Compliance => "compliance",
            Self::Auditor => "auditor",
        }
    }

    /// The worked mandate of `sample-data/rules/mandates`: manifest and policies.
    const fn mandate(self) -> (&'static str, &'static str) {
        macro_rules! worked {
            ($name:literal) => {
                (
                    include_str!(concat!("../../../../sample-data/rules/mandates/", $name, ".toml")),
                    include_str!(concat!("../../../../sample-data/rules/mandates/", $name, ".cedar")),
                )
            };
        }
        match self {
            Self::Registrar => worked!("registrar"),
            Self::Agency => worked!("eligibility-agency"),
            Self::Operator => worked!("payment-operator"),
            Self::Compliance => worked!("compliance"),
            Self::Auditor => worked!("auditor"),
        }
    }
}

/// An institution outside the Charter, with its mandate's words.
#[derive(Clone)]
pub(super) struct Office {
    pub(super) role: Role,
    pub(super) id: B256,
    pub(super) key: Account,
    mandate: Bytes,
}

impl Office {
    /// The worked mandate, with the sample's campaign, token and place exchanged for this story's.
    pub(super) fn new(role: Role, campaign: CampaignId) -> anyhow::Result<Self> {
        let (manifest, policies) = role.mandate();
        let policies = policies
            .replace("018f3a00-0000-7000-8000-000000000001", &campaign.to_string())
            // A million tokens, here of eighteen decimals.
            .replace("\"1000000000000\"", "\"1000000000000000000000000\"")
            // This programme has no jurisdictions: what they would bound lies anywhere in the stream.
            .replace("Jurisdiction::\"DE\"", "Stream::\"0\"");
        let (mandate, _) = Mandate::build(manifest, &policies)
            .map_err(|problems| anyhow::anyhow!("the mandate of the {}: {problems}", role.name()))?;
        let (id, mandate) = (mandate.holder, mandate.encode().into());
        Ok(Self { role, id, key: key(role.name())?, mandate })
    }

    pub(super) fn terms(&self) -> AuthorityTerms {
        let signers = vec![self.key.signer_bytes()];
        AuthorityTerms { authority: self.id, name: self.role.name().to_owned(), signers }
    }

    pub(super) fn mandate(&self) -> MandateTerms {
        MandateTerms { holder: self.id, text: self.mandate.clone() }
    }
}

/// A key of this story.
pub(super) fn key(name: &str) -> anyhow::Result<Account> {
    Ok(Account::from_bytes(&keccak256(format!("sluice scenario key: {name}")))?)
}

/// So many people. Who earns what, the seed says.
pub(super) fn people(count: u32, draw: &mut Draw) -> anyhow::Result<Vec<Person>> {
    let turn = usize::try_from(draw.below(4)).unwrap_or(0);
    let address = |from: u32, number: u32| -> anyhow::Result<Address> {
        Ok(Account::from_bytes(&wallet_key(from + number))?.address())
    };
    let one = |number: u32| {
        Ok(Person {
            id: person(WALLETS[0] + number),
            wallet: Account::from_bytes(&wallet_key(WALLETS[0] + number))?,
            chosen: address(WALLETS[1], number)?,
            corrected: address(WALLETS[2], number)?,
            income: INCOMES[(number as usize + turn) % INCOMES.len()],
        })
    };
    (0..count).map(one).collect()
}

/// A version of the agency's rules: residents with an income up to the cap.
pub(super) fn rules(owner: B256, cap: u32) -> anyhow::Result<RulesTerms> {
    let manifest = format!(
        "owner = \"{owner}\"\nlineage = \"means\"\nversion = \"up to {cap}\"\n\
         [attestations.means]\nschema = \"{SCHEMA}\"\nrequired = true\n\
         fields = {{ resident = \"bool\", income = \"long\" }}\n\
         [reasons.not_resident]\nmessage = \"This benefit is for residents.\"\n\
         [reasons.income_too_high]\nmessage = \"This benefit is for incomes up to {cap} a year.\"\n"
    );
    let policies = format!(
        "@id(\"resident\") @reason(\"not_resident\")\n\
         permit(principal, action == Action::\"pay\", resource) when {{ context.attestations.means.resident }};\n\
         @id(\"income-cap\") @reason(\"income_too_high\")\n\
         forbid(principal, action == Action::\"pay\", resource) when {{ context.attestations.means.income > {cap} }};\n"
    );
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(&policies), never: "" };
    let (set, _) = RuleSet::build(&sources).map_err(|problems| anyhow::anyhow!("the rules: {problems}"))?;
    let text = set.encode().into();
    Ok(RulesTerms { owner, lineage: set.manifest.lineage, text })
}

/// What the gate accepts as a statement of somebody's means.
pub(super) fn accepted(chain_id: ChainId, issuer: &Account) -> AcceptedAttestation {
    let accepts = Accepts {
        source: Source::SignOffchain { chain_id, schema: SCHEMA.to_owned() },
        schema_text: SCHEMA_TEXT.to_owned(),
        issuers: vec![issuer.address()],
        contract_issuers: Vec::new(),
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    };
    let accepts = borsh::to_vec(&accepts).expect("writing to memory cannot fail").into();
    AcceptedAttestation { name: "means".to_owned(), accepts }
}

/// A signed statement of somebody's means, in the body that Sign Protocol's SDK posts.
pub(super) fn stated(issuer: &Account, person: &Person) -> anyhow::Result<Value> {
    let recipient = person.wallet.address();
    let sign = SignOffchain {
        schema_id: SCHEMA.to_owned(),
        linked_attestation_id: String::new(),
        data: format!("{{\"resident\":true,\"income\":\"{}\"}}", person.income),
        valid_until: 0,
        recipients: SignRecipients::Addresses(vec![recipient]),
        indexing_value: SignIndex::Address(recipient),
    };
    let members: Vec<_> =
        sign.fields().into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let statement = Statement::SignOffchain(sign.clone());
    let unsigned = Attestation { issuer: issuer.address(), statement, signature: Bytes::new() };
    let signature = issuer.sign_digest(unsigned.digest().context("a statement that can be signed")?)?;
    let message = json!({
        "schemaId": sign.schema_id, "linkedAttestationId": "", "validUntil": 0, "recipients": [recipient],
        "indexingValue": recipient, "data": sign.data,
    });
    Ok(json!({
        "signType": "evm-eip712",
        "publicKey": issuer.address(),
        "signature": signature,
        "message": {
            "domain": { "name": "sign.global", "version": "1" },
            "message": message,
            "primaryType": "Data",
            "types": { "Data": members },
        },
    }))
}
