//! Attestations on their way in: a stage of its own with its own bounded queue and workers, which shares nothing with
//! claims but the processor. What is kept passed every check that needs no claim, by the allow-list of some gate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use sluice_chain::Chain;
use sluice_core::ids::ChainId;
use sluice_core::limits::{ATTESTATION_LOOKUPS_MAX, ATTESTATIONS_LOOKED_UP_MAX};
use sluice_gate::attestation::{
    Attestation, AttestationCode, EasRecord, Need, Refused, Statement, SubjectIn, Submission, Value, Verdict,
    check, read,
};
use sluice_store::{ATTESTATIONS_GROUP_MAX, NewAttestation, Store};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::DatabaseClock;
use crate::error::EngineError;
use crate::follower::Follower;
use crate::recent::{AsSigned, Held};
use crate::verify::attested::{Asker, Attested, REVOCATIONS_TOGETHER, is_no_registry};
use crate::verify::gates::{Asked, Gates, schema_key};

/// Attestations waiting to be checked; more are answered 503 before any work.
pub const ATTESTATIONS_WAITING_MAX: usize = 4_096;
/// How often it is looked whether what is held is too old.
const AGE_EVERY: Duration = Duration::from_secs(60);
/// When to come back while the queue is full.
const COME_BACK: Duration = Duration::from_secs(1);

/// Takes attestations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Attestations {
    queue: mpsc::Sender<Waiting>,
    attested: Arc<Attested>,
}

/// What became of an attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What tells it apart.
    pub id: B256,
    /// Its uid, as its system names it.
    pub uid: B256,
    /// Whether it was there before.
    pub known: bool,
}

/// Why an attestation was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// The queue is full.
    #[error("too many attestations are waiting")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// It cannot count for any gate.
    #[error("{0}")]
    Refused(Refused),
    /// It could not be checked or kept now.
    #[error("the attestation could not be checked or kept now")]
    Unavailable(#[source] Arc<EngineError>),
}

#[derive(Debug)]
struct Waiting {
    text: String,
    answer: oneshot::Sender<Result<Kept, AttestationError>>,
}

/// What the workers need.
#[derive(Clone, Debug)]
struct Stage {
    follower: Follower,
    chains: Arc<BTreeMap<ChainId, Chain>>,
    clock: Arc<DatabaseClock>,
    gates: Arc<Gates>,
    attested: Arc<Attested>,
    kept: mpsc::Sender<Checked>,
}

/// A checked attestation on its way to the database.
#[derive(Debug)]
struct Checked {
    row: NewAttestation,
    held: Held,
    item: Waiting,
    kept: Kept,
}

impl Attestations {
    /// The stage, with its worker, its writer and who looks ahead; each runs until nobody can hand in any more. `store` has connections of
    /// its own, so that a flood of attestations holds none that claims need. `chains` are asked about attestations, and
    /// `followed` for what their registries revoke.
    pub(crate) fn new(
        follower: Follower,
        store: Store,
        (chains, followed): (Arc<BTreeMap<ChainId, Chain>>, Vec<Chain>),
        clock: Arc<DatabaseClock>,
        (gates, attested): (Arc<Gates>, Arc<Attested>),
    ) -> (Self, impl Future<Output = ()>, impl Future<Output = ()>, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(ATTESTATIONS_WAITING_MAX);
        let (kept, to_write) = mpsc::channel(ATTESTATIONS_GROUP_MAX);
        let (ahead, to_ask) = mpsc::channel(ATTESTATIONS_WAITING_MAX);
        let answers = Arc::clone(&attested);
        let writing = write_all(store, follower.clone(), to_write, ahead);
        let all = (Arc::clone(&chains), followed);
        let asking = ask_ahead(follower.clone(), Arc::clone(&attested), all, Arc::clone(&clock), to_ask);
        let stage = Stage { follower, chains, clock, gates, attested, kept };
        (Self { queue, attested: answers }, stage.check_all(waiting), writing, asking)
    }

    /// How many look-ups' answers are remembered.
    pub fn answers_remembered(&self) -> usize {
        self.attested.remembered()
    }

    /// Hands in an attestation and waits until it is kept. The same again is no error.
    ///
    /// # Errors
    /// See [`AttestationError`].
    pub async fn submit(&self, text: String) -> Result<Kept, AttestationError> {
        let (answer, answered) = oneshot::channel();
        let busy = |_| AttestationError::Busy { retry_after: COME_BACK };
        self.queue.try_send(Waiting { text, answer }).map_err(busy)?;
        let gone = || AttestationError::Unavailable(Arc::new(EngineError::Stopping));
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Stage {
    /// Checks one after another on a thread for such work: a flood takes one core at most. What needs look-ups waits aside
    /// for them, and is sent away when too many wait: those that need none pass it by.
    async fn check_all(self, mut waiting: mpsc::Receiver<Waiting>) {
        let (to_look_up, looked_up) = mpsc::channel(ATTESTATIONS_LOOKED_UP_MAX);
        let looking_up = self.clone().look_up_all(looked_up);
        let checking = async move {
            while let Some(item) = waiting.recv().await {
                let stage = self.clone();
                let checked = tokio::task::spawn_blocking(move || (stage.pure(&item.text), item)).await;
                let Ok((checked, item)) = checked else { continue };
                match checked {
                    Ok(Pure::Good(attestation)) => {
                        let signed_by_key = attestation.digest().is_some();
                        self.keep(*attestation, signed_by_key, item).await;
                    }
                    Ok(Pure::LookUp(submission)) => {
                        if let Err(full) = to_look_up.try_send((submission, item)) {
                            let (_, item) = full.into_inner();
                            answer(item, Err(AttestationError::Busy { retry_after: COME_BACK }));
                        }
                    }
                    Err(refused) => answer(item, Err(AttestationError::Refused(refused))),
                }
            }
        };
        tokio::join!(checking, looking_up);
    }

    /// Looks up what cannot be said without asking, so many at a time.
    async fn look_up_all(self, mut waiting: mpsc::Receiver<(Box<Submission>, Waiting)>) {
        let slots = Arc::new(Semaphore::new(ATTESTATION_LOOKUPS_MAX));
        while let Some((submission, item)) = waiting.recv().await {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let stage = self.clone();
            tokio::spawn(async move {
                match stage.look_up(*submission).await {
                    // A contract may say otherwise tomorrow, and a registry signs nothing.
                    Ok(attestation) => stage.keep(attestation, false, item).await,
                    Err(error) => answer(item, Err(error)),
                }
                drop(slot);
            });
        }
    }

    /// Everything that can be said without asking anybody.
    fn pure(&self, text: &str) -> Result<Pure, Refused> {
        let submission = read(text)?;
        let Submission::Signed(attestation) = &submission else {
            return Ok(Pure::LookUp(Box::new(submission)));
        };
        match self.by_some_gate(attestation, &Default::default())? {
            Verdict::Passed(_) => Ok(Pure::Good(attestation.clone())),
            Verdict::Needs(..) => Ok(Pure::LookUp(Box::new(submission))),
        }
    }

    /// Judges by every gate's allow-list until one accepts it; the last refusal is told.
    fn by_some_gate(
        &self,
        attestation: &Attestation,
        answers: &sluice_gate::attestation::Answers,
    ) -> Result<Verdict, Refused> {
        let mut refusal =
            Refused::new(AttestationCode::SchemaNotAccepted, "no gate here accepts attestations");
        for asked in self.gates_here() {
            match check(attestation, asked.allowed(), None, answers) {
                Ok(verdict) => return Ok(verdict),
                Err(refused) => refusal = refused,
            }
        }
        Err(refusal)
    }

    /// Every gate here that asks for attestations.
    fn gates_here(&self) -> Vec<Arc<Asked>> {
        self.follower.read(|state| {
            let gates = state.campaigns.values().flat_map(|c| c.gates.values());
            let asking = gates.filter(|gate| !gate.terms.attestations.is_empty());
            asking.filter_map(|gate| self.gates.asked(&gate.terms)).collect()
        })
    }

    async fn look_up(&self, submission: Submission) -> Result<Attestation, AttestationError> {
        let unavailable = |error: EngineError| AttestationError::Unavailable(Arc::new(error));
        let attestation = match submission {
            Submission::Signed(attestation) => *attestation,
            Submission::OnChain { contract, uid } => {
                let named =
                    self.gates_here().iter().any(|asked| asked.allowed().names_registry(contract).is_ok());
                if !named {
                    let refused =
                        Refused::new(AttestationCode::WrongContract, "no gate here asks this registry");
                    return Err(AttestationError::Refused(refused));
                }
                let chain = self.chains.get(&contract.chain_id).ok_or_else(|| {
                    unavailable(EngineError::Config(format!(
                        "chain {} is not configured here",
                        contract.chain_id
                    )))
                })?;
                let asked = chain.eas_attestation(contract.address, uid).await;
                let (found, _) = asked.map_err(|error| match is_no_registry(&error) {
                    true => AttestationError::Refused(Refused::new(
                        AttestationCode::RegistryUnusable,
                        format!("what stands at {} is no registry", contract.address),
                    )),
                    false => unavailable(error.into()),
                })?;
                let record = EasRecord {
                    uid: found.uid,
                    schema: found.schema,
                    time: found.time,
                    expiration_time: found.expiration_time,
                    revocation_time: found.revocation_time,
                    ref_uid: found.ref_uid,
                    recipient: found.recipient,
                    attester: found.attester,
                    revocable: found.revocable,
                    data: found.data,
                };
                Attestation::on_chain(contract, uid, &record).map_err(AttestationError::Refused)?
            }
        };
        let (id, now) = (AsSigned::new(&attestation), self.clock.now());
        let mut answered = self.attested.known(id, now);
        loop {
            match self.by_some_gate(&attestation, answered.answers()) {
                Err(refused) => return Err(AttestationError::Refused(refused)),
                Ok(Verdict::Passed(_)) => return Ok(attestation),
                Ok(Verdict::Needs(needs, _)) => {
                    let looked = self.attested.look_up(Asker::Intake, &self.chains, id, &needs, now).await;
                    answered = looked.map_err(unavailable)?;
                }
            }
        }
    }

    async fn keep(&self, attestation: Attestation, signed_by_key: bool, item: Waiting) {
        let kept = Kept { id: attestation.id(), uid: attestation.uid(), known: false };
        let row = NewAttestation {
            id: kept.id.0,
            uid: kept.uid.0,
            issuer: attestation.issuer.into(),
            schema: schema_key(&attestation.schema()),
            subjects: self.subjects(&attestation),
            signed_by_key,
            body: attestation.encode(),
        };
        let held = Held::new(kept.id, attestation, signed_by_key);
        if let Err(gone) = self.kept.send(Checked { row, held, item, kept }).await {
            answer(gone.0.item, Err(AttestationError::Unavailable(Arc::new(EngineError::Stopping))));
        }
    }

    /// Whom it may be about, by every place a gate looks at: it is found by any of them, and judged when a claim needs it.
    fn subjects(&self, attestation: &Attestation) -> Vec<Vec<u8>> {
        let mut subjects: Vec<Vec<u8>> = match &attestation.statement {
            Statement::EasOffchain(eas) => vec![eas.recipient.to_vec()],
            Statement::EasOnchain(eas) => vec![eas.recipient.to_vec()],
            Statement::SignOffchain(sign) => sign_subjects(sign),
        };
        for asked in self.gates_here() {
            let Ok(Verdict::Passed(passed)) = check(attestation, asked.allowed(), None, &trusting()) else {
                continue;
            };
            let named = asked.allowed().iter().filter_map(|accepts| match &accepts.subject {
                SubjectIn::Field(name) => passed.values.get(name).and_then(subject_bytes),
                SubjectIn::Recipient | SubjectIn::IndexingValue => None,
            });
            subjects.extend(named);
        }
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }
}

/// What was found out without asking anybody.
enum Pure {
    Good(Box<Attestation>),
    LookUp(Box<Submission>),
}

/// Answers for what passed before: only its values are asked for.
fn trusting() -> sluice_gate::attestation::Answers {
    sluice_gate::attestation::Answers { signature: Some(true), registry: None }
}

fn sign_subjects(sign: &sluice_gate::attestation::SignOffchain) -> Vec<Vec<u8>> {
    use sluice_gate::attestation::{SignIndex, SignRecipients};
    let mut subjects: Vec<Vec<u8>> = match &sign.recipients {
        SignRecipients::Addresses(addresses) => addresses.iter().map(|address| address.to_vec()).collect(),
        SignRecipients::Texts(texts) => texts.iter().filter_map(|text| from_hex(text)).collect(),
    };
    match &sign.indexing_value {
        SignIndex::Address(address) => subjects.push(address.to_vec()),
        SignIndex::Text(text) => subjects.extend(from_hex(text)),
    }
    subjects
}

fn subject_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Address(address) => Some(address.to_vec()),
        Value::Bytes(bytes) if matches!(bytes.len(), 20 | 32) => Some(bytes.to_vec()),
        Value::Text(text) => from_hex(text),
        _ => None,
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = alloy_primitives::hex::decode(text.strip_prefix("0x")?).ok()?;
    matches!(bytes.len(), 20 | 32).then_some(bytes)
}

/// Keeps what was checked, in groups: whatever waits when the last group is written makes the next.
async fn write_all(
    store: Store,
    follower: Follower,
    mut to_write: mpsc::Receiver<Checked>,
    ahead: mpsc::Sender<(AsSigned, Need)>,
) {
    let mut group = Vec::with_capacity(ATTESTATIONS_GROUP_MAX);
    while to_write.recv_many(&mut group, ATTESTATIONS_GROUP_MAX).await > 0 {
        // One that is there twice is written as it came first.
        let mut ids = BTreeSet::new();
        let first = group.iter().filter(|checked| ids.insert(checked.row.id));
        let rows: Vec<NewAttestation> = first.map(|checked| checked.row.clone()).collect();
        let erasures = follower.recent().erasures();
        match store.add_attestations(&rows).await {
            Ok(added) => {
                let mut added: BTreeSet<_> = added.into_iter().collect();
                for Checked { row, held, item, kept } in group.drain(..) {
                    let known = !added.remove(&row.id);
                    if !known {
                        if let Some(need) = held.attestation.revocation().filter(|_| held.signed_by_key) {
                            // Where many come at once, the registry is asked when their claims come.
                            let _ = ahead.try_send((held.as_signed, need));
                        }
                        follower.recent().hold(Arc::new(held), row.body.len(), erasures);
                    }
                    answer(item, Ok(Kept { known, ..kept }));
                }
            }
            Err(error) => {
                let error = Arc::new(EngineError::from(error));
                tracing::warn!(%error, attestations = group.len(), "attestations could not be kept now");
                for Checked { item, .. } in group.drain(..) {
                    answer(item, Err(AttestationError::Unavailable(Arc::clone(&error))));
                }
            }
        }
    }
}

/// Asks registries about what was just kept, one request at a time, so that a claim which soon rests on it need not wait for
/// a chain; and follows registries, so that what they revoke is not believed. Whatever is not found here the claim asks.
async fn ask_ahead(
    follower: Follower,
    attested: Arc<Attested>,
    (chains, followed): (Arc<BTreeMap<ChainId, Chain>>, Vec<Chain>),
    clock: Arc<DatabaseClock>,
    mut to_ask: mpsc::Receiver<(AsSigned, Need)>,
) {
    let following = futures::future::join_all(followed.iter().map(|chain| attested.follow(chain, &clock)));
    let ageing = async {
        let mut looks = tokio::time::interval(AGE_EVERY);
        loop {
            looks.tick().await;
            follower.recent().age();
        }
    };
    let asking = async {
        let mut group = Vec::with_capacity(REVOCATIONS_TOGETHER);
        while to_ask.recv_many(&mut group, REVOCATIONS_TOGETHER).await > 0 {
            let asked = group.drain(..).map(|(id, need)| {
                let (attested, chains, now) = (&attested, &chains, clock.now());
                async move { attested.look_up(Asker::Intake, chains, id, &[need], now).await }
            });
            let failed = futures::future::join_all(asked).await.into_iter().find_map(Result::err);
            if let Some(error) = failed {
                tracing::debug!(%error, "a registry could not be asked ahead of claims");
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = following => {}
        () = ageing => {}
    }
}

/// Whoever handed it in may have gone; then nobody is told, and the same again finds it kept.
fn answer(item: Waiting, outcome: Result<Kept, AttestationError>) {
    let _ = item.answer.send(outcome);
}
