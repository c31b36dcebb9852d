//! Institutions beside the Charter, their rule sets, a gate that asks them, and issuers of attestations.

use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use serde_json::json;
use sluice_chain::actions::{ChainAction, gate_digest};
use sluice_chain::calls::{self, GateContent};
use sluice_chain::signer::Account;
use sluice_core::command::{
    AcceptedAttestation, Action, Approval, AuthorityTerms, Command, Demand, GateTerms, MandateTerms,
    RoundMode, RoundTerms, RulesTerms, lineage_id,
};
use sluice_core::ids::DemandId;
use sluice_core::log::entry::{Body, Commanded, GateMask, GateSigned, Outcome as Done, WordMask};
use sluice_core::refusal::Code;
use sluice_core::signing::command_digest;
use sluice_engine::facts::unsalted;
use sluice_engine::follower::Outcome;
use sluice_engine::node::Node;
use sluice_gate::attestation::{
    Accepts, Attestation, EasDomain, EasOffchain, EasSchema, EasVersion, Source, Statement, SubjectIn,
    schema_uid,
};
use sluice_gate::mandate::Mandate;
use sluice_gate::rules::{KeptClaim, PolicySource, RuleSet, Sources};
use sluice_store::KeptFacts;
use uuid::Uuid;

use super::{FAR, STREAM, World, account, decided, eventually};

/// What residents' attestations state, and incomes'.
pub const RESIDENCY: &str = "string country,uint32 birth_date,bool registered";
pub const INCOME: &str = "uint32 year,uint64 yearly,uint8 household";
/// The gate version of these tests.
pub const GATE: u16 = 1;
pub const REGISTRY: Address = Address::repeat_byte(0xea);
/// An issuer that is a contract, which the chain has to be asked about.
pub const SAFE: Address = Address::repeat_byte(0x5a);
/// Another.
pub const VAULT: Address = Address::repeat_byte(0x7a);

/// An institution outside the Charter.
pub struct Office {
    pub id: B256,
    pub key: Account,
    pub mandate: B256,
}

/// A ministry and an agency whose rules are in force, a gate that asks both, and its round.
pub struct Gated {
    pub ministry: Office,
    pub agency: Office,
    /// The rule sets in force, by name, as the gate lists their lineages.
    pub rules: [B256; 2],
    pub gate: GateTerms,
    /// Issues both kinds of attestation.
    pub issuer: Account,
}

pub fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data/rules").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The ministry's rules; `edit` makes another version of them.
pub fn residency(edit: impl Fn(String) -> String) -> RulesTerms {
    let (manifest, policies) =
        (edit(sample("residency/rules.toml")), edit(sample("residency/policies.cedar")));
    let never = sample("residency/never.json");
    terms(&Sources { manifest: &manifest, policies: PolicySource::Cedar(&policies), never: &never })
}

fn income() -> RulesTerms {
    let (manifest, table) = (sample("income/rules.toml"), sample("income/table.csv"));
    let never = sample("income/never.json");
    terms(&Sources { manifest: &manifest, policies: PolicySource::Table(&table), never: &never })
}

fn terms(sources: &Sources<'_>) -> RulesTerms {
    let (set, _) = RuleSet::build(sources).unwrap_or_else(|problems| panic!("{problems}"));
    let text = set.encode().into();
    RulesTerms { owner: set.manifest.owner, lineage: set.manifest.lineage, text }
}

/// One 32-byte word of ABI encoding.
fn word(n: u64) -> [u8; 32] {
    U256::from(n).to_be_bytes()
}

/// The data of [`RESIDENCY`]: registered, and born in 1990.
pub fn resident_of(country: &str) -> Bytes {
    let mut text = [0; 32];
    text[..country.len()].copy_from_slice(country.as_bytes());
    [word(96), word(19_900_101), word(1), word(country.len() as u64), text].concat().into()
}

/// The data of [`INCOME`], of a single person in 2026.
pub fn earns(yearly: u64) -> Bytes {
    [word(2_026), word(yearly), word(1)].concat().into()
}

fn accepts(schema: &str, issuer: &Account) -> Bytes {
    let source = EasSchema {
        chain_id: 31_337,
        contract: REGISTRY,
        schema: schema_uid(schema, Address::ZERO, true),
        resolver: Address::ZERO,
        revocable: true,
    };
    let accepts = Accepts {
        source: Source::EasOffchain(source),
        schema_text: schema.into(),
        issuers: vec![issuer.address()],
        contract_issuers: vec![SAFE, VAULT],
        max_age_secs: None,
        subject: SubjectIn::Recipient,
    };
    borsh::to_vec(&accepts).expect("writing to memory cannot fail").into()
}

impl World {
    /// A command of an office, under its mandate or, where it needs none, without; signed again while this node's reads
    /// are behind what its answers said.
    pub async fn command_of(&self, node: &Node, office: &Office, mandate: B256, action: Action) -> Outcome {
        eventually("a command that is not overtaken", || async {
            let outcome = self.command_of_once(node, office, mandate, action.clone()).await;
            match &outcome.entry.body {
                Body::CommandRefused(refused) if refused.code == Code::Stale => None,
                _ => Some(outcome),
            }
        })
        .await
    }

    async fn command_of_once(&self, node: &Node, office: &Office, mandate: B256, action: Action) -> Outcome {
        let charter = eventually("the Charter is read", || async { node.home_charter() }).await;
        let id = DemandId(Uuid::now_v7());
        let signer = office.key.signer_bytes();
        let mut command = Command {
            action,
            subject_version: node.follower().seq(),
            reason: "a test".into(),
            valid_at: 0,
            deadline: FAR * 1_000,
            mandate,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: Vec::new(),
        };
        let digest = command_digest(&command, id, office.id, charter.charter).expect("signed alone");
        let signature = office.key.sign_digest(digest).expect("signs");
        command.approvals = vec![Approval { authority: office.id, signer, signature }];
        decided(node, node.submit(id, Demand::Command(command)).await.expect("accepted")).await
    }

    /// Makes an office known, with the mandate to propose rules.
    async fn office(&self, node: &Node, name: &str, id: u8) -> Office {
        let (id, key) = (B256::repeat_byte(id), account(name));
        let authority =
            AuthorityTerms { authority: id, name: name.into(), signers: vec![key.signer_bytes()] };
        done(&self.command(node, Action::RegisterAuthority(authority), 2).await);
        let holder = format!("holder = \"{id}\"\nname = \"{name}\"\nversion = \"1\"\n");
        let (mandate, _) = Mandate::build(&holder, &sample("mandates/eligibility-agency.cedar"))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let terms = MandateTerms { holder: id, text: mandate.encode().into() };
        let granted = self.command(node, Action::GrantMandate(terms.clone()), 2).await;
        Office { id, key, mandate: terms.id(done(&granted).id) }
    }

    /// Rules proposed by their owner, approved by two institutions of the Charter, activated by their owner. Returns
    /// their name.
    pub async fn enact(&self, node: &Node, owner: &Office, terms: RulesTerms) -> B256 {
        let rules = self.propose(node, owner, terms).await;
        self.activate(node, owner, rules).await;
        rules
    }

    /// The first two steps of [`Self::enact`].
    pub async fn propose(&self, node: &Node, owner: &Office, terms: RulesTerms) -> B256 {
        let rules = terms.hash();
        done(&self.command_of(node, owner, owner.mandate, Action::ProposeRules(terms)).await);
        done(&self.command(node, Action::ApproveRules { rules }, 2).await);
        rules
    }

    /// The last step of [`Self::enact`]; returns its position.
    pub async fn activate(&self, node: &Node, owner: &Office, rules: B256) -> u64 {
        let activate = Action::ActivateRules { rules, at: 0 };
        let activated = self.command_of(node, owner, B256::ZERO, activate).await;
        done(&activated);
        activated.entry.seq
    }

    /// Everything up to an open GATED round with this list.
    pub async fn open_gated(&self, node: &Node, round: &mut RoundTerms) -> Gated {
        let created = self.command(node, Action::CreateCampaign(self.campaign_terms()), 1).await;
        assert!(matches!(created.entry.body, Body::CampaignCreated(_)), "{:?}", created.entry.body);
        let ministry = self.office(node, "ministry", 0x11).await;
        let agency = self.office(node, "agency", 0x22).await;
        let (of_ministry, of_agency) = (residency(|text| text), income());
        let rule_sets = [&of_ministry, &of_agency].map(|terms| lineage_id(terms.owner, &terms.lineage));
        let rules =
            [self.enact(node, &ministry, of_ministry).await, self.enact(node, &agency, of_agency).await];
        self.set_up_registry().await;
        let issuer = account("issuer");
        let attestations = [("residency", RESIDENCY), ("income", INCOME)].map(|(name, schema)| {
            AcceptedAttestation { name: name.into(), accepts: accepts(schema, &issuer) }
        });
        let gate = GateTerms {
            campaign: self.campaign,
            version: GATE,
            rule_sets: rule_sets.to_vec(),
            attestations: attestations.to_vec(),
            signer: account("gate").signer_bytes(),
        };
        done(&self.command(node, Action::DefineGate(gate.clone()), 2).await);
        let (distributor, version) = (self.distributor, u64::from(GATE));
        let (signer, rules_hash) = (gate.signer.clone(), gate.hash());
        let install = ChainAction::InstallGate { distributor, version, signer: signer.clone(), rules_hash };
        let data = calls::install_gate(version, signer, rules_hash, &self.approve(&install)).expect("fits");
        self.act("installGate", data).await;
        (round.mode, round.gate, round.rules_hash) = (RoundMode::Gated, version, rules_hash);
        self.publish_round(node, round).await;
        Gated { ministry, agency, rules, gate, issuer }
    }

    /// A call of the Distributor, waited for.
    pub async fn act(&self, name: &'static str, data: Bytes) {
        self.operator.send(name, Some(self.distributor), data, U256::ZERO).await.expect(name);
    }

    /// From now on this issuer stands by every signature: code that answers ERC-1271's magic value.
    pub async fn consent_to_all(&self, issuer: Address) {
        self.anvil("anvil_setCode", json!([issuer, "0x631626ba7e60e01b60005260206000f3"])).await;
        self.mine(1).await;
    }

    /// A registry in EVM code: `getRevokeOffchain(revoker, uid)`, of 68 bytes, answers what its storage has under the uid.
    /// Called with issuer and uid alone it notes the time under the uid and logs `RevokedOffchain(issuer, uid, time)`.
    async fn set_up_registry(&self) {
        let code = format!(
            "0x3660441460385742602035818155600035\
             7f{}60006000a4005b6024355460005260206000f3",
            hex::encode(keccak256("RevokedOffchain(address,bytes32,uint64)"))
        );
        self.anvil("anvil_setCode", json!([REGISTRY, code])).await;
    }

    /// The registry says that an attestation was revoked.
    pub async fn revoke_on_chain(&self, attestation: &Attestation) {
        let said = [attestation.issuer.into_word(), attestation.uid()].concat();
        self.operator.send("revoke", Some(REGISTRY), said.into(), U256::ZERO).await.expect("revoked");
    }

    /// Hands in an attestation of the issuer about somebody.
    pub async fn attest(
        &self,
        node: &Node,
        issuer: &Account,
        about: Address,
        schema: &str,
        data: Bytes,
    ) -> Attestation {
        let attestation = self.signed_attestation(issuer, issuer.address(), about, schema, data);
        let text = attestation.eas_json().expect("of EAS").to_string();
        // The gate may not have reached the stage's follower, or its chain not answer at once: then again.
        eventually("the attestation is kept", || async {
            node.attestations().submit(text.clone()).await.ok()
        })
        .await;
        attestation
    }

    /// An attestation about somebody in the name of `stated`, signed by a key.
    pub fn signed_attestation(
        &self,
        key: &Account,
        stated: Address,
        about: Address,
        schema: &str,
        data: Bytes,
    ) -> Attestation {
        let statement = EasOffchain {
            domain: EasDomain { version: "1.3.0".into(), chain_id: 31_337, contract: REGISTRY },
            version: EasVersion::V2 { salt: keccak256(about) },
            schema: schema_uid(schema, Address::ZERO, true),
            recipient: about,
            time: 1_790_000_000,
            expiration_time: 0,
            revocable: true,
            ref_uid: B256::ZERO,
            data,
        };
        let signature = key.sign_digest(statement.digest()).expect("signs");
        Attestation { issuer: stated, statement: Statement::EasOffchain(statement), signature }
    }

    /// Somebody is attested as a resident with a small income.
    pub async fn attest_both(&self, node: &Node, gated: &Gated, about: Address) {
        self.attest(node, &gated.issuer, about, RESIDENCY, resident_of("DE")).await;
        self.attest(node, &gated.issuer, about, INCOME, earns(9_000)).await;
    }

    /// What the gate's key signs: these of the first word, and no others yet.
    pub fn gate_signs(&self, node: &Node, gated: &Gated, indexes: &[u64], expiry: u64) -> GateSigned {
        let mut mask = [0; 4];
        for index in indexes {
            mask[usize::try_from(index / 64).expect("below 4")] |= 1 << (index % 64);
        }
        let content = GateContent {
            mask: WordMask { round: 1, word: 0, mask },
            as_of_seq: node.follower().seq(),
            expiry,
        };
        let digest =
            gate_digest(self.distributor_ref(), GATE.into(), gated.gate.hash(), &content).expect("fits");
        let signature = account("gate").sign_digest(digest).expect("signs");
        let word = GateMask { round: 1, word: 0, mask, as_of: content.as_of_seq, expiry, signature };
        GateSigned { campaign: self.campaign, version: GATE, words: vec![word] }
    }
}

/// The command of an entry in which it took effect.
pub fn done(outcome: &Outcome) -> &Commanded<Done> {
    match &outcome.entry.body {
        Body::Ordered(ordered) => ordered,
        other => panic!("{other:?}"),
    }
}

/// What is kept beside an entry.
pub async fn kept(node: &Node, seq: u64) -> KeptClaim {
    let kept = node.store().facts_of(STREAM, seq).await.expect("an answer").expect("the facts are kept");
    let KeptFacts::Open(bytes) = kept else { panic!("a node opens them") };
    unsalted(&bytes).expect("facts")
}
