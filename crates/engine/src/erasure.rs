//! Erasing somebody: whose attestations go, and why it may have to wait. A gate-signer verifies each decided claim again from
//! what was handed in; what is erased before its gate's word is in the log would never be paid.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use sluice_core::command::RoundMode;
use sluice_core::decide::About;
use sluice_core::ids::{CampaignId, EntitlementId};
use sluice_core::state::State;
use sluice_core::state::round::RoundPhase;
use sluice_store::{Erased, Store, Whom};

use crate::error::EngineError;
use crate::follower::Follower;
use crate::snapshots::Snapshots;

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
}

/// Entitlements of one word that are decided and wait for their gate.
struct Waiting {
    campaign: CampaignId,
    round: u64,
    list_hash: B256,
    word: u64,
    mask: [u64; 4],
}

/// Erases what is kept about somebody, unless a decided payment still needs it. A claim that is decided in the same moment
/// may be missed.
///
/// # Errors
/// When the database or a snapshot cannot be reached.
pub async fn erase(
    follower: &Follower,
    snapshots: &Snapshots,
    store: &Store,
    about: About,
    reason: &str,
) -> Result<Erasure, EngineError> {
    let (stream, subjects) = follower.read(|state| (state.stream, subjects_of(state, about)));
    let whom = Whom { about, subjects };
    let mut concerned: BTreeSet<Vec<u8>> = store.attested_with(&whom.subjects).await?.into_iter().collect();
    concerned.extend(whom.subjects.iter().cloned());
    for waiting in follower.read(waiting) {
        let snapshot = snapshots.get(waiting.list_hash)?;
        for index in indexes(&waiting) {
            let recipient = snapshot.entitlement(index).map(|listed| listed.recipient);
            let person = snapshot.person(index);
            if follower.read(|state| rests_on(state, &concerned, recipient, person)) {
                return Ok(Erasure::Waits(waiting.campaign, EntitlementId { round: waiting.round, index }));
            }
        }
    }
    let erased = store.erase(stream, &whom, reason).await?;
    Ok(Erasure::Done { erased, subjects: whom.subjects })
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
