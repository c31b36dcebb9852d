//! The log, folded by rules of its own; and then the chain and the checkpoints.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::B256;
use sluice_core::command::Action;
use sluice_core::ids::{DemandId, EntitlementId, Seq};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note;
use sluice_core::state::State;
use sluice_engine::evidence::fold::Fold;
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

/// Reads the log once by rules of its own, beside State: paid at most once and only what was decided, nothing planned
/// while held or paused, no revoked key, sums that add up at every position.
pub fn fold<'a>(world: &World, snapshot: &'a Snapshot, log: &[Entry]) -> Fold<'a> {
    let folded = read(world, snapshot, log);
    assert_eq!(folded.broken(), [""; 0]);
    assert_eq!(folded.in_flight(), 0, "nothing is in flight");
    let mut state = folded.state().clone();
    assert_eq!(state.hash(), state.clone().hash_anew());
    folded
}

fn read<'a>(world: &World, snapshot: &'a Snapshot, log: &[Entry]) -> Fold<'a> {
    let mut folded = Fold::new(STREAM, world.campaign).list(1, snapshot);
    log.iter().for_each(|entry| folded.read(entry));
    folded
}

/// The fold would have said so: this log, changed in one place, contradicts itself there.
pub fn changed_logs_are_seen(world: &World, snapshot: &Snapshot, log: &[Entry]) {
    let seen = |said: &str, change: &dyn Fn(&mut Vec<Entry>)| {
        let mut changed = log.to_vec();
        change(&mut changed);
        let folded = read(world, snapshot, &changed);
        assert!(folded.broken().iter().any(|told| told.contains(said)), "{said}: {:?}", folded.broken());
    };
    let at = |what: &dyn Fn(&Body) -> bool| log.iter().position(|entry| what(&entry.body));
    let planned = at(&|body| matches!(body, Body::BatchPlanned(_))).expect("a batch was planned");
    seen("undecided", &|log| {
        let Body::BatchPlanned(plan) = &mut log[planned].body else { panic!("a plan") };
        plan.words[0].mask[0] |= 1 << PEOPLE;
    });
    // In a rare life the pushes come before every claim, and none is decided alone.
    if let Some(decided) = at(&|body| matches!(body, Body::ClaimDecided(_))) {
        seen("and again at", &|log| {
            let seq = log.len() as u64 + 1;
            log.push(Entry { seq, ..log[decided].clone() });
        });
    }
    seen("should", &|log| {
        log.remove(planned);
    });
    let revoked = log.iter().find_map(|entry| match &entry.body {
        Body::Ordered(ordered) => match &ordered.command.action {
            Action::ChangeKeys { revoke, .. } => Some((entry.seq, revoke.first()?.clone())),
            _ => None,
        },
        _ => None,
    });
    let Some((revoked_at, key)) = revoked else { return };
    let later = at(&|body| matches!(body, Body::Ordered(ordered) if !ordered.command.approvals.is_empty()));
    let speaks = |entry: &Entry| entry.seq > revoked_at && matches!(entry.body, Body::Ordered(_));
    if later.is_some() && log.iter().any(speaks) {
        seen("speaks at", &|log| {
            let entry = log.iter_mut().find(|entry| speaks(entry)).expect("as said");
            let Body::Ordered(ordered) = &mut entry.body else { panic!("an order") };
            ordered.command.approvals[0].signer = key.clone();
        });
    }
}

/// Every wallet holds what the log says was paid to it, once.
pub async fn chain(world: &World, snapshot: &Snapshot, folded: &Fold<'_>) {
    let mut elsewhere = 0;
    for i in 0..PEOPLE {
        let index = snapshot.find(wallet(i).address()).start;
        let amount = tokens(u128::from(i) + 1).get();
        let id = EntitlementId { round: 1, index };
        let paid = folded.paid().contains_key(&id);
        let redirected = folded.claimed_to(id).is_some_and(|to| to != wallet(i).address());
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
