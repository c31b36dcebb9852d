//! The gate-signer: a process of its own, on its own host, with the gate's key. It follows the log as any node does, but
//! never leads and writes nothing; it verifies every claim of its gates again and signs, word by word, what it could
//! confirm (CONTRACTS.md, "Gate"). Whether it runs delays payments of gated rounds and nothing else.

mod again;
mod ground;
mod masks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Bytes;
use sha2::{Digest, Sha256};
use sluice_chain::Chain;
use sluice_chain::actions::gate_digest;
use sluice_chain::calls::GateContent;
use sluice_chain::signer::Account;
use sluice_core::ids::{CampaignId, ChainId, ContractRef, DemandId, EntitlementId, Millis, Seq, StreamId};
use sluice_core::limits::FOLLOW_ROWS_MAX;
use sluice_core::log::entry::{Body, ClaimDecided, Entry, GateMask, GateSigned, WordMask};
use sluice_core::log::note::{LogKey, Origin};
use sluice_core::state::State;
use sluice_store::{Options, SealKey, Store};

use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::{Committed, Follower};
use crate::recover::signer_of;
use crate::snapshots::Snapshots;
use crate::verify::Verifier;
use again::{Again, Doubt};
use ground::Grounds;
use masks::{Due, Masks};

/// Claims verified at a time: enough to hide the database's latency.
const AT_ONCE_MAX: usize = 64;

/// What a gate-signer is started with.
#[derive(Clone)]
pub struct GateSignerConfig {
    /// Which log.
    pub stream: StreamId,
    /// Where Postgres is; reading suffices.
    pub database_url: String,
    /// The folder in which snapshots lie.
    pub snapshots: PathBuf,
    /// The chains with the stream's Charters there.
    pub chains: BTreeMap<ChainId, (Chain, alloy_primitives::Address)>,
    /// The chain whose Charter founds the stream.
    pub home: ChainId,
    /// The gate's key.
    pub key: Account,
    /// A word is signed at most once within this time.
    pub interval: Duration,
    /// Opens the attestations and facts that nodes keep sealed; theirs.
    pub seal_secret: [u8; 32],
}

impl std::fmt::Debug for GateSignerConfig {
    /// Without the database's password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stream, snapshots, chains, key, interval, .. } = self;
        f.debug_struct("GateSignerConfig")
            .field("stream", stream)
            .field("snapshots", snapshots)
            .field("chains", &chains.keys())
            .field("key", &key.address())
            .field("interval", interval)
            .finish_non_exhaustive()
    }
}

/// Follows the log, verifies claims again, signs masks.
#[derive(Debug)]
pub struct GateSigner {
    stream: StreamId,
    key: Account,
    signer: Bytes,
    interval: Millis,
    store: Store,
    follower: Follower,
    again: Again,
    grounds: Grounds,
    masks: Masks,
    /// Signed and not yet answered by the log, per campaign and gate version.
    sent: BTreeMap<(CampaignId, u16), Sent>,
    incidents: Vec<Incident>,
}

/// Masks on their way into the log.
#[derive(Clone, Debug)]
struct Sent {
    id: DemandId,
    words: GateSigned,
    at: Millis,
}

/// Something in the log that this process does not stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The entry.
    pub seq: Seq,
    /// The campaign.
    pub campaign: CampaignId,
    /// The entitlement, if it is about one.
    pub entitlement: Option<EntitlementId>,
    /// What was found.
    pub what: String,
}

/// Incidents kept for whoever asks; all of them are in this process's own log.
const INCIDENTS_KEPT_MAX: usize = 1_000;

/// The id under which masks are handed in: derived from campaign, gate version and the position they were read at, so that
/// a repetition is the same demand, and nobody who repeats parts of what was signed makes more rows than there were
/// signatures.
pub fn gate_words_id(signed: &GateSigned) -> DemandId {
    let as_of = signed.words.iter().map(|word| word.as_of).max().unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"sluice gate words\0");
    hash.update(signed.campaign.0.as_bytes());
    hash.update(signed.version.to_be_bytes());
    hash.update(as_of.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    DemandId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

impl GateSigner {
    /// Connects, refuses keys that are a sequencer's, and reads back what it signed before.
    ///
    /// # Errors
    /// When the database or a chain cannot be reached, or the configuration cannot be right.
    pub async fn start(config: GateSignerConfig) -> Result<Self, EngineError> {
        let store = Store::connect(&config.database_url, Options::default())
            .await?
            .with_seal_key(SealKey::new(&config.seal_secret));
        store.check_seal_key(config.stream).await?;
        for (id, (chain, charter)) in &config.chains {
            ground::not_a_sequencer(*id, chain, *charter, &config.key).await?;
        }
        let (_, charter) = config
            .chains
            .get(&config.home)
            .ok_or_else(|| EngineError::Config(format!("home: chain {} is not configured", config.home)))?;
        let origin = Origin::new(ContractRef { chain_id: config.home, address: *charter }, config.stream);
        // Nothing is ever signed with this key: a follower that answers nobody needs one all the same.
        let follower = Follower::new(config.stream, LogKey::new(&origin, &[1; 32]));
        let snapshots = Snapshots::new(&config.snapshots);
        let chains: BTreeMap<ChainId, Chain> =
            config.chains.iter().map(|(id, (chain, _))| (*id, chain.clone())).collect();
        let chains = Arc::new(chains);
        let clock = Arc::new(DatabaseClock::new(store.database_now().await?));
        let verifier =
            Verifier::new(follower.clone(), snapshots.clone(), store.clone(), Arc::clone(&chains), clock);
        let mut gate_signer = Self {
            stream: config.stream,
            signer: config.key.signer_bytes(),
            key: config.key,
            interval: Millis::try_from(config.interval.as_millis()).unwrap_or(Millis::MAX),
            again: Again::new(store.clone(), verifier),
            grounds: Grounds::new(snapshots, chains),
            store,
            follower,
            masks: Masks::default(),
            sent: BTreeMap::new(),
            incidents: Vec::new(),
        };
        gate_signer.read_back().await?;
        Ok(gate_signer)
    }

    /// The position it has read to.
    pub fn seq(&self) -> Seq {
        self.follower.seq()
    }

    /// State as this process knows it.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// What it does not stand for, oldest first.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// One step: follows the log to its end, signs what is due, and returns what the log does not have yet, to be handed
    /// in to any node, in any order, as often as one likes.
    ///
    /// # Errors
    /// When something cannot be reached or read: try again, nothing was passed over. One of
    /// [`crate::error::Class::Exit`] is the end.
    pub async fn tick(&mut self) -> Result<Vec<GateSigned>, EngineError> {
        while self.follow().await? {}
        self.follower.compare(&self.store).await?;
        let now = self.store.database_now().await?;
        self.sign(now).await?;
        Ok(self.sent.values().map(|sent| sent.words.clone()).collect())
    }

    /// What this key signed before stands in the log: claims under it need not be verified again.
    async fn read_back(&mut self) -> Result<(), EngineError> {
        let mut seq = 0;
        let mut known = State::new(self.stream).unhashed();
        loop {
            let rows = self.store.read_log(self.stream, seq, FOLLOW_ROWS_MAX).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            seq = last.seq;
            for row in &rows {
                let entry = row.decode()?;
                known.apply(&entry)?;
                if let Body::GateSigned(answered) = &entry.body {
                    self.masks.take_back(answered.signed.campaign, self.mine(&known, &answered.signed));
                }
            }
        }
    }

    /// The words of these that this key signed, with everything that the contract will put beside them.
    fn mine(&self, state: &State, signed: &GateSigned) -> Vec<GateMask> {
        let Some(campaign) = state.campaign(signed.campaign) else { return Vec::new() };
        let is_mine = |word: &&GateMask| {
            let rules_hash = campaign.round(word.round).map(|round| round.terms.rules_hash);
            let content = GateContent {
                mask: WordMask { round: word.round, word: word.word, mask: word.mask },
                as_of_seq: word.as_of,
                expiry: word.expiry,
            };
            let digest = rules_hash.and_then(|rules| {
                gate_digest(campaign.terms.distributor, signed.version.into(), rules, &content).ok()
            });
            digest.is_some_and(|digest| signer_of(digest, &word.signature) == Some(self.key.address()))
        };
        signed.words.iter().filter(is_mine).cloned().collect()
    }

    /// Reads the next rows, each claim of ours verified at its position before State moves past it. Says whether there
    /// may be more.
    async fn follow(&mut self) -> Result<bool, EngineError> {
        let rows = self.store.read_log(self.stream, self.follower.seq(), FOLLOW_ROWS_MAX).await?;
        let more = !rows.is_empty();
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            entries.push(Committed { entry: row.decode()?, bytes: row.entry });
        }
        let mut rest = entries.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|row| is_claim(&row.entry)).take(AT_ONCE_MAX).count();
            let (now, later) = rest.split_at(run.max(1));
            if run == 0 {
                self.pass(first)?;
            } else {
                self.claims(now).await?;
            }
            rest = later;
        }
        Ok(more)
    }

    /// An entry that is no claim.
    fn pass(&mut self, row: &Committed) -> Result<(), EngineError> {
        self.follower.advance(vec![row.clone()])?;
        let Entry { seq, body, .. } = &row.entry;
        match body {
            Body::GateSigned(answered) => {
                let signed = &answered.signed;
                let mine = self.follower.read(|state| self.mine(state, signed));
                if mine.len() < signed.words.len() && self.is_my_gate(signed.campaign, signed.version) {
                    let what = "the log holds masks that this key did not sign; their words are stuck".into();
                    self.tell(Incident { seq: *seq, campaign: signed.campaign, entitlement: None, what });
                }
                self.masks.take(signed.campaign, mine, row.entry.recorded_at);
                self.sent.retain(|_, sent| sent.id != answered.id);
            }
            Body::CommandRefused(refused) => {
                let sent = self.sent.extract_if(.., |_, sent| sent.id == refused.id).next();
                if let Some(((campaign, _), _)) = sent {
                    let what = format!("the log refused masks of this gate: {}", refused.code.as_str());
                    self.tell(Incident { seq: *seq, campaign, entitlement: None, what });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_my_gate(&self, campaign: CampaignId, version: u16) -> bool {
        self.follower.read(|s| {
            s.campaign(campaign)
                .and_then(|c| c.gates.get(&version))
                .is_some_and(|g| g.terms.signer == self.signer)
        })
    }

    /// A run of claims: verified at once against the state before the first, which differs from that before each other
    /// one by claims alone, and decided again one by one.
    async fn claims(&mut self, run: &[Committed]) -> Result<(), EngineError> {
        let mut asked = BTreeSet::new();
        for row in run {
            let Body::ClaimDecided(claim) = &row.entry.body else { continue };
            let Some(terms) = self.follower.read(|state| ground::gated_by(state, claim, &self.signer)) else {
                continue;
            };
            let place = (claim.intake.campaign, claim.entitlement);
            if self.masks.has(place.0, place.1) {
                continue;
            }
            if let Err(what) = self.grounds.check(&terms).await? {
                self.doubt(row, claim, what);
                continue;
            }
            asked.insert(row.entry.seq);
        }
        if asked.is_empty() {
            return self.follower.advance(run.to_vec());
        }
        let wanted = run.iter().filter(|row| asked.contains(&row.entry.seq)).map(|row| row.entry.clone());
        let mut found = self.again.verify_all(wanted.collect()).await?;
        for row in run {
            if let (Body::ClaimDecided(claim), Some(verified)) =
                (&row.entry.body, found.remove(&row.entry.seq))
            {
                let confirmed = verified.and_then(|input| {
                    self.follower.read(|state| again::decides(state, &input, &row.entry, claim))
                });
                match confirmed {
                    Ok(()) => self.masks.confirm(claim.intake.campaign, claim.entitlement),
                    Err(Doubt(what)) => self.doubt(row, claim, what),
                }
            }
            self.follower.advance(vec![row.clone()])?;
        }
        Ok(())
    }

    fn doubt(&mut self, row: &Committed, claim: &ClaimDecided, what: String) {
        let (campaign, entitlement) = (claim.intake.campaign, Some(claim.entitlement));
        self.tell(Incident { seq: row.entry.seq, campaign, entitlement, what });
    }

    fn tell(&mut self, incident: Incident) {
        let Incident { seq, campaign, entitlement, what } = &incident;
        let (round, index) = entitlement.map_or((0, 0), |id| (id.round, id.index));
        tracing::error!(seq, %campaign, round, index, "incident: {what}");
        if self.incidents.len() < INCIDENTS_KEPT_MAX {
            self.incidents.push(incident);
        }
    }

    /// Signs what is due. What was sent and not answered is sent again as it is until the interval is over.
    async fn sign(&mut self, now: Millis) -> Result<(), EngineError> {
        let gated = self.follower.read(|state| masks::rounds_of(state, &self.signer));
        for round in gated {
            let grace = match self.grounds.grace(round.distributor).await? {
                Some(grace) => grace,
                None => continue,
            };
            self.masks.closes(&round, grace);
        }
        let interval = self.interval;
        self.sent.retain(|_, sent| now.saturating_sub(sent.at) < interval);
        let sent: BTreeSet<_> = self.sent.keys().copied().collect();
        let due = self.follower.read(|state| self.masks.due(state, &self.signer, now, interval, &sent));
        for Due { campaign, version, distributor, rules_hash, words } in due {
            let as_of = self.follower.seq();
            let mut signed = Vec::with_capacity(words.len());
            for (mask, expiry) in words {
                let content = GateContent { mask, as_of_seq: as_of, expiry };
                let rules = rules_hash.get(&mask.round).copied().unwrap_or_default();
                let digest = gate_digest(distributor, version.into(), rules, &content)?;
                let WordMask { round, word, mask } = mask;
                let signature = self.key.sign_digest(digest)?;
                signed.push(GateMask { round, word, mask, as_of, expiry, signature });
            }
            self.masks.signed(campaign, &signed, now);
            let words = GateSigned { campaign, version, words: signed };
            let id = gate_words_id(&words);
            tracing::info!(%campaign, version, words = words.words.len(), as_of, "masks signed");
            self.sent.insert((campaign, version), Sent { id, words, at: now });
        }
        Ok(())
    }
}

fn is_claim(entry: &Entry) -> bool {
    matches!(entry.body, Body::ClaimDecided(_) | Body::ClaimRefused(_))
}
