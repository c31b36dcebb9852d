//! The log folded by rules of its own: what each entitlement of a campaign went through, what holds and pauses stopped
//! when, which rule sets were in force, whose keys spoke and where persons were paid. It shares no line with `decide` and
//! `apply`; State is applied beside it only to compare the ledger, so that a mistake in one is seen by the other.

mod offices;
mod payments;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::ids::{BatchNo, CampaignId, EntitlementId, RoundNo, Seq, StreamId};
use sluice_core::log::entry::{Body, Due, Entry};
use sluice_core::state::State;
use sluice_core::state::funds::Account as Ledger;
use sluice_snapshot::Snapshot;

use payments::Payments;

/// Contradictions that are told; more of them say nothing new.
const BROKEN_MAX: usize = 100;

/// A reading of a log. Feed it every entry from the first on, then look at what it found.
#[derive(Debug)]
pub struct Fold<'a> {
    campaign: CampaignId,
    lists: BTreeMap<RoundNo, &'a Snapshot>,
    seq: Seq,
    state: State,
    ledger: BTreeMap<Ledger, i128>,
    payments: Payments,
    holds: BTreeMap<Seq, Hold>,
    /// Who held what alone before: it is not held alone a second time.
    held_alone: BTreeSet<(B256, EntitlementId)>,
    paused: bool,
    revoked_keys: BTreeMap<Bytes, Seq>,
    revoked_attestations: BTreeMap<B256, Seq>,
    set_version: u64,
    persons: BTreeMap<B256, Bound>,
    rules: Rules,
    broken: Vec<String>,
    compared: u64,
}

/// A hold in force.
#[derive(Clone, Debug)]
struct Hold {
    placed_by: B256,
    /// What it stops; `None` for the whole campaign.
    stops: Option<BTreeSet<EntitlementId>>,
}

/// Where a person is paid, and since which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The address.
    pub payee: Address,
    /// The position of the entry that said so.
    pub since: Seq,
}

/// Which rule sets are in force, and which gates ask them.
#[derive(Debug, Default)]
struct Rules {
    lineage_of: BTreeMap<B256, B256>,
    in_force: BTreeMap<B256, B256>,
    /// Of each rule set the position at which it last changed.
    changed: BTreeMap<B256, Seq>,
    gates: BTreeMap<u64, Vec<B256>>,
    gate_of: BTreeMap<RoundNo, u64>,
    /// Every rule set that came into force, with its position.
    activations: Vec<(Seq, B256)>,
}

impl<'a> Fold<'a> {
    /// A fold of this campaign's part of a log.
    pub fn new(stream: StreamId, campaign: CampaignId) -> Self {
        Self {
            campaign,
            lists: BTreeMap::new(),
            seq: 0,
            state: State::new(stream).unhashed(),
            ledger: BTreeMap::new(),
            payments: Payments::default(),
            holds: BTreeMap::new(),
            held_alone: BTreeSet::new(),
            paused: false,
            revoked_keys: BTreeMap::new(),
            revoked_attestations: BTreeMap::new(),
            set_version: 0,
            persons: BTreeMap::new(),
            rules: Rules::default(),
            broken: Vec::new(),
            compared: 0,
        }
    }

    /// Names the list of a round: what holds on persons stop is looked up there.
    pub fn list(mut self, round: RoundNo, snapshot: &'a Snapshot) -> Self {
        self.lists.insert(round, snapshot);
        self
    }

    /// Reads one entry: the next.
    pub fn read(&mut self, entry: &Entry) {
        let seq = entry.seq;
        let next = self.seq + 1;
        self.check(seq == next, || format!("entry {seq} stands where {next} should"));
        self.check(entry.epoch >= self.state.epoch, || format!("the epoch falls at {seq}"));
        self.seq = seq;
        self.evidence(entry);
        match &entry.body {
            Body::CharterRead(read) => self.set_version = read.view.set_version,
            Body::ClaimDecided(claim) if claim.intake.campaign == self.campaign => {
                let to = claim.redirect.as_ref().map_or(claim.recipient, |redirect| redirect.to);
                self.decide(claim.entitlement, seq, Some(to));
            }
            Body::Pushed(pushed) => self.pushed(seq, pushed),
            Body::Voided(voided) => self.voided(seq, voided),
            Body::RoundPublished(published) if published.terms.campaign == self.campaign => {
                self.published(published);
            }
            Body::Ordered(ordered) => self.ordered(seq, ordered),
            Body::Due(Due::HoldEnds { hold }) => self.ended(*hold, seq),
            Body::Due(Due::PauseEnds { campaign }) if *campaign == self.campaign => self.paused = false,
            Body::Due(Due::RulesStart { rules }) => self.activated(*rules, seq),
            body => self.batch(seq, body),
        }
        self.apply(entry);
    }

    /// The same through State, whose ledger is compared posting by posting.
    fn apply(&mut self, entry: &Entry) {
        let seq = entry.seq;
        let posted = match self.state.apply(entry) {
            Ok(posted) => posted,
            Err(error) => return self.check(false, || format!("entry {seq} does not follow: {error}")),
        };
        for posting in posted.iter().filter(|posting| posting.campaign == self.campaign) {
            *self.ledger.entry(posting.account).or_default() += posting.delta;
        }
        let of = |account| self.ledger.get(&account).copied().unwrap_or(0);
        let sum = self.ledger.values().sum::<i128>();
        let covered = of(Ledger::Reserved) + of(Ledger::Paid) <= -of(Ledger::Funded);
        let same = self.state.campaign(self.campaign).is_none_or(|campaign| {
            Ledger::ALL.into_iter().all(|account| campaign.funds.balance(account) == of(account))
        });
        self.check(sum == 0, || format!("the ledger does not add up at {seq}"));
        self.check(covered, || format!("more is promised than was funded at {seq}"));
        self.check(same, || format!("State's funds are not the postings' at {seq}"));
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds && self.broken.len() < BROKEN_MAX {
            self.broken.push(otherwise());
        }
    }

    /// What contradicts itself, in words; empty if nothing does.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// How many comparisons were made.
    pub const fn compared(&self) -> u64 {
        self.compared
    }

    /// State at the last entry.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Finally paid entitlements, with the position that decided each.
    pub const fn paid(&self) -> &BTreeMap<EntitlementId, Seq> {
        &self.payments.paid
    }

    /// Where a decided entitlement's claim asked to be paid; `None` where nobody claimed it: then at the listed address.
    pub fn claimed_to(&self, id: EntitlementId) -> Option<Address> {
        self.payments.claimed_to.get(&id).copied()
    }

    /// The position that decided an entitlement.
    pub fn decided(&self, id: EntitlementId) -> Option<Seq> {
        self.payments.decided.get(&id).copied()
    }

    /// The holds in force over an entitlement.
    pub fn held_by(&self, id: EntitlementId) -> Vec<Seq> {
        let stops = |hold: &Hold| hold.stops.as_ref().is_none_or(|stopped| stopped.contains(&id));
        self.holds.iter().filter(|(_, hold)| stops(hold)).map(|(at, _)| *at).collect()
    }

    /// The positions at which batches were planned that name an entitlement, with their numbers.
    pub fn planned(&self, id: EntitlementId) -> &[(Seq, BatchNo)] {
        self.payments.planned.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Batches that are not final.
    pub fn in_flight(&self) -> usize {
        self.payments.batches.len()
    }

    /// Where persons are paid.
    pub const fn persons(&self) -> &BTreeMap<B256, Bound> {
        &self.persons
    }

    /// Every rule set that came into force, with its position, ascending.
    pub fn activations(&self) -> &[(Seq, B256)] {
        &self.rules.activations
    }
}
