//! A gated campaign's log in a database, with real rule sets, kept facts and signed checkpoints.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::command::{Action, RoundMode, RulesTerms};
use sluice_core::decide::{About, ClaimFault, GateVerdict, Input, VerifiedClaim};
use sluice_core::ids::{ContractRef, DemandId, Seq, StreamId};
use sluice_core::log::entry::{Body, ChainEvent, Entry, Erased as ErasedEntry};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note::{LogKey, LogVerifier, Origin, TreeHead};
use sluice_core::refusal::Code;
use sluice_core::sequencer::Facts;
use sluice_core::state::State;
use sluice_embedded::testing::TestDatabase;
use sluice_engine::evidence::LogSource;
use sluice_engine::facts::salted;
use sluice_gate::rules::{
    AttestationFacts, ClaimFacts, Compiled, PolicySource, RefusedClaim, RuleSet, Sources, Value, evaluate,
};
use sluice_store::{Append, Destroys, Erased, LeaderSession, LogRow, Options, SealKey, Store};
use sqlx::{Connection, PgConnection};

use crate::institutions::{gate, institution, signer};
use crate::world::{CHAIN, World, amount, campaign, recipient, sum};

pub(crate) const STREAM: StreamId = StreamId(1);
/// A checkpoint every so many entries: what an edit with recomputed leaves is narrowed down to.
pub(crate) const EVERY: u64 = 4;

const MANIFEST: &str = r#"
owner = "0x0101010101010101010101010101010101010101010101010101010101010101"
lineage = "adults"
version = "2026-1"

[attestations.residency]
schema = "S1"
required = true
fields = { country = "string" }
"#;

const POLICIES: &str = r#"
@id("residents")
@reason("not_resident")
permit (principal, action, resource)
when { context.attestations.residency.country == "DE" };
"#;

pub(crate) fn log_key(secret: u8) -> LogKey {
    let charter = ContractRef { chain_id: CHAIN, address: Address::repeat_byte(0xcc) };
    LogKey::new(&Origin::new(charter, STREAM), &[secret; 32])
}

pub(crate) fn keys() -> Vec<LogVerifier> {
    vec![log_key(5).verifier()]
}

pub(crate) fn uid(index: u64) -> B256 {
    B256::left_padding_from(&(0xa77e_0000 + index).to_be_bytes())
}

/// A log that is being made, with the facts that lie beside it.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) rules: B256,
    compiled: Compiled,
    pub(crate) facts: BTreeMap<Seq, Vec<u8>>,
    pub(crate) claims: BTreeMap<u64, DemandId>,
}

impl Story {
    /// Round 1 of 20, gated by a rule set that wants residents.
    pub(crate) fn new() -> Self {
        let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(POLICIES), never: "" };
        let (set, compiled) = RuleSet::build(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        let mut world = World::new();
        world.create(campaign(1));
        let terms = RulesTerms { owner: institution(1), lineage: "adults".into(), text: set.encode().into() };
        let rules = terms.hash();
        let lineage = terms.lineage_id();
        world.order(&[1], Action::ProposeRules(terms));
        world.order(&[2], Action::ApproveRules { rules });
        world.order(&[1], Action::ActivateRules { rules, at: 0 });
        let gate = gate(1, vec![lineage]);
        world.order(&[1, 2], Action::DefineGate(gate.clone()));
        let mut round = world.terms(campaign(1), 1, 20, RoundMode::Gated);
        (round.gate, round.rules_hash) = (1, gate.hash());
        let publish = world.command(Action::Publish(round));
        assert!(matches!(world.submit(vec![publish])[..], [Body::RoundPublished(_)]));
        world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..20) }]);
        world.open_round(campaign(1), 1);
        Self { world, rules, compiled, facts: BTreeMap::new(), claims: BTreeMap::new() }
    }

    /// A claim of a resident of a country, as verification would answer it.
    pub(crate) fn asked(&mut self, index: u64, country: &str) -> (VerifiedClaim, Vec<u8>) {
        let mut claim = self.world.claim(index);
        let data = BTreeMap::from([("country".to_owned(), Value::Text(country.to_owned()))]);
        let residency = AttestationFacts { schema: "S1".into(), issuer: "0xaa".into(), data };
        let facts = ClaimFacts {
            campaign: campaign(1),
            round: 1,
            index,
            recipient: recipient(index),
            to: recipient(index),
            amount: amount(index),
            decimals: 18,
            person: None,
            accepted_at: claim.accepted_at,
            attestations: BTreeMap::from([("residency".to_owned(), residency)]),
        };
        let said = evaluate(&[&self.compiled], &facts);
        let policies = said.policies();
        let kept = match said.refusal.clone() {
            None => facts.encode(),
            Some(refusal) => RefusedClaim::new(facts, policies.clone(), vec![uid(index)], refusal).encode(),
        };
        let bytes = salted(&kept);
        let verdict = GateVerdict {
            gate: 1,
            rule_sets: vec![self.rules],
            policies,
            attestations: vec![uid(index)],
            as_of: self.world.state().seq,
            facts: bytes.clone(),
        };
        match said.refusal {
            None => claim.verdict.as_mut().unwrap().gate = Some(verdict),
            Some(_) => {
                claim.verdict =
                    Err(ClaimFault { code: Code::RuleRefused, gate: Some(verdict), person: None });
            }
        }
        (claim, bytes.to_vec())
    }

    pub(crate) fn decide(&mut self, claim: VerifiedClaim, facts: Vec<u8>) -> Body {
        let (index, id) = (claim.claim.index, claim.id);
        let body = self.world.submit(vec![Input::Claim(claim)]).pop().unwrap();
        self.facts.insert(self.world.state().seq, facts);
        self.claims.insert(index, id);
        body
    }

    pub(crate) fn claim(&mut self, index: u64, country: &str) -> Body {
        let (claim, facts) = self.asked(index, country);
        self.decide(claim, facts)
    }

    /// The gate signs for these, and they are paid finally.
    pub(crate) fn pay(&mut self, indexes: &[u64]) -> Vec<u64> {
        let mask = self.world.mask(indexes.iter().copied());
        assert!(self.world.signs(mask));
        self.world.settle()
    }

    /// Residents 1 to 4 claim, 5 is refused, 1 to 3 are paid, 3 was held for a while.
    pub(crate) fn told() -> Self {
        let mut story = Self::new();
        for index in 1..=4 {
            assert!(matches!(story.claim(index, "DE"), Body::ClaimDecided(_)));
        }
        assert!(matches!(story.claim(5, "FR"), Body::ClaimRefused(_)));
        let (hold, _) = story.world.order(&[1], crate::institutions::hold_of(&[3]));
        assert_eq!(story.pay(&[1, 2]), [1, 2]);
        story.world.order(&[1], Action::Release { hold });
        assert_eq!(story.pay(&[1, 2, 3]), [3]);
        story
    }

    /// The log in a database of its own.
    pub(crate) async fn stored(&self) -> Ground {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let database = TestDatabase::new(&root.join("migrations")).await.unwrap();
        let store = Store::connect(database.url(), Options { connections: 2 }).await.unwrap();
        let store = store.with_seal_key(SealKey::new(&[0x5e; 32]));
        let mut session = LeaderSession::open(&store, STREAM).await.unwrap();
        session.take_epoch("a test", Duration::from_secs(600), 0).await.unwrap().unwrap();
        let rows = rows(&self.world.log, &self.world.encoded);
        let kept = |(seq, body): (&Seq, &Vec<u8>)| Facts {
            seq: *seq,
            about: About::Recipient(about(&self.world.log[*seq as usize - 1])),
            bytes: body.clone().into(),
        };
        let facts = self.facts.iter().map(kept).collect();
        session.append(&Append { first: 1, rows, facts, ..Append::default() }).await.unwrap();
        let ground = Ground { database, store, session, last: self.world.log.len() as u64 };
        ground.checkpoint(&self.world.log, &self.world.encoded, 1).await;
        ground
    }
}

fn rows(entries: &[Entry], encoded: &[Vec<u8>]) -> Vec<LogRow> {
    let row = |(entry, bytes): (&Entry, &Vec<u8>)| LogRow {
        kind: entry.body.kind(),
        entry: bytes.clone(),
        leaf: leaf_hash(bytes),
        intake: entry.body.intake(),
    };
    entries.iter().zip(encoded).map(row).collect()
}

/// Who claimed.
fn about(entry: &Entry) -> Address {
    match &entry.body {
        Body::ClaimDecided(claim) => claim.recipient,
        Body::ClaimRefused(claim) => recipient(claim.entitlement.index),
        other => panic!("{other:?}"),
    }
}

/// A log in a database.
pub(crate) struct Ground {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    session: LeaderSession,
    pub(crate) last: Seq,
}

impl Ground {
    /// Signs a checkpoint every few entries from a position on, and one at the end.
    async fn checkpoint(&self, log: &[Entry], encoded: &[Vec<u8>], from: Seq) {
        let (mut state, mut tree) = (State::new(STREAM), Frontier::default());
        for (entry, bytes) in log.iter().zip(encoded) {
            state.apply(entry).unwrap();
            tree.push(leaf_hash(bytes));
            if entry.seq >= from && (entry.seq.is_multiple_of(EVERY) || entry.seq == self.last) {
                let (size, hash) = (entry.seq, state.hash());
                let head = TreeHead {
                    origin: log_key(5).origin().clone(),
                    size,
                    root: tree.root(),
                    state_hash: Some(hash),
                };
                self.store.add_checkpoint(STREAM, size, &log_key(5).sign(&head), &hash).await.unwrap();
            }
        }
    }

    /// Appends the entry that says what is destroyed, and destroys it, as a leader does; then a checkpoint.
    pub(crate) async fn destroy(&mut self, story: &mut Story, destroys: Destroys) -> Erased {
        let (order, from) = (destroys.order, story.world.log.len());
        let body = ErasedEntry {
            order,
            facts: destroys.facts.clone(),
            attestations: destroys.attestations.len() as u64,
        };
        assert!(story.world.takes(Body::Erased(body)));
        let (first, last) = (from as u64 + 1, story.world.log.len() as u64);
        let rows = rows(&story.world.log[from..], &story.world.encoded[from..]);
        let destroys = vec![Destroys { seq: last, ..destroys }];
        self.session.append(&Append { first, rows, destroys, ..Append::default() }).await.unwrap();
        self.last = last;
        self.checkpoint(&story.world.log, &story.world.encoded, first).await;
        self.store.erasure(order).await.unwrap().unwrap()
    }

    pub(crate) fn source(&self) -> LogSource {
        LogSource::Database { store: self.store.clone(), stream: STREAM }
    }

    /// Does what only a superuser can: the guards are off while these statements run.
    pub(crate) async fn as_superuser(&self, statements: &str) {
        let mut raw = PgConnection::connect(self.database.url()).await.unwrap();
        let off = "SET session_replication_role = replica;";
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{off}\n{statements}"))).execute(&mut raw).await.unwrap();
    }

    /// An entry's bytes replaced, its leaf hash, too.
    pub(crate) async fn rewrite(&self, seq: Seq, entry: &Entry) {
        let bytes = entry.encode();
        let (entry, leaf) =
            (alloy_primitives::hex::encode(&bytes), alloy_primitives::hex::encode(leaf_hash(&bytes)));
        let sql = format!(r"UPDATE log SET entry = '\x{entry}', leaf = '\x{leaf}' WHERE seq = {seq}");
        self.as_superuser(&sql).await;
    }

    pub(crate) async fn entry(&self, seq: Seq) -> Entry {
        self.store.read_log(STREAM, seq - 1, 1).await.unwrap().remove(0).decode().unwrap()
    }
}

/// A key that belongs to nobody here.
pub(crate) fn stranger() -> Bytes {
    signer(0x99)
}
