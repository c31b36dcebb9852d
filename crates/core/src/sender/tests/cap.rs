//! What a transaction may cost: our own cap, and the nodes'.

use super::*;

fn capped(policy_cap: u128, facts: &LaneFacts, batches: &[Batch]) -> Vec<Step> {
    let policy = FeePolicy { max_transaction_fee: policy_cap, ..policy() };
    let batches: Vec<_> = batches.iter().map(|b| (b.plan.campaign, b)).collect();
    step(2, facts, &policy, &batches, |b| if b.plan.campaign == campaign(2) { GAS / 10 } else { GAS })
}

fn wei(per_gas: u128) -> u128 {
    per_gas * u128::from(GAS)
}

#[test]
fn a_first_attempt_offers_no_more_than_its_cap() {
    let fees = Fees { max_fee: 150, priority_fee: 8 };
    let sign = Step::Sign { campaign: campaign(1), batch: 1, nonce: 7, fees };
    assert_eq!(capped(wei(150), &facts(7), &[batch(1, vec![])]), [sign]);
}

#[test]
fn a_batch_too_dear_now_waits_with_those_behind_it_and_smaller_ones_of_others_go() {
    let mut small = batch(1, vec![]);
    small.plan.campaign = campaign(2);
    let open = [batch(1, vec![]), batch(2, vec![]), small];
    let fees = Fees { max_fee: 208, priority_fee: 8 };
    let sign = Step::Sign { campaign: campaign(2), batch: 1, nonce: 7, fees };
    let waits = Step::WaitsForFees { asked: 108, most: 100 };
    assert_eq!(capped(wei(100), &facts(7), &open), [sign, waits]);
}

#[test]
fn what_is_sent_is_not_raised_above_its_cap_and_says_what_it_waits_for() {
    let open = [batch(1, vec![attempt(7, 1, 208)])];
    let mut dear = sent(facts(7), &[(1, 0)]);
    dear.market.base_fee = 300;
    let again = Step::Send { tx_hash: hash(1) };
    let waits = Step::WaitsForFees { asked: 308, most: 220 };
    assert_eq!(capped(wei(220), &dear, &open), [again.clone(), waits]);
    dear.market.base_fee = 100;
    assert_eq!(capped(wei(220), &dear, &open), [again], "it can be mined: nothing is wrong");
}

#[test]
fn what_nodes_refuse_for_its_cost_is_signed_again_for_less_at_its_nonce() {
    let refused = attempt(7, 1, 800);
    let mut told = facts(7);
    told.node_cap = Some(wei(500));
    let fees = Fees { max_fee: 208, priority_fee: 8 };
    let cheaper = Step::Replace { campaign: campaign(1), batch: 1, previous: hash(1), fees };
    assert_eq!(steps(&told, &[batch(1, vec![refused.clone()])]), [cheaper]);
    // Once it is signed, the dearer one is no rival: neither while the cap is remembered nor after a restart.
    let open = [batch(1, vec![refused, attempt(7, 2, 208)])];
    assert_eq!(steps(&sent(told, &[(2, 50)]), &open), []);
    assert_eq!(steps(&facts(7), &open), [Step::Send { tx_hash: hash(2) }]);
}

#[test]
fn what_nodes_hold_below_a_refused_attempt_is_replaced_by_an_eighth_more() {
    let open = [batch(1, vec![attempt(7, 1, 208), attempt(7, 2, 800)])];
    let mut told = sent(facts(7), &[(1, 40)]);
    told.node_cap = Some(wei(500));
    let fees = Fees { max_fee: 234, priority_fee: 9 };
    let raised = Step::Replace { campaign: campaign(1), batch: 1, previous: hash(1), fees };
    assert_eq!(steps(&told, &open), [raised]);
}

#[test]
fn a_refused_attempt_of_content_given_up_needs_not_be_outbid() {
    let mut replanned = batch(1, vec![attempt(7, 1, 800)]);
    replanned.dead = 1;
    let mut told = facts(7);
    told.node_cap = Some(wei(500));
    assert_eq!(steps(&told, &[replanned]), [sign(1, 7)]);
}

#[test]
fn where_even_the_base_fee_is_above_the_nodes_cap_it_waits_and_says_so() {
    let mut told = facts(7);
    told.node_cap = Some(wei(90));
    let waits = Step::WaitsForFees { asked: 108, most: 90 };
    assert_eq!(steps(&told, &[batch(1, vec![attempt(7, 1, 800)])]), std::slice::from_ref(&waits));
    assert_eq!(steps(&told, &[batch(1, vec![])]), [waits]);
}

#[test]
fn a_transaction_that_stands_alone_is_raised_by_an_eighth_a_bounded_number_of_times() {
    let market = Market { base_fee: 100, priority_fee: 8 };
    let next = |offers: &[Fees], waited| alone(&policy(), market, GAS, offers, offers.len(), waited);
    let first = Fees { max_fee: 208, priority_fee: 8 };
    assert_eq!(next(&[], None), Alone::Sign(first));
    assert_eq!(next(&[first], None), Alone::Again, "signed, and perhaps never sent");
    assert_eq!(next(&[first], Some(2)), Alone::Wait);
    assert_eq!(next(&[first], Some(3)), Alone::Sign(Fees { max_fee: 234, priority_fee: 9 }));
    assert_eq!(next(&[first; ATTEMPTS_PER_NONCE_MAX], Some(3)), Alone::Again);
    let dear = Market { base_fee: 10_000, ..market };
    let waits = Alone::WaitsForFees { asked: 10_008, most: 10_000 };
    assert_eq!(alone(&policy(), dear, GAS, &[], 0, None), waits);
}

#[test]
fn a_campaign_keeps_its_lane_until_none_of_its_attempts_is_unfinal() {
    let mut state = State::new(crate::ids::StreamId(1));
    let id = campaign(5);
    let lanes = [ME, Address::repeat_byte(2), Address::repeat_byte(3)];
    assert_eq!(lane_of(&state, id, &lanes), Some(2));
    assert_eq!(lane_of(&state, id, &lanes[..1]), Some(0));
    assert_eq!(lane_of(&state, id, &[]), None);
    let terms = crate::command::CampaignTerms {
        campaign: id,
        project: crate::ids::ProjectId::default(),
        name: String::new(),
        distributor: crate::ids::ContractRef { chain_id: 1, address: Address::ZERO },
        token: Address::ZERO,
        decimals: 18,
        deployed_at: 0,
        visibility: Default::default(),
        jurisdiction: String::new(),
    };
    let mut known = crate::state::campaign::Campaign::new(terms, 1);
    known.batches.insert(1, batch(1, vec![attempt(7, 1, 208)]));
    state.campaigns.insert(id, known);
    assert_eq!(lane_of(&state, id, &lanes), Some(0), "the account that signed is kept");
    assert_eq!(lane_of(&state, id, &lanes[1..]), Some(1), "an account that is gone cannot be waited for");
    // Another account took it up under a newer epoch, whichever batches it signed for.
    let newer = Attempt { epoch: Epoch::MAX, lane: lanes[1], ..attempt(8, 1, 208) };
    let batches = &mut state.campaigns.get_mut(&id).unwrap().batches;
    batches.insert(1, batch(1, vec![attempt(7, 1, 208), newer]));
    batches.insert(2, batch(2, vec![attempt(9, 1, 208)]));
    assert_eq!(lane_of(&state, id, &lanes), Some(1), "its nonces are the ones that are held");
    state.campaigns.get_mut(&id).unwrap().batches.clear();
    assert_eq!(lane_of(&state, id, &lanes), Some(2));
}
