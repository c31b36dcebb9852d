//! Erasing somebody: whose attestations go, and why it may have to wait. A gate-signer verifies each decided claim again from
//! what was handed in; what is erased before its gate's word is in the log would never be paid.
//!
//! Any node orders, the leader carries out: rows are deleted in the append of the entry that names what went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use sluice_core::command::RoundMode;
use sluice_core::decide::About;
use sluice_core::ids::{CampaignId, EntitlementId};
use sluice_core::state::State;
use sluice_core::state::round::RoundPhase;
use sluice_store::{Erased, ErasureOrder, Store, Whom};

use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Observations;
use crate::snapshots::Snapshots;

/// How long whoever orders waits for the leader. It looks every half second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the leader leaves an order alone that waits for a gate's word: to look is to go through all that is decided and not
/// approved.
const WAITS_AGAIN: Duration = Duration::from_secs(5);
/// Orders that the leader looks at in one go. Those that wait for a gate's word stand before others, so it is more than a few.
const OPEN_AT_ONCE: i64 = 1_000;
/// Words of 256 entitlements in a shard.
const WORDS: usize = 65_536 / 256;
const _: () = assert!(WORDS as u64 * 256 == sluice_core::limits::SHARD);

/// What became of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// It was done.
    Done {
        /// What was destroyed.
        erased: Erased,
        /// By whom attestations were found: whom it is about, and the addresses that are theirs.
        subjects: Vec<Vec<u8>>,
    },
    /// Nothing was erased: this decided payment rests on it, and its gate has not said its word yet. Come back later.
    Waits(CampaignId, EntitlementId),
    /// It was ordered under this number, and is carried out when a node leads, or a payment decided meanwhile has its gate's
    /// word.
    Ordered(u64),
}

/// Entitlements of one word that are decided and wait for their gate.
struct Waiting {
    campaign: CampaignId,
    round: u64,
    list_hash: B256,
    word: u64,
    mask: [u64; 4],
}

/// Orders that what is kept about somebody be erased, unless a decided payment still needs it and the order does not say that
/// it may be lost, and waits a while for it.
///
/// # Errors
/// When the database or a snapshot cannot be reached.
pub async fn erase(
    follower: &Follower,
    snapshots: &Snapshots,
    store: &Store,
    order: &ErasureOrder<'_>,
) -> Result<Erasure, EngineError> {
    let (stream, whom) = follower.read(|state| (state.stream, whom(state, order.about)));
    if !order.although_unpaid
        && let Some((campaign, id)) = waits_for(follower, snapshots, store, &whom).await?
    {
        return Ok(Erasure::Waits(campaign, id));
    }
    let order = store.order_erasure(stream, order).await?;
    let mut watch = follower.watch();
    let carried_out = async {
        loop {
            watch.borrow_and_update();
            if let Some(erased) = store.erasure(order).await? {
                return Ok::<_, EngineError>(erased);
            }
            watch.changed().await.map_err(|_| EngineError::Stopping)?;
        }
    };
    match tokio::time::timeout(ANSWER_WITHIN, carried_out).await {
        Ok(erased) => Ok(Erasure::Done { erased: erased?, subjects: whom.subjects }),
        Err(_) => Ok(Erasure::Ordered(order)),
    }
}

/// The leader's part: carries out what was ordered.
#[derive(Debug)]
pub struct Eraser {
    follower: Follower,
    snapshots: Snapshots,
    store: Store,
    observations: Observations,
    /// Orders that wait for a gate's word, and when they were found to.
    waits: BTreeMap<u64, Instant>,
}

impl Eraser {
    /// For one term.
    pub fn new(follower: Follower, snapshots: Snapshots, store: Store, observations: Observations) -> Self {
        Self { follower, snapshots, store, observations, waits: BTreeMap::new() }
    }

    /// Carries out every open order that need not wait, as far as one entry each goes; says how many entries that took.
    ///
    /// # Errors
    /// When the database or a snapshot cannot be reached, or the term is over.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        let stream = self.follower.read(|state| state.stream);
        let mut appended = 0;
        self.waits.retain(|_, since| since.elapsed() < WAITS_AGAIN);
        for open in self.store.open_erasures(stream, OPEN_AT_ONCE).await? {
            if self.waits.contains_key(&open.order) {
                continue;
            }
            let whom = self.follower.read(|state| whom(state, open.about));
            let destroys = self.store.erasable(stream, open.order, &whom).await?;
            // A claim that was on its way when its attestations went is not verified any more: its facts need not wait.
            let in_vain = open.begun && destroys.attestations.is_empty();
            if !(in_vain || open.although_unpaid)
                && waits_for(&self.follower, &self.snapshots, &self.store, &whom).await?.is_some()
            {
                self.waits.insert(open.order, Instant::now());
                continue;
            }
            appended += self.observations.destroy(destroys).await?.len();
        }
        Ok(appended)
    }
}

/// A decided payment that rests on what is known about somebody, and whose gate has not said its word yet.
async fn waits_for(
    follower: &Follower,
    snapshots: &Snapshots,
    store: &Store,
    whom: &Whom,
) -> Result<Option<(CampaignId, EntitlementId)>, EngineError> {
    let mut concerned: BTreeSet<Vec<u8>> = store.attested_with(&whom.subjects).await?.into_iter().collect();
    concerned.extend(whom.subjects.iter().cloned());
    for waiting in follower.read(waiting) {
        let snapshot = snapshots.get(waiting.list_hash)?;
        for index in indexes(&waiting) {
            let recipient = snapshot.entitlement(index).map(|listed| listed.recipient);
            let person = snapshot.person(index);
            if follower.read(|state| rests_on(state, &concerned, recipient, person)) {
                return Ok(Some((waiting.campaign, EntitlementId { round: waiting.round, index })));
            }
        }
    }
    Ok(None)
}

/// Somebody, with everything attestations name when they mean them.
fn whom(state: &State, about: About) -> Whom {
    Whom { about, subjects: subjects_of(state, about) }
}

/// Whom attestations name when they mean somebody.
fn subjects_of(state: &State, about: About) -> Vec<Vec<u8>> {
    let mut subjects = BTreeSet::from([about.as_bytes().to_vec()]);
    if let About::Person(person) = about
        && let Some(bound) = state.persons.get(&person)
    {
        subjects.extend(bound.vouched.iter().chain([&bound.payee]).map(|address| address.to_vec()));
    }
    subjects.into_iter().collect()
}

/// What is decided and not approved in rounds that still pay.
fn waiting(state: &State) -> Vec<Waiting> {
    let mut found = Vec::new();
    for (id, campaign) in &state.campaigns {
        let gated = campaign.rounds.values().filter(|round| {
            round.terms.mode == RoundMode::Gated && !round.swept && round.phase != RoundPhase::Cancelled
        });
        for round in gated {
            for (at, shard) in round.shards.iter().enumerate() {
                for place in 0..WORDS {
                    let decided = shard.decided.word256(place);
                    if decided == [0; 4] {
                        continue;
                    }
                    let word = (at * WORDS + place) as u64;
                    let approved =
                        campaign.approved.get(&(round.terms.round, word)).map_or([0; 4], |a| a.mask);
                    let (void, annulled) = (shard.void.word256(place), shard.annulled.word256(place));
                    let paid = shard.paid.word256(place);
                    let mask = std::array::from_fn(|i| {
                        decided[i] & !(approved[i] | void[i] | annulled[i] | paid[i])
                    });
                    let (campaign, round, list_hash) = (*id, round.terms.round, round.terms.list_hash);
                    if mask != [0; 4] {
                        found.push(Waiting { campaign, round, list_hash, word, mask });
                    }
                }
            }
        }
    }
    found
}

/// The entitlements' indexes.
fn indexes(waiting: &Waiting) -> impl Iterator<Item = u64> {
    let (first, mask) = (waiting.word * 256, waiting.mask);
    (0..256).filter(move |bit| mask[bit / 64] >> (bit % 64) & 1 == 1).map(move |bit| first + bit as u64)
}

/// Whether a claim may rest on what is known about these: of its recipient, its person, or an address bound to the person.
fn rests_on(
    state: &State,
    concerned: &BTreeSet<Vec<u8>>,
    recipient: Option<Address>,
    person: Option<B256>,
) -> bool {
    let bound = person.and_then(|person| state.persons.get(&person));
    let addresses = bound.into_iter().flat_map(|bound| bound.vouched.iter());
    person.is_some_and(|person| concerned.contains(person.as_slice()))
        || addresses.chain(recipient.as_ref()).any(|address| concerned.contains(address.as_slice()))
}
