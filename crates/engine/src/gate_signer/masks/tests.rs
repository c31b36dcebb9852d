use alloy_primitives::Address;
use sluice_core::amount::Total;
use sluice_core::command::{CampaignTerms, GateTerms, RoundMode, RoundTerms};
use sluice_core::ids::{ProjectId, StreamId};
use sluice_core::state::rules::{Approved, Gate};

use super::*;

const CAMPAIGN: CampaignId = CampaignId(uuid::Uuid::from_u128(1));
const CLOSES: u64 = 1_000;
const EXPIRY: u64 = CLOSES + 50 + OUTAGES;
const MINUTE: Millis = 60_000;

fn signer() -> Bytes {
    Bytes::from(vec![7; 20])
}

/// One campaign with a gated round of 1,000 entitlements, all decided.
fn state() -> State {
    let mut state = State::new(StreamId(1));
    let distributor = ContractRef { chain_id: 1, address: Address::repeat_byte(2) };
    let terms = CampaignTerms {
        campaign: CAMPAIGN,
        project: ProjectId(uuid::Uuid::from_u128(2)),
        name: "a campaign".into(),
        distributor,
        token: Address::repeat_byte(3),
        decimals: 18,
        deployed_at: 1,
        visibility: Default::default(),
        jurisdiction: String::new(),
    };
    let mut campaign = Campaign::new(terms, 1);
    let gate = GateTerms {
        campaign: CAMPAIGN,
        version: 1,
        rule_sets: vec![B256::repeat_byte(1)],
        attestations: Vec::new(),
        signer: signer(),
    };
    let round = RoundTerms {
        campaign: CAMPAIGN,
        round: 1,
        root: B256::ZERO,
        depth: 8,
        count: 1_000,
        total: Total(1_000),
        rules_hash: gate.hash(),
        opens_at: 0,
        closes_at: CLOSES,
        mode: RoundMode::Gated,
        gate: 1,
        supersedes: 0,
        list_uri: String::new(),
        list_hash: B256::ZERO,
    };
    campaign.gates.insert(1, Gate { terms: gate, version: 1 });
    let mut round = Round::new(round, vec![Total(1_000)], 1);
    for index in 0..1_000 {
        let (shard, at) = round.shard_mut(index);
        shard.decided.set(at);
    }
    campaign.rounds.insert(1, round);
    state.campaigns.insert(CAMPAIGN, campaign);
    state.seq = 10;
    state
}

fn masks(state: &State) -> Masks {
    let mut masks = Masks::default();
    for round in rounds_of(state, &signer()) {
        masks.closes(&round, 50);
    }
    masks
}

fn confirm(masks: &mut Masks, index: u64) {
    masks.confirm(CAMPAIGN, EntitlementId { round: 1, index });
}

/// What is due at a time, by word.
fn due(masks: &mut Masks, state: &State, now: Millis) -> Vec<(u64, [u64; 4], u64)> {
    let due = masks.due(state, &signer(), now, MINUTE, &BTreeSet::new());
    due.into_iter().flat_map(|due| due.words).map(|(m, expiry)| (m.word, m.mask, expiry)).collect()
}

/// Signs what is due, and lets the log take note of it.
fn sign(masks: &mut Masks, state: &mut State, now: Millis) -> Vec<(u64, [u64; 4], u64)> {
    let due = due(masks, state, now);
    for (word, mask, expiry) in &due {
        let signed = gate_mask(*word, *mask, *expiry);
        masks.signed(CAMPAIGN, std::slice::from_ref(&signed), now);
        noted(state, &signed);
        masks.take(CAMPAIGN, vec![signed], now);
    }
    due
}

fn gate_mask(word: u64, mask: [u64; 4], expiry: u64) -> GateMask {
    GateMask { round: 1, word, mask, as_of: 10, expiry, signature: Bytes::new() }
}

fn noted(state: &mut State, mask: &GateMask) {
    let approved = Approved {
        gate: 1,
        mask: mask.mask,
        as_of: mask.as_of,
        expiry: mask.expiry,
        signature: Bytes::new(),
    };
    let campaign = state.campaigns.get_mut(&CAMPAIGN).unwrap();
    campaign.approved.insert((mask.round, mask.word), approved);
}

fn round(state: &mut State) -> &mut Round {
    state.campaigns.get_mut(&CAMPAIGN).unwrap().rounds.get_mut(&1).unwrap()
}

#[test]
fn only_what_was_confirmed_is_signed_cumulatively_and_at_most_once_an_interval() {
    let mut state = state();
    let mut masks = masks(&state);
    assert_eq!(due(&mut masks, &state, 0), [], "everything is decided, nothing was confirmed");
    confirm(&mut masks, 3);
    confirm(&mut masks, 256 + 70);
    let first = sign(&mut masks, &mut state, 5);
    assert_eq!(first, [(0, [8, 0, 0, 0], EXPIRY), (1, [0, 64, 0, 0], EXPIRY)], "at once, and beyond closing");
    confirm(&mut masks, 4);
    assert_eq!(due(&mut masks, &state, 5 + MINUTE - 1), []);
    confirm(&mut masks, 5);
    assert_eq!(
        sign(&mut masks, &mut state, 5 + MINUTE),
        [(0, [56, 0, 0, 0], EXPIRY)],
        "all at once, old ones too"
    );
    assert_eq!(due(&mut masks, &state, 1_000 * MINUTE), [], "nothing changed, nothing is signed");
}

#[test]
fn a_signature_that_the_log_does_not_have_is_made_again_only_after_the_interval() {
    let state = state();
    let mut masks = masks(&state);
    confirm(&mut masks, 3);
    let [(word, mask, expiry)] = due(&mut masks, &state, 0)[..] else { panic!() };
    masks.signed(CAMPAIGN, &[gate_mask(word, mask, expiry)], 0);
    assert_eq!(due(&mut masks, &state, MINUTE - 1), []);
    assert_eq!(due(&mut masks, &state, MINUTE), [(0, [8, 0, 0, 0], EXPIRY)]);
    let waiting = BTreeSet::from([(CAMPAIGN, 1)]);
    assert_eq!(masks.due(&state, &signer(), MINUTE, MINUTE, &waiting), [], "one delivery at a time");
}

#[test]
fn void_is_never_newly_approved_and_held_waits_for_its_release() {
    let mut state = state();
    let mut masks = masks(&state);
    for index in [1, 2, 3] {
        confirm(&mut masks, index);
    }
    round(&mut state).shard_mut(1).0.void.set(1);
    round(&mut state).shard_mut(2).0.held.set(2);
    assert_eq!(sign(&mut masks, &mut state, 0), [(0, [8, 0, 0, 0], EXPIRY)]);
    assert_eq!(due(&mut masks, &state, MINUTE), []);
    round(&mut state).shard_mut(2).0.held.clear(2);
    let campaign = state.campaigns.get_mut(&CAMPAIGN).unwrap();
    campaign.campaign_holds.insert(9);
    assert_eq!(due(&mut masks, &state, MINUTE), [], "a hold on the campaign is a hold on each");
    let campaign = state.campaigns.get_mut(&CAMPAIGN).unwrap();
    campaign.campaign_holds.clear();
    campaign.held_on_chain.insert((1, 0), [4, 0, 0, 0]);
    assert_eq!(due(&mut masks, &state, MINUTE), [], "so is one on chain");
    state.campaigns.get_mut(&CAMPAIGN).unwrap().held_on_chain.clear();
    assert_eq!(sign(&mut masks, &mut state, MINUTE), [(0, [12, 0, 0, 0], EXPIRY)]);
    round(&mut state).shard_mut(3).0.void.set(3);
    confirm(&mut masks, 4);
    assert_eq!(
        sign(&mut masks, &mut state, 2 * MINUTE),
        [(0, [28, 0, 0, 0], EXPIRY)],
        "a mask never shrinks"
    );
}

#[test]
fn a_later_closing_is_signed_for_again() {
    let mut state = state();
    let mut masks = masks(&state);
    confirm(&mut masks, 3);
    sign(&mut masks, &mut state, 0);
    round(&mut state).closes_at = 5_000;
    for round in rounds_of(&state, &signer()) {
        masks.closes(&round, 50);
    }
    assert_eq!(due(&mut masks, &state, MINUTE), [(0, [8, 0, 0, 0], 5_050 + OUTAGES)]);
}

#[test]
fn nothing_grows_from_what_this_key_did_not_sign() {
    let mut state = state();
    let mut masks = masks(&state);
    noted(&mut state, &gate_mask(0, [1, 0, 0, 0], EXPIRY));
    confirm(&mut masks, 3);
    confirm(&mut masks, 300);
    assert_eq!(due(&mut masks, &state, 0), [(1, [1 << 44, 0, 0, 0], EXPIRY)], "other words go on");
}

#[test]
fn what_was_signed_in_an_earlier_life_is_confirmed_in_this_one() {
    let mut state = state();
    let mut masks = masks(&state);
    masks.take_back(CAMPAIGN, vec![gate_mask(0, [8, 0, 0, 0], EXPIRY)]);
    assert!(masks.has(CAMPAIGN, EntitlementId { round: 1, index: 3 }));
    assert!(!masks.has(CAMPAIGN, EntitlementId { round: 1, index: 4 }));
    noted(&mut state, &gate_mask(0, [8, 0, 0, 0], EXPIRY));
    masks.take(CAMPAIGN, vec![gate_mask(0, [8, 0, 0, 0], EXPIRY)], 7);
    assert_eq!(due(&mut masks, &state, 10 * MINUTE), []);
    confirm(&mut masks, 4);
    assert_eq!(due(&mut masks, &state, 10 * MINUTE), [(0, [24, 0, 0, 0], EXPIRY)], "it only grows");
}

#[test]
fn another_key_s_rounds_are_not_ours() {
    let state = state();
    let mut masks = masks(&state);
    confirm(&mut masks, 3);
    assert_eq!(rounds_of(&state, &Bytes::from(vec![8; 20])), []);
    let other = masks.due(&state, &Bytes::from(vec![8; 20]), 0, MINUTE, &BTreeSet::new());
    assert_eq!(other, []);
}

#[test]
fn one_delivery_is_bounded_and_the_rest_follows() {
    let mut state = state();
    let mut masks = masks(&state);
    let count = (GATE_WORDS_MAX as u64 + 2) * 256;
    let mut terms = round(&mut state).terms.clone();
    terms.count = count;
    let shards = usize::try_from(sluice_core::state::round::shards_of(count)).unwrap();
    let mut large = Round::new(terms, vec![Total(0); shards], 1);
    for word in 0..GATE_WORDS_MAX as u64 + 2 {
        let (shard, at) = large.shard_mut(word * 256);
        shard.decided.set(at);
        confirm(&mut masks, word * 256);
    }
    *round(&mut state) = large;
    assert_eq!(sign(&mut masks, &mut state, 0).len(), GATE_WORDS_MAX);
    assert_eq!(sign(&mut masks, &mut state, 0).len(), 2);
    assert_eq!(due(&mut masks, &state, 0), []);
}
