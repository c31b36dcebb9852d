//! Mandates and delegations: what offices and vendors may do, counted at the position.

use sluice_core::amount::Total;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::{Decision, Input, PersonSeen, VerifiedCommand, decide};
use sluice_core::ids::CampaignId;
use sluice_core::log::entry::{Body, Commanded};
use sluice_core::refusal::Code;
use sluice_core::state::authority::Limits;

use crate::institutions::{delegation, hold_of, hold_person, institution, person, signer};
use crate::world::{World, campaign, recipient, sum};

fn push(from: u64, to: u64) -> Action {
    Action::Push { campaign: campaign(1), round: 1, from, to }
}

fn limited(command: &mut VerifiedCommand, limits: Limits) {
    command.verdict.as_mut().unwrap().mandate.as_mut().unwrap().limits = limits;
}

#[test]
fn an_office_does_what_its_mandate_permits_and_the_evidence_names_it() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    assert_eq!(world.refused(&[8], push(0, 1)), Some(Code::MandateMissing));
    let mandate = world.mandate(8);
    let command = world.under(mandate, 8, push(0, 1));
    let Body::Pushed(pushed) = &world.submit(vec![Input::Command(command)])[0] else { panic!() };
    let Commanded { evidence, .. } = &pushed.command;
    assert_eq!((evidence.mandate, evidence.policies.as_slice()), (mandate, &["may".to_owned()][..]));
    assert_eq!(world.state().mandates[&mandate].spent.amount, sum([0]));
    let by_another = world.under(mandate, 1, push(1, 2));
    assert_eq!(world.code(by_another), Some(Code::MandateMissing), "a mandate is its holder's");
    let mut void =
        world.under(mandate, 8, Action::Void { campaign: campaign(1), round: 1, indexes: vec![3] });
    void.command.subject_version = world.state().seq;
    assert_eq!(world.code(void), Some(Code::NotAuthorized), "no mandate stands in for M of N");
}

#[test]
fn what_a_mandate_s_policies_deny_is_refused_with_their_names() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let mut command = world.under(mandate, 8, push(0, 1));
    command.verdict.as_mut().unwrap().mandate.as_mut().unwrap().permits = false;
    let Body::CommandRefused(refused) = &world.submit(vec![Input::Command(command)])[0] else { panic!() };
    assert_eq!((refused.code, refused.policies.as_slice()), (Code::MandateDenies, &["may".to_owned()][..]));
    assert_eq!(refused.authority, institution(8));
}

#[test]
fn concurrent_commands_cannot_overspend_a_mandate() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let mut limits = Limits { amount: Some(sum(0..3)), ..Limits::default() };
    let mut held = [hold_of(&[0]), hold_of(&[1, 2]), hold_of(&[3])].map(|a| world.under(mandate, 8, a));
    held.iter_mut().for_each(|c| limited(c, limits));
    let bodies = world.submit(held.into_iter().map(Input::Command).collect());
    let refused: Vec<_> = bodies.iter().map(crate::world::refusal).collect();
    assert_eq!(refused, [None, None, Some(Code::MandateSpent)]);
    assert_eq!(world.state().mandates[&mandate].spent.amount, sum(0..3));
    limits = Limits { count: Some(3), ..Limits::default() };
    let mut third = world.under(mandate, 8, hold_of(&[4]));
    limited(&mut third, limits);
    assert_eq!(world.code(third), Some(Code::MandateSpent), "three entitlements were held under it");
}

#[test]
fn every_kind_of_command_counts_against_its_mandate() {
    let mut world = World::open(10, RoundMode::Push);
    let mandate = world.mandate(1);
    let mut terms = world.known().terms.clone();
    terms.campaign = campaign(2);
    terms.distributor.address = crate::world::recipient(77);
    let create = world.under(mandate, 1, Action::CreateCampaign(terms));
    assert_eq!(world.code(create), None);
    assert_eq!(world.state().mandates[&mandate].spent.count, 1);
    let round = world.terms(campaign(1), 2, 4, RoundMode::Push);
    let mut publish = world.by(&[1, 2], Action::Publish(round));
    publish.command.mandate = mandate;
    world.reverify(&mut publish);
    assert_eq!(world.code(publish), None);
    assert_eq!(world.state().mandates[&mandate].spent.count, 2);
}

#[test]
fn a_mandate_that_changed_sends_its_command_back_and_one_that_ended_refuses_it() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let mut command = world.under(mandate, 8, push(0, 1));
    command.verdict.as_mut().unwrap().mandate = None;
    assert_eq!(world.submit_all(vec![Input::Command(command.clone())]).1, 1, "nobody asked the mandate");
    world.reverify(&mut command);
    command.verdict.as_mut().unwrap().mandate.as_mut().unwrap().version -= 1;
    assert_eq!(world.submit_all(vec![Input::Command(command.clone())]).1, 1);
    world.order(&[8], Action::RevokeMandate { mandate });
    assert_eq!(world.code(command), Some(Code::MandateMissing));
    assert_eq!(world.refused(&[1, 2], Action::RevokeMandate { mandate }), Some(Code::AlreadyRevoked));
}

/// A delegation of office 8 under its mandate, and a command that the vendor signs.
fn vendor(
    world: &mut World,
    change: impl FnOnce(&mut sluice_core::command::DelegationTerms),
) -> [alloy_primitives::B256; 2] {
    world.register(8);
    let mandate = world.mandate(8);
    let mut terms = delegation(8, mandate);
    change(&mut terms);
    let command = world.by(&[8], Action::Delegate(terms.clone()));
    let id = terms.id(command.id);
    world.done(command);
    [mandate, id]
}

fn by_vendor(
    world: &mut World,
    [mandate, delegation]: [alloy_primitives::B256; 2],
    action: Action,
) -> VerifiedCommand {
    let mut command = world.under(mandate, 8, action);
    command.command.delegation = delegation;
    command.command.approvals[0].signer = signer(0x7e);
    command
}

#[test]
fn a_vendor_s_key_acts_in_the_office_s_name_within_its_delegation() {
    let mut world = World::open(10, RoundMode::Push);
    let ids = vendor(&mut world, |terms| terms.amount_max = Some(sum(0..2)));
    let command = by_vendor(&mut world, ids, push(0, 2));
    let Body::Pushed(pushed) = &world.submit(vec![Input::Command(command)])[0] else { panic!() };
    let evidence = &pushed.command.evidence;
    assert_eq!([evidence.mandate, evidence.delegation], ids, "the evidence shows both");
    let more = by_vendor(&mut world, ids, push(2, 3));
    assert_eq!(world.code(more), Some(Code::DelegationDenies), "its amount is used up");
    let other = by_vendor(&mut world, ids, Action::RevokeMandate { mandate: ids[0] });
    assert_eq!(world.code(other), Some(Code::DelegationDenies), "not among its actions");
    let mut without = by_vendor(&mut world, ids, push(2, 3));
    without.command.delegation = alloy_primitives::B256::ZERO;
    assert_eq!(world.code(without), Some(Code::NotAuthorized), "the key speaks for nobody by itself");
    let mut office = by_vendor(&mut world, ids, push(2, 3));
    office.command.approvals[0].signer = signer(8);
    assert_eq!(world.code(office), Some(Code::DelegationDenies), "a delegation is the vendor's to name");
}

#[test]
fn two_commands_of_a_vendor_in_one_group_cannot_overspend_its_delegation() {
    let mut world = World::open(10, RoundMode::Push);
    let ids = vendor(&mut world, |terms| terms.count_max = Some(1));
    let both =
        [hold_of(&[0]), hold_of(&[1])].map(|action| Input::Command(by_vendor(&mut world, ids, action)));
    let refused: Vec<_> = world.submit(both.into()).iter().map(crate::world::refusal).collect();
    assert_eq!(refused, [None, Some(Code::DelegationDenies)]);
}

#[test]
fn a_delegation_ends_by_its_time_by_revocation_and_elsewhere() {
    let mut world = World::open(10, RoundMode::Push);
    let until = world.now + 1_000;
    let ids = vendor(&mut world, |terms| (terms.expires_at, terms.campaign) = (until, Some(campaign(1))));
    let inside = by_vendor(&mut world, ids, push(0, 1));
    assert_eq!(world.code(inside), None);
    let person = by_vendor(&mut world, ids, crate::institutions::hold_person(1));
    assert_eq!(world.code(person), Some(Code::DelegationDenies), "it holds for one campaign");
    let mut late = world.clone();
    late.now = until;
    let expired = by_vendor(&mut late, ids, push(1, 2));
    assert_eq!(late.code(expired), Some(Code::DelegationDenies));
    world.order(&[8], Action::RevokeDelegation { delegation: ids[1] });
    let revoked = by_vendor(&mut world, ids, push(1, 2));
    assert_eq!(world.code(revoked), Some(Code::DelegationDenies));
}

#[test]
fn only_what_is_one_s_own_can_be_delegated_and_nothing_that_lends_further_powers() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let zero = alloy_primitives::B256::ZERO;
    let with = |change: &dyn Fn(&mut sluice_core::command::DelegationTerms)| {
        let mut terms = delegation(8, mandate);
        change(&mut terms);
        Action::Delegate(terms)
    };
    let now = world.now;
    assert_eq!(world.refused(&[1], with(&|_| ())), Some(Code::NotAuthorized), "another's name");
    assert_eq!(world.refused(&[1], with(&|t| t.authority = institution(1))), Some(Code::MandateMissing));
    type Change = dyn Fn(&mut sluice_core::command::DelegationTerms);
    let denied: [&Change; 9] = [
        &|t| t.actions = vec!["delegate".into()],
        &|t| t.actions = vec!["push".into(), "change_keys".into()],
        &|t| t.actions = vec!["fly".into()],
        &|t| t.actions.clear(),
        &|t| t.vendor = signer(2),
        &|t| t.campaign = Some(CampaignId::default()),
        &|t| t.amount_max = Some(Total(u128::MAX)),
        &|t| t.count_max = Some(u64::MAX),
        &move |t| t.expires_at = now,
    ];
    for (at, change) in denied.into_iter().enumerate() {
        assert_eq!(world.refused(&[8], with(change)), Some(Code::DelegationDenies), "{at}");
    }
    assert_eq!(
        world.refused(&[8], with(&move |t| t.mandate = zero)),
        None,
        "its own power, whatever that is"
    );
}

/// What happens to a person: it is bound in a jurisdiction, or moves to another address.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Bound(&'static str),
    Moved,
}

/// Every sequence of at most two steps.
fn sequences() -> Vec<Vec<Step>> {
    let steps = [Step::Bound(""), Step::Bound("DE"), Step::Bound("AT"), Step::Moved];
    let two = steps.iter().flat_map(|first| steps.map(|second| vec![*first, second]));
    std::iter::once(Vec::new()).chain(steps.map(|step| vec![step])).chain(two).collect()
}

/// Takes the steps of person 3; says in how many of them it came to belong elsewhere. `None` where it cannot take them.
fn take(world: &mut World, steps: &[Step]) -> Option<usize> {
    let mut elsewhere = 0;
    for step in steps {
        let before = world.state().persons.get(&person(3)).cloned();
        let payee = recipient(40 + world.state().seq % 7);
        match step {
            Step::Bound(place) => {
                let jurisdiction = (*place).to_owned();
                elsewhere += usize::from(before.is_none_or(|known| known.jurisdiction != jurisdiction));
                world.order(&[1, 2], Action::BindPerson { person: person(3), payee, jurisdiction });
            }
            Step::Moved => {
                let moved = world.by_person(before?.payee, Action::ChangePayee { person: person(3), payee });
                world.done(moved);
            }
        }
    }
    Some(elsewhere)
}

#[test]
fn what_a_mandate_said_of_a_person_holds_until_the_person_belongs_elsewhere() {
    let mut base = World::open(10, RoundMode::Push);
    base.register(8);
    let mandate = base.mandate(8);
    let (held, _) = base.order(&[1], hold_person(3));
    let mut seen = (0, 0);
    for before in sequences() {
        let mut world = base.clone();
        if take(&mut world, &before).is_none() {
            continue;
        }
        let about_person = [hold_person(3), Action::ConfirmHold { hold: held }];
        let about_person = about_person.map(|action| world.under(mandate, 8, action));
        let others = [hold_person(4), hold_of(&[1])].map(|action| world.under(mandate, 8, action));
        for after in sequences() {
            let mut world = world.clone();
            let Some(elsewhere) = take(&mut world, &after) else { continue };
            let decision = |c: &VerifiedCommand| decide(world.state(), &Input::Command(c.clone()), world.now);
            for command in &about_person {
                let again = decision(command) == Decision::Again;
                assert_eq!(again, elsewhere > 0, "{before:?}, then {after:?}: {:?}", command.command.action);
                *(if again { &mut seen.0 } else { &mut seen.1 }) += 1;
            }
            for command in &others {
                assert!(matches!(decision(command), Decision::Entry(_)), "{before:?}, then {after:?}");
            }
        }
    }
    assert!(seen.0 > 100 && seen.1 > 100, "{seen:?}");
}

/// Who looked before a hold was there, or after it ended, did not ask about the person whom the hold is on.
#[test]
fn a_mandate_is_asked_about_the_person_whom_the_command_concerns_at_its_position() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let (hold, _) = world.order(&[1], hold_person(3));
    let confirm = world.under(mandate, 8, Action::ConfirmHold { hold });
    let decision =
        |world: &World, c: &VerifiedCommand| decide(world.state(), &Input::Command(c.clone()), world.now);
    let seen_as = |whom: Option<u64>| {
        let mut command = confirm.clone();
        let seen = whom.map(|n| PersonSeen { person: person(n), version: 0 });
        command.verdict.as_mut().unwrap().mandate.as_mut().unwrap().person = seen;
        command
    };
    assert!(matches!(decision(&world, &seen_as(Some(3))), Decision::Entry(_)));
    assert_eq!(decision(&world, &seen_as(Some(4))), Decision::Again);
    assert_eq!(decision(&world, &seen_as(None)), Decision::Again);
    world.order(&[1], Action::Release { hold });
    assert_eq!(decision(&world, &seen_as(Some(3))), Decision::Again);
    assert_eq!(world.code(seen_as(None)), Some(Code::UnknownHold));
}

#[test]
fn a_place_that_is_none_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let nowhere =
        Action::BindPerson { person: person(3), payee: recipient(3), jurisdiction: "Berlin".into() };
    assert_eq!(world.refused(&[1, 2], nowhere), Some(Code::BadJurisdiction));
}
