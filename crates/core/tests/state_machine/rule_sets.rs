//! Rule sets: proposed, approved by others, activated at a position or a time, retired.

use sluice_core::command::{Action, RoundMode, RulesTerms};
use sluice_core::decide::Input;
use sluice_core::limits::{RULE_SETS_MAX, RULES_PROPOSED_MAX};
use sluice_core::log::entry::{Body, Due, Outcome};
use sluice_core::refusal::Code;
use sluice_core::state::rules::RulesPhase;

use crate::institutions::{institution, rules};
use crate::world::World;

fn approve(text: &str) -> Action {
    Action::ApproveRules { rules: rules(1, text).hash() }
}

fn activate(text: &str, at: u64) -> Action {
    Action::ActivateRules { rules: rules(1, text).hash(), at }
}

fn proposed() -> World {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1], Action::ProposeRules(rules(1, "a")));
    world
}

#[test]
fn a_rule_set_comes_into_force_when_enough_others_approved() {
    let mut world = proposed();
    let lineage = rules(1, "a").lineage_id();
    assert_eq!(
        world.refused(&[1], activate("a", 0)),
        Some(Code::QuorumMissing),
        "its proposer alone is not M"
    );
    assert_eq!(world.refused(&[1], approve("a")), Some(Code::SelfApproval));
    assert_eq!(world.refused(&[2, 1], approve("a")), Some(Code::SelfApproval), "nor beside another");
    world.order(&[2], approve("a"));
    assert_eq!(world.refused(&[2], approve("a")), Some(Code::SelfApproval), "each institution once");
    assert_eq!(world.state().rules_in_force(lineage), None);
    world.order(&[1], activate("a", 0));
    assert_eq!(world.state().rules_in_force(lineage), Some(rules(1, "a").hash()));
    assert_eq!(world.refused(&[1], activate("a", 0)), Some(Code::RulesPhase));
    assert_eq!(world.refused(&[3], approve("a")), Some(Code::RulesPhase));
    assert_eq!(world.refused(&[1], Action::ProposeRules(rules(1, "a"))), Some(Code::RulesExist));
}

#[test]
fn the_next_version_of_a_lineage_takes_the_place_of_the_last() {
    let mut world = World::open(10, RoundMode::Push);
    let (first, second) = (world.in_force("a"), world.in_force("b"));
    assert_eq!(world.state().rules_in_force(rules(1, "").lineage_id()), Some(second));
    assert_eq!(world.state().rule_sets[&first].phase, RulesPhase::Retired);
    world.order(&[1], Action::RetireRules { rules: second });
    assert_eq!(world.state().rules_in_force(rules(1, "").lineage_id()), None);
    assert_eq!(world.refused(&[1], Action::RetireRules { rules: second }), Some(Code::RulesPhase));
}

#[test]
fn a_retired_rule_set_comes_back_by_as_many_approvals_as_a_new_one() {
    let mut world = World::open(10, RoundMode::Push);
    let (first, _second) = (world.in_force("a"), world.in_force("b"));
    let early = world.by(&[2], approve("a"));
    world.order(&[1], Action::ProposeRules(rules(1, "a")));
    assert_eq!(world.code(early), Some(Code::Stale), "an approval signed before is not for this proposal");
    assert_eq!(
        world.refused(&[1], activate("a", 0)),
        Some(Code::QuorumMissing),
        "earlier approvals are gone"
    );
    world.order(&[2], approve("a"));
    world.order(&[1], activate("a", 0));
    assert_eq!(world.state().rules_in_force(rules(1, "").lineage_id()), Some(first));
}

#[test]
fn an_owner_has_so_many_proposals_waiting_and_withdraws_what_it_no_longer_wants() {
    let mut world = World::open(10, RoundMode::Push);
    for n in 0..RULES_PROPOSED_MAX {
        world.order(&[1], Action::ProposeRules(rules(1, &format!("text {n}"))));
    }
    let one_more = || Action::ProposeRules(rules(1, "one more"));
    assert_eq!(world.refused(&[1], one_more()), Some(Code::TooManyRules));
    world.order(&[2], Action::ProposeRules(rules(2, "another owner's")));
    let name = rules(1, "text 0").hash();
    assert_eq!(world.refused(&[2], Action::RetireRules { rules: name }), Some(Code::QuorumMissing));
    world.order(&[1], Action::RetireRules { rules: name });
    assert_eq!(world.refused(&[2], approve("text 0")), Some(Code::RulesPhase));
    assert_eq!(world.refused(&[1], one_more()), None);
}

#[test]
fn the_rule_set_retired_longest_ago_makes_room_when_state_is_full() {
    let mut world = World::open(10, RoundMode::Push);
    let propose_and_withdraw = |world: &mut World, numbers: std::ops::Range<usize>| {
        let all: Vec<_> = numbers.map(|n| rules(1, &format!("text {n}"))).collect();
        let orders = |world: &mut World, action: &dyn Fn(&RulesTerms) -> Action| {
            let inputs: Vec<_> = all.iter().map(|t| Input::Command(world.by(&[1], action(t)))).collect();
            let bodies = world.submit(inputs);
            assert!(bodies.iter().all(|body| matches!(body, Body::Ordered(_))), "{bodies:?}");
        };
        orders(world, &|terms| Action::ProposeRules(terms.clone()));
        orders(world, &|terms| Action::RetireRules { rules: terms.hash() });
    };
    for from in (0..RULE_SETS_MAX).step_by(RULES_PROPOSED_MAX) {
        propose_and_withdraw(&mut world, from..from + RULES_PROPOSED_MAX);
    }
    assert_eq!(world.state().rule_sets.len(), RULE_SETS_MAX);
    propose_and_withdraw(&mut world, RULE_SETS_MAX..RULE_SETS_MAX + 1);
    let (oldest, newest) = (rules(1, "text 0").hash(), rules(1, &format!("text {RULE_SETS_MAX}")).hash());
    let state = world.state();
    assert_eq!(state.rule_sets.len(), RULE_SETS_MAX);
    assert!(!state.rule_sets.contains_key(&oldest) && state.rule_sets.contains_key(&newest));
}

#[test]
fn an_office_owns_rules_but_its_word_and_its_approval_do_not_count() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let propose = world.under(mandate, 8, Action::ProposeRules(rules(8, "x")));
    world.done(propose);
    let name = rules(8, "x").hash();
    world.order(&[1], Action::ApproveRules { rules: name });
    assert_eq!(
        world.refused(&[8], Action::ActivateRules { rules: name, at: 0 }),
        Some(Code::QuorumMissing),
        "one institution of the Charter and an office are not two of the Charter"
    );
    assert_eq!(world.refused(&[8], Action::ApproveRules { rules: name }), Some(Code::NotAuthorized));
    assert_eq!(world.refused(&[8, 3], Action::ApproveRules { rules: name }), Some(Code::NotAuthorized));
    world.order(&[2], Action::ApproveRules { rules: name });
    assert_eq!(world.refused(&[8], Action::ActivateRules { rules: name, at: 0 }), None);
}

#[test]
fn approvals_lapse_when_the_institutions_change() {
    let mut world = proposed();
    world.order(&[2], approve("a"));
    let read = world.charter(2);
    world.see([read]);
    assert_eq!(world.refused(&[1], activate("a", 0)), Some(Code::QuorumMissing));
    world.order(&[2], approve("a"));
    world.order(&[1], activate("a", 0));
}

#[test]
fn an_activation_signed_before_the_last_approval_is_stale() {
    let mut world = proposed();
    world.order(&[2], approve("a"));
    let early = world.by(&[1], activate("a", 0));
    let (changed, _) = world.order(&[3], approve("a"));
    let Body::CommandRefused(refused) = &world.submit(vec![Input::Command(early)])[0] else { panic!() };
    assert_eq!((refused.code, refused.changed_at), (Code::Stale, Some(changed)));
}

#[test]
fn only_its_owner_proposes_and_only_owner_or_threshold_activate() {
    let mut world = World::open(10, RoundMode::Push);
    assert_eq!(world.refused(&[2], Action::ProposeRules(rules(1, "a"))), Some(Code::NotAuthorized));
    assert_eq!(world.refused(&[1], Action::ProposeRules(rules(1, ""))), Some(Code::BadRules));
    assert_eq!(world.refused(&[1], approve("a")), Some(Code::UnknownRules));
    world.order(&[1], Action::ProposeRules(rules(1, "a")));
    world.order(&[2], approve("a"));
    assert_eq!(world.refused(&[2], activate("a", 0)), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[2, 3], activate("a", 0)), None);
    assert_eq!(world.state().rule_sets[&rules(1, "a").hash()].proposer, institution(1));
}

#[test]
fn a_rule_set_for_later_starts_by_falling_due_unless_it_is_retired_before() {
    let mut world = proposed();
    world.order(&[2], approve("a"));
    let at = world.now + 5_000;
    let (_, outcome) = world.order(&[1], activate("a", at));
    assert_eq!(outcome, Outcome::Scheduled);
    let lineage = rules(1, "a").lineage_id();
    let mut retired = world.clone();
    world.now = at - 1;
    assert!(world.submit(Vec::new()).is_empty());
    world.now = at;
    assert_eq!(world.submit(Vec::new()), [Body::Due(Due::RulesStart { rules: rules(1, "a").hash() })]);
    assert_eq!(world.state().rules_in_force(lineage), Some(rules(1, "a").hash()));
    retired.order(&[1], Action::RetireRules { rules: rules(1, "a").hash() });
    retired.now = at;
    assert!(retired.submit(Vec::new()).is_empty());
    assert_eq!(retired.state().rules_in_force(lineage), None);
}
