//! An edited log: entries that no decision would have made here are refused by `apply`, with what is wrong.

use sluice_core::amount::Total;
use sluice_core::command::{Action, RoundMode};
use sluice_core::decide::{Decision, Input, VerifiedCommand, decide};
use sluice_core::ids::DemandId;
use sluice_core::log::entry::{Body, ChainEvent, Commanded, Entry, GateAnswered, Outcome};
use sluice_core::refusal::Code;

use crate::institutions::{
    approvals, delegation, gate, hold_of, hold_person, institution, person, rules, signer,
};
use crate::world::{World, amount, campaign, hash};

fn force(world: &World, body: Body) -> Result<(), &'static str> {
    let mut state = world.state().clone();
    let (stream, seq, epoch) = (state.stream, state.seq + 1, state.epoch);
    let entry = Entry { stream, seq, epoch, recorded_at: world.now.max(state.recorded_at), body };
    state.apply(&entry).map(|_| ()).map_err(|error| error.why)
}

fn entry(world: &World, input: &Input) -> Body {
    match decide(world.state(), input, world.now) {
        Decision::Entry(body) => *body,
        other => panic!("{other:?}"),
    }
}

/// What a command becomes where nothing stands against it.
fn ordered(world: &World, command: VerifiedCommand) -> Commanded<Outcome> {
    match entry(world, &Input::Command(command)) {
        Body::Ordered(ordered) => ordered,
        other => panic!("{other:?}"),
    }
}

/// The same order once more, seen at the present position.
fn again(world: &mut World, mut ordered: Commanded<Outcome>) -> Body {
    ordered.intake = world.key(ordered.intake.campaign);
    ordered.command.subject_version = world.state().seq;
    Body::Ordered(ordered)
}

/// Orders `action`; forced in `later`, it is refused because of `code`, and untouched it is accepted before.
fn refused_later(world: &World, by: &[u8], action: Action, code: Code, later: impl FnOnce(&mut World)) {
    let mut before = world.clone();
    let command = before.by(by, action.clone());
    let good = ordered(&before, command);
    force(&before, Body::Ordered(good.clone())).unwrap();
    let mut after = world.clone();
    later(&mut after);
    let bad = again(&mut after, good);
    assert_eq!(force(&after, bad), Err(code.sentence()), "{action:?}");
}

#[test]
fn orders_that_the_state_forbids_are_refused() {
    let mut world = World::open(60, RoundMode::Push);
    world.register(8);
    let mandate = world.mandate(8);
    let set = rules(1, "a");
    let name = set.hash();
    world.order(&[1], Action::ProposeRules(set));
    let (hold, _) = world.order(&[1], hold_of(&[1]));
    let same = |action: &Action| {
        let action = action.clone();
        move |world: &mut World| {
            world.order(&[1, 2], action);
        }
    };
    let revoke = Action::RevokeMandate { mandate };
    refused_later(&world, &[1, 2], revoke.clone(), Code::AlreadyRevoked, same(&revoke));
    let gate = Action::DefineGate(gate(1, vec![hash(1)]));
    refused_later(&world, &[1, 2], gate.clone(), Code::GateMismatch, same(&gate));
    let unknown = Action::RevokeAttestation { uid: person(1) };
    refused_later(&world, &[1, 2], unknown.clone(), Code::AlreadyRevoked, same(&unknown));
    let keys = Action::ChangeKeys { authority: institution(1), add: vec![signer(0x11)], revoke: Vec::new() };
    refused_later(&world, &[1, 2], keys.clone(), Code::AuthorityExists, same(&keys));
    let approve = Action::ApproveRules { rules: name };
    refused_later(&world, &[2], approve.clone(), Code::SelfApproval, |world| {
        world.order(&[2], approve.clone());
    });
    let release = Action::Release { hold };
    refused_later(&world, &[1], release.clone(), Code::UnknownHold, |world| {
        world.order(&[1], release.clone());
    });
    let confirm = Action::ConfirmHold { hold };
    refused_later(&world, &[2], confirm.clone(), Code::SameAuthority, |world| {
        world.order(&[3], confirm.clone());
    });
    let mut approved = world.clone();
    approved.order(&[2], approve);
    let activate = Action::ActivateRules { rules: name, at: 0 };
    refused_later(&approved, &[1], activate, Code::QuorumMissing, |world| {
        let read = world.charter(2);
        world.see([read]);
    });
}

#[test]
fn an_order_with_other_signers_is_refused_where_it_matters_who_they_are() {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1], Action::ProposeRules(rules(1, "a")));
    let approve = world.by(&[2], Action::ApproveRules { rules: rules(1, "a").hash() });
    let mut approved = ordered(&world, approve);
    approved.command.approvals = approvals(&[1]);
    assert_eq!(force(&world, Body::Ordered(approved)), Err(Code::SelfApproval.sentence()));
    let (hold, _) = world.order(&[1], hold_of(&[1]));
    let confirm = world.by(&[2], Action::ConfirmHold { hold });
    let mut confirmed = ordered(&world, confirm);
    confirmed.command.approvals = approvals(&[1]);
    assert_eq!(force(&world, Body::Ordered(confirmed)), Err(Code::SameAuthority.sentence()));
}

#[test]
fn a_stale_order_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let limit = world.by(&[1, 2], Action::SetLimit { campaign: campaign(1), limit: None });
    let good = ordered(&world, limit);
    world.order(&[1, 2], Action::SetLimit { campaign: campaign(1), limit: Some(Total(5)) });
    assert_eq!(force(&world, Body::Ordered(good)), Err(Code::Stale.sentence()));
}

#[test]
fn a_hold_that_covers_counts_or_names_something_else_is_refused() {
    let mut world = World::open(10, RoundMode::Pull);
    world.decide([1, 2, 3]);
    world.plan();
    let hold = world.by(&[1], hold_of(&[1, 2]));
    let good = ordered(&world, hold);
    force(&world, Body::Ordered(good.clone())).unwrap();
    let edits: [&dyn Fn(&mut sluice_core::log::entry::HoldPlaced); 8] = [
        &|placed| placed.covers[1] = placed.covers[0],
        &|placed| placed.covers.reverse(),
        &|placed| placed.covers[1].entitlement.index = 3,
        &|placed| placed.covers[1].campaign = campaign(2),
        &|placed| placed.in_flight.clear(),
        &|placed| placed.batches.push((1, 1)),
        &|placed| placed.alone.held = 0,
        &|placed| placed.alone.last += 1,
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        let mut bad = good.clone();
        let Outcome::Held(placed) = &mut bad.outcome else { panic!() };
        edit(placed);
        assert!(force(&world, Body::Ordered(bad)).is_err(), "{at}");
    }
    let mut done = good;
    done.outcome = Outcome::Done;
    assert_eq!(force(&world, Body::Ordered(done)), Err("the command cannot have this outcome"));
    let paid = world.paid_event(1, 5);
    let free = world.by(&[1], hold_of(&[5, 6]));
    let of_two = ordered(&world, free);
    world.events(campaign(1), vec![paid]);
    let late = again(&mut world, of_two);
    assert_eq!(force(&world, late), Err("the hold covers what it does not name, or what is not owed"));
}

#[test]
fn answers_and_appeals_that_say_more_than_was_decided_are_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let (first, _) = world.order(&[1], hold_of(&[1]));
    let (second, _) = world.order(&[1], hold_of(&[2]));
    let about = sluice_core::command::AppealAbout::Hold { hold: first };
    let file = world.by_person(crate::world::recipient(1), Action::FileAppeal { about });
    let mut filed = ordered(&world, file.clone());
    let Outcome::Appealed(appealed) = &mut filed.outcome else { panic!() };
    appealed.against = institution(2);
    assert_eq!(force(&world, Body::Ordered(filed)), Err("the appeal is against another's decision"));
    let (appeal, _) = world.done(file);
    for (upheld, released) in [(false, Some(first)), (true, None), (true, Some(second))] {
        let command = world.by(&[2, 3], Action::AnswerAppeal { appeal, upheld });
        let mut answered = ordered(&world, command);
        answered.outcome = Outcome::Answered { released };
        let wrong = "the answer releases another hold than the one appealed against";
        assert_eq!(force(&world, Body::Ordered(answered)), Err(wrong));
    }
}

#[test]
fn what_is_spent_of_a_delegation_stays_within_it_and_what_ended_is_not_spent() {
    let mut world = World::open(10, RoundMode::Push);
    let mut terms = delegation(1, alloy_primitives::B256::ZERO);
    terms.count_max = Some(1);
    let delegate = world.by(&[1], Action::Delegate(terms.clone()));
    let id = terms.id(delegate.id);
    world.done(delegate);
    let mandate = world.mandate(1);
    let mut command = world.under(mandate, 1, hold_of(&[1]));
    let by_mandate = ordered(&world, command.clone());
    command.command.mandate = alloy_primitives::B256::ZERO;
    command.command.delegation = id;
    command.command.approvals[0].signer = signer(0x7e);
    let good = ordered(&world, command.clone());
    world.done(command);
    let second = again(&mut world, good.clone());
    assert_eq!(force(&world, second), Err("the delegation's limits are used up"));
    world.order(&[1], Action::RevokeDelegation { delegation: id });
    world.order(&[1], Action::RevokeMandate { mandate });
    let after = again(&mut world, good);
    assert_eq!(force(&world, after), Err("there is no such delegation in force"));
    let after = again(&mut world, by_mandate);
    assert_eq!(force(&world, after), Err("there is no such mandate in force"));
}

#[test]
fn claims_beyond_a_pause_a_limit_or_their_gate_are_refused() {
    let (mut world, _) = World::gated(10);
    let claim = world.permitted(1);
    let Body::ClaimDecided(good) = entry(&world, &Input::Claim(claim)) else { panic!() };
    let body = Body::ClaimDecided(good.clone());
    force(&world, body.clone()).unwrap();
    let mut other_rules = good.clone();
    other_rules.evidence.rule_sets = vec![hash(5)];
    assert_eq!(force(&world, Body::ClaimDecided(other_rules)), Err("its rule sets are not those in force"));
    let mut none = good.clone();
    none.evidence.rule_sets.clear();
    assert_eq!(force(&world, Body::ClaimDecided(none)), Err("its rule sets are not those in force"));
    let mut paused = world.clone();
    let until = paused.now + 1_000;
    paused.order(&[1], Action::Pause { campaign: campaign(1), until });
    assert_eq!(force(&paused, body.clone()), Err("the campaign is paused"));
    let mut limited = world.clone();
    let limit = Some(Total(amount(1).get() - 1));
    limited.order(&[1, 2], Action::SetLimit { campaign: campaign(1), limit });
    assert_eq!(force(&limited, body), Err("the campaign's limit is reached"));
    let mut attested = good;
    attested.evidence.attestations = vec![person(9)];
    force(&world, Body::ClaimDecided(attested.clone())).unwrap();
    world.order(&[1, 2], Action::RevokeAttestation { uid: person(9) });
    assert_eq!(force(&world, Body::ClaimDecided(attested)), Err(Code::AttestationRefused.sentence()));
}

#[test]
fn a_push_beyond_a_pause_or_a_limit_is_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let push = world.push_input(0, 4);
    let body = entry(&world, &push);
    force(&world, body.clone()).unwrap();
    let mut limited = world.clone();
    limited.order(&[1, 2], Action::SetLimit { campaign: campaign(1), limit: Some(Total(1)) });
    assert_eq!(force(&limited, body.clone()), Err("the campaign's limit is reached"));
    let until = world.now + 1_000;
    world.order(&[1], Action::Pause { campaign: campaign(1), until });
    assert_eq!(force(&world, body), Err("the campaign is paused"));
}

#[test]
fn a_publication_whose_holds_gate_or_corrections_do_not_stand_is_refused() {
    let mut world = World::open(60, RoundMode::Push);
    let (on_listed, _) = world.order(&[1], hold_of(&[1]));
    let (hold, _) = world.order(&[1], hold_person(3));
    world.events(
        campaign(1),
        vec![ChainEvent::Voided {
            items: vec![(sluice_core::ids::EntitlementId { round: 1, index: 0 }, amount(0))],
        }],
    );
    let mut terms = world.terms(campaign(1), 2, 1, RoundMode::Push);
    terms.supersedes = 1;
    let publish = world.by(&[1, 2], Action::Publish(terms));
    let Body::RoundPublished(good) = entry(&world, &Input::Command(publish)) else { panic!() };
    force(&world, Body::RoundPublished(good.clone())).unwrap();
    let with = |edit: &dyn Fn(&mut sluice_core::log::entry::RoundPublished)| {
        let mut bad = good.clone();
        edit(&mut bad);
        force(&world, Body::RoundPublished(bad))
    };
    let unknown = Err(Code::UnknownHold.sentence());
    assert_eq!(with(&|p| p.held = vec![(hold + 100, 0, amount(0))]), unknown);
    assert_eq!(with(&|p| p.held = vec![(on_listed, 0, amount(0))]), unknown, "not a hold on a person");
    assert_eq!(with(&|p| p.held = vec![(hold, 1, amount(0))]), unknown, "outside the round");
    assert_eq!(with(&|p| p.held = vec![(hold, 0, amount(0)); 2]), unknown, "twice");
    assert_eq!(with(&|p| p.held = vec![(hold, 0, amount(0))]), Ok(()));
    assert_eq!(with(&|p| p.corrects[0].index = 1), Err(Code::CorrectionEarly.sentence()));
    assert_eq!(with(&|p| p.terms.supersedes = 0), Err(Code::BadRange.sentence()));
    assert_eq!(with(&|p| p.terms.gate = 1), Err(Code::GateMismatch.sentence()));
    assert_eq!(with(&|p| p.terms.mode = RoundMode::Gated), Err(Code::UnknownGate.sentence()));
}

#[test]
fn masks_that_no_decision_backs_are_refused() {
    let (mut world, _) = World::gated(10);
    let claim = world.permitted(1);
    world.submit(vec![Input::Claim(claim)]);
    let intake = world.key(campaign(1));
    let answered = |signed| Body::GateSigned(GateAnswered { intake, id: DemandId::default(), signed });
    force(&world, answered(world.mask([1]))).unwrap();
    assert!(force(&world, answered(world.mask([1, 2]))).is_err());
}
