//! The sender, sentence by sentence; its life with a chain that drops, delays, reverts and forgets is in `lane`.

use uuid::Uuid;

use super::*;
use crate::amount::Total;
use crate::ids::BlockRef;
use crate::log::entry::{BatchForm, BatchMined, BatchPlanned, WordMask};

mod cap;
mod lane;

const ME: Address = Address::repeat_byte(1);
const GAS: u64 = 1_000_000;

fn campaign(n: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(n))
}

fn hash(n: u64) -> B256 {
    B256::left_padding_from(&n.to_be_bytes())
}

fn batch(number: BatchNo, attempts: Vec<Attempt>) -> Batch {
    let plan = BatchPlanned {
        campaign: campaign(1),
        batch: number,
        form: BatchForm::Sparse,
        words: vec![WordMask { round: 1, word: number, mask: [1, 0, 0, 0] }],
        total: Total(1),
    };
    Batch { plan, attempts, dead: 0, mined: None, given_up: false }
}

fn attempt(nonce: u64, tx: u64, max_fee: u128) -> Attempt {
    Attempt { epoch: 2, lane: ME, nonce, tx_hash: hash(tx), max_fee, priority_fee: 8, gas_limit: GAS }
}

fn facts(nonce: u64) -> LaneFacts {
    LaneFacts {
        account: ME,
        nonce,
        balance: u128::MAX,
        market: Market { base_fee: 100, priority_fee: 8 },
        sent_at: Vec::new(),
        height: 50,
        lost: Vec::new(),
        blocked: Vec::new(),
        node_cap: None,
    }
}

fn sent(mut facts: LaneFacts, at: &[(u64, u64)]) -> LaneFacts {
    facts.sent_at = at.iter().map(|(tx, height)| (hash(*tx), *height)).collect();
    facts
}

fn policy() -> FeePolicy {
    FeePolicy {
        max_fee_cap: 10_000,
        max_transaction_fee: u128::MAX,
        priority_fee_min: 1,
        bump_after_blocks: 3,
    }
}

fn steps(facts: &LaneFacts, batches: &[Batch]) -> Vec<Step> {
    let batches: Vec<_> = batches.iter().map(|b| (b.plan.campaign, b)).collect();
    step(2, facts, &policy(), &batches, |_| GAS)
}

fn sign(batch: BatchNo, nonce: u64) -> Step {
    let fees = Fees { max_fee: 208, priority_fee: 8 };
    Step::Sign { campaign: campaign(1), batch, nonce, fees }
}

#[test]
fn first_attempts_take_the_next_nonces_in_the_order_of_the_batches() {
    let open = [batch(1, vec![]), batch(2, vec![])];
    assert_eq!(steps(&facts(7), &open), [sign(1, 7), sign(2, 8)]);
}

#[test]
fn what_was_sent_is_not_sent_twice() {
    let open = [batch(1, vec![attempt(7, 1, 208)])];
    assert_eq!(steps(&sent(facts(7), &[(1, 49)]), &open), []);
}

#[test]
fn what_was_signed_is_sent_again_by_a_process_that_does_not_know_whether_it_was() {
    let open = [batch(1, vec![attempt(7, 1, 208)])];
    assert_eq!(steps(&facts(7), &open), [Step::Send { tx_hash: hash(1) }]);
}

#[test]
fn only_the_lowest_nonce_is_raised_and_by_an_eighth_at_least() {
    let open = [batch(1, vec![attempt(7, 1, 800)]), batch(2, vec![attempt(8, 2, 800)])];
    let fees = Fees { max_fee: 900, priority_fee: 9 };
    let replace = Step::Replace { campaign: campaign(1), batch: 1, previous: hash(1), fees };
    assert_eq!(
        steps(&sent(facts(7), &[(1, 47), (2, 47)]), &open),
        [replace, Step::Send { tx_hash: hash(2) }],
        "the other is only sent again"
    );
    assert_eq!(steps(&sent(facts(7), &[(1, 48), (2, 48)]), &open), [], "not before its time");
}

#[test]
fn a_replacement_follows_the_market_where_that_is_higher() {
    let mut high = sent(facts(7), &[(1, 0)]);
    high.market = Market { base_fee: 1_000, priority_fee: 50 };
    let fees = Fees { max_fee: 2_050, priority_fee: 50 };
    let open = [batch(1, vec![attempt(7, 1, 208)])];
    let replace = Step::Replace { campaign: campaign(1), batch: 1, previous: hash(1), fees };
    assert_eq!(steps(&high, &open), [replace]);
}

#[test]
fn at_the_cap_and_after_the_last_attempt_the_same_bytes_are_sent_again() {
    let open = [batch(1, vec![attempt(7, 1, 9_500)])];
    assert_eq!(steps(&sent(facts(7), &[(1, 0)]), &open), [Step::Send { tx_hash: hash(1) }]);
    let many = (1..=ATTEMPTS_PER_NONCE_MAX as u64).map(|tx| attempt(7, tx, 208)).collect();
    let last = hash(ATTEMPTS_PER_NONCE_MAX as u64);
    let waited = sent(facts(7), &[(ATTEMPTS_PER_NONCE_MAX as u64, 0)]);
    assert_eq!(steps(&waited, &[batch(1, many)]), [Step::Send { tx_hash: last }]);
}

#[test]
fn above_the_cap_nothing_new_is_signed() {
    let mut high = facts(7);
    high.market.base_fee = 10_000;
    let waits = Step::WaitsForFees { asked: 10_008, most: 10_000 };
    assert_eq!(steps(&high, &[batch(1, vec![])]), [waits]);
}

#[test]
fn missing_money_is_said_last_and_stops_only_what_is_new() {
    let mut poor = facts(7);
    poor.balance = 208 * u128::from(GAS) + 5;
    let open = [batch(1, vec![]), batch(2, vec![]), batch(3, vec![])];
    let missing = 208 * u128::from(GAS) - 5;
    assert_eq!(steps(&poor, &open), [sign(1, 7), Step::NeedsFunds { missing }]);
    // Money for what is under way is not given away, wherever it stands in the order.
    let mut other = batch(2, vec![attempt(7, 1, 208)]);
    other.plan.campaign = campaign(2);
    assert_eq!(
        steps(&poor, &[batch(1, vec![]), other]),
        [Step::Send { tx_hash: hash(1) }, Step::NeedsFunds { missing }]
    );
}

#[test]
fn a_replacement_that_the_account_cannot_pay_leaves_the_old_one_waiting() {
    let mut poor = sent(facts(7), &[(1, 0)]);
    poor.balance = 800 * u128::from(GAS) + 40;
    let open = [batch(1, vec![attempt(7, 1, 800)])];
    let missing = 100 * u128::from(GAS) - 40;
    assert_eq!(steps(&poor, &open), [Step::Send { tx_hash: hash(1) }, Step::NeedsFunds { missing }]);
}

#[test]
fn a_used_nonce_is_asked_about_then_lost_then_the_batch_takes_a_new_one() {
    let open = [batch(1, vec![attempt(7, 1, 208), attempt(7, 2, 234)])];
    let mut used = facts(8);
    let ask = Step::AskReceipts { campaign: campaign(1), batch: 1, hashes: vec![hash(1), hash(2)] };
    assert_eq!(steps(&used, &open), [ask]);
    used.lost = vec![hash(1), hash(2)];
    assert_eq!(steps(&used, &open), [sign(1, 8)]);
}

#[test]
fn a_nonce_that_a_reorganisation_gave_back_is_live_again() {
    let open = [batch(1, vec![attempt(7, 1, 208)])];
    let mut back = facts(7);
    back.lost = vec![hash(1)];
    assert_eq!(steps(&back, &open), [Step::Send { tx_hash: hash(1) }], "not a second live nonce");
}

#[test]
fn a_batch_has_one_live_nonce() {
    let open = [batch(1, vec![attempt(7, 1, 208), attempt(8, 2, 208)])];
    let mut moved = sent(facts(8), &[(2, 50)]);
    moved.lost = vec![hash(1)];
    assert_eq!(steps(&moved, &open), [], "the second nonce waits, no third is taken");
}

#[test]
fn a_batch_that_was_lost_takes_the_nonce_of_a_later_one_that_would_revert() {
    let mut after = sent(facts(8), &[(2, 0)]);
    after.lost = vec![hash(1)];
    let (first, second) = (batch(1, vec![attempt(7, 1, 208)]), batch(2, vec![attempt(8, 2, 800)]));
    let fees = Fees { max_fee: 900, priority_fee: 9 };
    let instead = Step::Sign { campaign: campaign(1), batch: 1, nonce: 8, fees };
    let again = Step::Send { tx_hash: hash(2) };
    assert_eq!(steps(&after, &[first.clone(), second.clone()]), [again, instead]);
    // Now both hold nonce 8; only the higher offer goes on, until the nonce is used.
    let first = batch(1, [first.attempts, vec![attempt(8, 3, 900)]].concat());
    let mut waiting = after;
    waiting.sent_at = vec![(hash(2), 0), (hash(3), 0)];
    let fees = Fees { max_fee: 1_013, priority_fee: 9 };
    let replace = Step::Replace { campaign: campaign(1), batch: 1, previous: hash(3), fees };
    assert_eq!(steps(&waiting, &[first.clone(), second.clone()]), [replace]);
    waiting.nonce = 9;
    let ask = |batch, tx| Step::AskReceipts { campaign: campaign(1), batch, hashes: vec![hash(tx)] };
    assert_eq!(steps(&waiting, &[first, second]), [ask(1, 3), ask(2, 2)]);
}

#[test]
fn what_would_revert_is_sent_again_and_never_raised() {
    let mut poor = sent(facts(8), &[(2, 0)]);
    poor.balance = 0;
    let open = [batch(1, vec![]), batch(2, vec![attempt(8, 2, 800)])];
    let missing = 900 * u128::from(GAS);
    assert_eq!(steps(&poor, &open), [Step::Send { tx_hash: hash(2) }, Step::NeedsFunds { missing }]);
}

#[test]
fn attempts_of_an_older_epoch_are_outbid_at_their_nonces() {
    let old = Attempt { epoch: 1, ..attempt(7, 1, 800) };
    let open = [batch(1, vec![old])];
    let fees = Fees { max_fee: 900, priority_fee: 9 };
    assert_eq!(steps(&facts(7), &open), [Step::Sign { campaign: campaign(1), batch: 1, nonce: 7, fees }]);
}

#[test]
fn dead_content_is_outbid_and_where_it_offers_the_cap_sent_again() {
    let mut replanned = batch(1, vec![attempt(7, 1, 800)]);
    replanned.dead = 1;
    let fees = Fees { max_fee: 900, priority_fee: 9 };
    let new = Step::Sign { campaign: campaign(1), batch: 1, nonce: 7, fees };
    assert_eq!(steps(&facts(7), &[replanned]), [new]);
    let mut at_cap = batch(1, vec![attempt(7, 1, 10_000)]);
    at_cap.dead = 1;
    assert_eq!(steps(&facts(7), &[at_cap, batch(2, vec![])]), [Step::Fill { nonce: 7 }]);
}

#[test]
fn an_attempt_of_another_lane_is_not_ours_to_raise() {
    let other = Attempt { lane: Address::repeat_byte(2), ..attempt(7, 1, 208) };
    assert_eq!(steps(&facts(3), &[batch(1, vec![other])]), [sign(1, 3)]);
}

#[test]
fn a_gap_below_a_live_nonce_is_filled() {
    let open = [batch(1, vec![attempt(9, 1, 208)])];
    let fill = |nonce| Step::Fill { nonce };
    assert_eq!(steps(&sent(facts(7), &[(1, 50)]), &open), [fill(7), fill(8)]);
    let next = batch(2, vec![]);
    let open = [batch(1, vec![attempt(9, 1, 208)]), next.clone()];
    let later = [fill(7), fill(8), sign(2, 10)];
    assert_eq!(
        steps(&sent(facts(7), &[(1, 50)]), &open),
        later,
        "a later batch cannot go before an earlier one"
    );
    let mut other = next;
    other.plan.campaign = campaign(2);
    let found = steps(&sent(facts(7), &[(1, 50)]), &[batch(1, vec![attempt(9, 1, 208)]), other]);
    let fees = Fees { max_fee: 208, priority_fee: 8 };
    let new = Step::Sign { campaign: campaign(2), batch: 2, nonce: 7, fees };
    assert_eq!(found, [fill(7), fill(8), new], "another campaign's can");
}

#[test]
fn no_more_than_the_bound_is_in_flight_on_a_lane() {
    let open: Vec<_> = (1..=LANE_IN_FLIGHT_MAX as u64 + 3).map(|n| batch(n, vec![])).collect();
    assert_eq!(steps(&facts(7), &open).len(), LANE_IN_FLIGHT_MAX);
}

#[test]
fn a_mined_nonce_is_not_free_even_if_the_node_has_not_seen_it() {
    let mut mined = batch(1, vec![attempt(7, 1, 208)]);
    mined.mined = Some(BatchMined {
        campaign: campaign(1),
        batch: 1,
        block: BlockRef { number: 50, hash: hash(1) },
        tx_hash: hash(1),
        paid: Vec::new(),
        paid_total: Total::ZERO,
        skipped: Vec::new(),
    });
    assert_eq!(steps(&facts(7), &[mined, batch(2, vec![])]), [sign(2, 8)]);
}

#[test]
fn nothing_is_signed_for_a_number_given_up() {
    let mut given_up = batch(1, vec![attempt(7, 1, 208)]);
    given_up.given_up = true;
    assert_eq!(steps(&facts(8), &[given_up]), []);
}

#[test]
fn a_blocked_campaign_signs_nothing_new_and_nobody_waits_for_it() {
    let mut other = batch(1, vec![]);
    other.plan.campaign = campaign(2);
    let mut blocked = facts(7);
    blocked.blocked = vec![campaign(1)];
    let fees = Fees { max_fee: 208, priority_fee: 8 };
    let new = Step::Sign { campaign: campaign(2), batch: 1, nonce: 7, fees };
    assert_eq!(steps(&blocked, &[batch(1, vec![]), other]), [new]);
    // What it has under way is still sent, and not raised: it would revert.
    let open = [batch(1, vec![]), batch(2, vec![attempt(7, 1, 208)])];
    let blocked = LaneFacts { blocked: vec![campaign(1)], ..sent(facts(7), &[(1, 0)]) };
    assert_eq!(steps(&blocked, &open), [Step::Send { tx_hash: hash(1) }]);
}
