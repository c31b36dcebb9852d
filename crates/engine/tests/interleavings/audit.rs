//! The log, folded by rules of its own: what each entitlement went through, what holds and pauses stopped when, whose keys
//! spoke when; and then the chain and the checkpoints.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{B256, Bytes};
use sluice_core::command::{Action, HoldTarget};
use sluice_core::ids::{DemandId, EntitlementId, Seq};
use sluice_core::log::entry::{Body, Due, Entry, Outcome as Done};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note;
use sluice_core::state::State;
use sluice_core::state::funds::Account as Ledger;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;

use super::acts::PEOPLE;
use crate::support::{STREAM, World, log_key, tokens, wallet};

/// Every answer is the entry at its position, and no demand has two.
pub fn answers(log: &[Entry], told: &[(DemandId, Entry)]) {
    let mut positions: HashMap<DemandId, Seq> = HashMap::new();
    for (id, entry) in told {
        assert_eq!(log[usize::try_from(entry.seq - 1).expect("small")], *entry, "what {id} was told");
        assert_eq!(*positions.entry(*id).or_insert(entry.seq), entry.seq, "{id} was answered twice");
    }
}

/// How often each kind of entry stands in the log, and each refusal.
pub fn kinds(log: &[Entry]) -> BTreeMap<String, u32> {
    let mut kinds = BTreeMap::new();
    for entry in log {
        let name = match &entry.body {
            Body::Ordered(ordered) => ordered.command.action.name().to_owned(),
            Body::CommandRefused(refused) => format!("not {}", refused.code),
            Body::ClaimRefused(refused) => format!("claim not {}", refused.code),
            body => format!("{body:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        *kinds.entry(name).or_default() += 1;
    }
    kinds
}

#[derive(Default)]
pub struct Folded {
    /// Finally paid, by the position that decided it, and where it went if elsewhere.
    pub paid: BTreeMap<u64, Seq>,
    decided: BTreeMap<u64, Seq>,
    redirected: BTreeSet<u64>,
    void: BTreeMap<u64, Seq>,
    batches: BTreeMap<u64, Vec<u64>>,
    mined: BTreeMap<u64, Vec<u64>>,
    /// Batches whose present content was signed.
    signed: BTreeSet<u64>,
    /// What each hold in force stops; `None` for everything.
    holds: BTreeMap<Seq, Option<BTreeSet<u64>>>,
    paused: bool,
    revoked: BTreeMap<Bytes, Seq>,
    set_version: u64,
}

/// Reads the log once beside State: paid at most once and only what was decided, nothing planned while held or paused, no
/// revoked key, sums that add up at every position.
pub fn fold(world: &World, snapshot: &Snapshot, log: &[Entry]) -> Folded {
    let (mut folded, mut state) = (Folded::default(), State::new(STREAM));
    let mut postings: BTreeMap<Ledger, i128> = BTreeMap::new();
    for (place, entry) in log.iter().enumerate() {
        assert_eq!(entry.seq, place as u64 + 1, "the log is gapless");
        assert!(entry.epoch >= state.epoch, "epochs rise");
        folded.read(snapshot, entry);
        let posted =
            state.apply(entry).unwrap_or_else(|error| panic!("entry {} follows: {error}", entry.seq));
        for posting in posted {
            *postings.entry(posting.account).or_default() += posting.delta;
        }
        assert_eq!(postings.values().sum::<i128>(), 0, "the ledger adds up at {}", entry.seq);
        let of = |account| postings.get(&account).copied().unwrap_or(0);
        assert!(of(Ledger::Reserved) + of(Ledger::Paid) <= -of(Ledger::Funded), "at {}", entry.seq);
        if let Some(campaign) = state.campaign(world.campaign) {
            for account in Ledger::ALL {
                assert_eq!(campaign.funds.balance(account), of(account), "{account:?} at {}", entry.seq);
            }
        }
    }
    assert!(folded.batches.is_empty(), "nothing is in flight");
    assert_eq!(state.hash(), state.clone().hash_anew());
    folded
}

impl Folded {
    fn read(&mut self, snapshot: &Snapshot, entry: &Entry) {
        if let Some(evidence) = entry.body.command_evidence() {
            assert_eq!(evidence.set_version, self.set_version, "at {}", entry.seq);
        }
        match &entry.body {
            Body::CharterRead(read) => self.set_version = read.view.set_version,
            Body::ClaimDecided(claim) => {
                assert_eq!(claim.evidence.set_version, self.set_version);
                self.decide(claim.entitlement.index, entry.seq);
                if claim.redirect.is_some() {
                    self.redirected.insert(claim.entitlement.index);
                }
            }
            Body::Pushed(pushed) => {
                let Action::Push { from, to, .. } = pushed.command.command.action else { panic!() };
                for index in from..to {
                    if !self.decided.contains_key(&index) && !self.void.contains_key(&index) {
                        self.decide(index, entry.seq);
                    }
                }
            }
            Body::Voided(voided) => {
                self.void.extend(voided.items.iter().map(|(index, _)| (*index, entry.seq)));
                // What was planned, names something annulled and was never signed is given up.
                let (signed, void) = (&self.signed, &self.void);
                self.batches.retain(|batch, named| {
                    signed.contains(batch) || !named.iter().any(|index| void.contains_key(index))
                });
            }
            Body::Ordered(ordered) => {
                for approval in &ordered.command.approvals {
                    let gone = self.revoked.get(&approval.signer);
                    assert!(gone.is_none(), "a key revoked at {gone:?} speaks at {}", entry.seq);
                }
                self.ordered(snapshot, entry.seq, &ordered.command.action, &ordered.outcome);
            }
            Body::Due(Due::HoldEnds { hold }) => {
                assert!(self.holds.remove(hold).is_some(), "the hold of {hold} stands");
            }
            Body::Due(Due::PauseEnds { .. }) => self.paused = false,
            body => self.batch(entry.seq, body),
        }
    }

    fn decide(&mut self, index: u64, seq: Seq) {
        assert!(!self.void.contains_key(&index), "{index} is void and decided at {seq}");
        assert_eq!(*self.decided.entry(index).or_insert(seq), seq, "{index} is decided twice");
    }

    fn ordered(&mut self, snapshot: &Snapshot, seq: Seq, action: &Action, outcome: &Done) {
        match (action, outcome) {
            (Action::Hold { target }, Done::Held(_)) => {
                let stopped = match target {
                    HoldTarget::Campaign { .. } => None,
                    HoldTarget::Entitlements { indexes, .. } => Some(indexes.iter().copied().collect()),
                    HoldTarget::Person { person } => {
                        let of = |index: &u64| snapshot.person(*index) == Some(*person);
                        Some((0..u64::from(PEOPLE)).filter(of).collect())
                    }
                };
                self.holds.insert(seq, stopped);
            }
            (Action::Release { hold }, _) => {
                assert!(self.holds.remove(hold).is_some(), "the hold of {hold} stands at {seq}");
            }
            (_, Done::Answered { released: Some(hold) }) => {
                assert!(self.holds.remove(hold).is_some(), "the hold of {hold} stands at {seq}");
            }
            (Action::Pause { .. }, _) => self.paused = true,
            (Action::Resume { .. }, _) => self.paused = false,
            (Action::ChangeKeys { revoke, .. }, _) => {
                self.revoked.extend(revoke.iter().map(|key| (key.clone(), seq)));
            }
            _ => {}
        }
    }

    fn batch(&mut self, seq: Seq, body: &Body) {
        match body {
            Body::BatchPlanned(plan) => {
                let named: Vec<u64> =
                    plan.words.iter().flat_map(|word| word.indexes().collect::<Vec<_>>()).collect();
                let all = self.holds.values().any(Option::is_none);
                assert!(named.is_empty() || !(self.paused || all), "planned at {seq} in a pause or a hold");
                for index in &named {
                    let held = |stopped: &Option<BTreeSet<u64>>| {
                        stopped.as_ref().is_some_and(|stopped| stopped.contains(index))
                    };
                    assert!(!self.holds.values().any(held), "{index} is planned at {seq} while held");
                    assert!(self.decided.contains_key(index), "{index} is planned at {seq} undecided");
                    assert!(!self.void.contains_key(index), "{index} is planned at {seq} though void");
                }
                self.signed.remove(&plan.batch);
                self.batches.insert(plan.batch, named);
            }
            Body::AttemptSigned(attempt) => {
                self.signed.insert(attempt.batch);
            }
            Body::BatchMined(mined) => {
                let paid: Vec<u64> =
                    mined.paid.iter().flat_map(|word| word.indexes().collect::<Vec<_>>()).collect();
                let named = &self.batches[&mined.batch];
                assert!(paid.iter().all(|index| named.contains(index)), "batch {} at {seq}", mined.batch);
                self.mined.insert(mined.batch, paid);
            }
            Body::BatchUnmined(at) => {
                self.mined.remove(&at.batch);
            }
            Body::BatchReplanned(at) => {
                self.batches.remove(&at.batch);
            }
            Body::BatchFinal(at) => {
                self.batches.remove(&at.batch);
                for index in self.mined.remove(&at.batch).expect("mined before") {
                    let by = self.decided[&index];
                    assert!(self.paid.insert(index, by).is_none(), "{index} is paid twice");
                }
            }
            _ => {}
        }
    }
}

/// Every wallet holds what the log says was paid to it, once.
pub async fn chain(world: &World, snapshot: &Snapshot, folded: &Folded) {
    let mut elsewhere = 0;
    for i in 0..PEOPLE {
        let index = snapshot.find(wallet(i).address()).start;
        let amount = tokens(u128::from(i) + 1).get();
        let (paid, redirected) = (folded.paid.contains_key(&index), folded.redirected.contains(&index));
        elsewhere += if paid && redirected { amount } else { 0 };
        let here = if paid && !redirected { amount } else { 0 };
        assert_eq!(world.balance(wallet(i).address()).await, here, "wallet {i}");
    }
    assert_eq!(world.balance(alloy_primitives::Address::repeat_byte(0x77)).await, elsewhere);
}

/// Every checkpoint is of this log: its root over the entries up to it, and the hash of the state they lead to.
pub async fn checkpoints(node: &Node, log: &[Entry]) -> usize {
    let mut wanted = BTreeMap::new();
    let mut from = 1;
    while let Some(checkpoint) = node.store().checkpoint_from(STREAM, from).await.expect("checkpoints") {
        from = checkpoint.size + 1;
        wanted.insert(checkpoint.size, checkpoint);
    }
    let name = node.home_charter().expect("read").charter.address;
    let keys = [0, 1].map(|sequencer| log_key(name, sequencer).verifier());
    let (mut state, mut tree) = (State::new(STREAM), Frontier::default());
    for entry in log {
        state.apply(entry).expect("follows");
        tree.push(leaf_hash(&entry.encode()));
        let Some(checkpoint) = wanted.get(&entry.seq) else { continue };
        let head = note::open(&checkpoint.note, &keys).expect("signed by a node").head;
        assert_eq!((head.size, head.root), (entry.seq, tree.root()), "the tree of {}", entry.seq);
        assert_eq!(head.state_hash, Some(state.hash()), "the state at {}", entry.seq);
        assert_eq!(checkpoint.state_hash, state.hash(), "the row of {}", entry.seq);
    }
    assert!(!wanted.is_empty(), "there are checkpoints");
    let (seq, hash) = node.follower().read(|s| (s.seq, s.clone().hash()));
    if seq == state.seq {
        assert_eq!(hash, state.hash(), "the node's own state");
    }
    wanted.len()
}

/// The person an entitlement belongs to, as the list says.
pub fn person_of(snapshot: &Snapshot, id: EntitlementId) -> B256 {
    snapshot.person(id.index).unwrap_or_default()
}
