//! Persons, their payees and appeals; attestations revoked.

use alloy_primitives::Address;
use sluice_core::command::{Action, AppealAbout, RoundMode};
use sluice_core::decide::{ClaimFault, Input, PersonSeen};
use sluice_core::ids::EntitlementId;
use sluice_core::limits::APPEAL_WITHIN;
use sluice_core::log::entry::{Appealed, Body, Due, Outcome};
use sluice_core::refusal::Code;

use crate::institutions::{hold_of, institution, person};
use crate::world::{World, campaign, recipient};

const HOME: Address = Address::repeat_byte(0x41);
const AWAY: Address = Address::repeat_byte(0x42);

fn bound() -> World {
    let mut world = World::open(60, RoundMode::Pull);
    world.order(&[1, 2], Action::BindPerson { person: person(3), payee: HOME, jurisdiction: String::new() });
    world
}

fn moved() -> Action {
    Action::ChangePayee { person: person(3), payee: AWAY }
}

fn entitlement(index: u64) -> EntitlementId {
    EntitlementId { round: 1, index }
}

#[test]
fn a_person_changes_its_own_payee_and_nothing_else() {
    let mut world = bound();
    let stranger = world.by_person(AWAY, moved());
    assert_eq!(world.code(stranger), Some(Code::NotPayee));
    let command = world.by_person(HOME, moved());
    assert_eq!(world.code(command), None);
    let known = &world.state().persons[&person(3)];
    assert_eq!((known.payee, known.vouched.iter().copied().collect::<Vec<_>>()), (AWAY, vec![HOME]));
    assert_eq!(known.registrar, institution(1));
    let back = world.by_person(HOME, Action::ChangePayee { person: person(3), payee: HOME });
    assert_eq!(world.code(back), Some(Code::NotPayee), "the former address has no say");
    for action in [
        Action::BindPerson { person: person(3), payee: HOME, jurisdiction: String::new() },
        hold_of(&[1]),
        Action::Push { campaign: campaign(1), round: 1, from: 0, to: 1 },
        Action::Pause { campaign: campaign(1), until: world.now + 1 },
    ] {
        let command = world.by_person(AWAY, action);
        assert_eq!(world.code(command), Some(Code::NotPayee));
    }
    let mut helped = world.by_person(AWAY, hold_of(&[1]));
    helped.command.approvals.extend(crate::institutions::approvals(&[1, 2]));
    world.reverify(&mut helped);
    assert_eq!(world.code(helped), Some(Code::NotPayee), "institutions do not act in a person's name");
    let mut unasked = world.by(&[1, 2], Action::ChangePayee { person: person(3), payee: HOME });
    unasked.command.subject_version = world.state().seq;
    assert_eq!(world.code(unasked), Some(Code::MandateMissing), "the registrar binds; only the person moves");
}

#[test]
fn a_binding_names_a_person_and_an_address() {
    let mut world = bound();
    let zero = alloy_primitives::B256::ZERO;
    assert_eq!(
        world.refused(&[1, 2], Action::BindPerson { person: zero, payee: HOME, jurisdiction: String::new() }),
        Some(Code::UnknownPerson)
    );
    let nowhere = Action::BindPerson { person: person(4), payee: Address::ZERO, jurisdiction: String::new() };
    assert_eq!(world.refused(&[1, 2], nowhere), Some(Code::UnknownPerson));
    let unknown = world.by_person(HOME, Action::ChangePayee { person: person(9), payee: HOME });
    assert_eq!(world.code(unknown), Some(Code::NotPayee));
}

#[test]
fn a_change_of_payee_signed_before_another_is_stale() {
    let mut world = bound();
    let stale = world.by_person(HOME, moved());
    world.order(&[1, 2], Action::BindPerson { person: person(3), payee: HOME, jurisdiction: String::new() });
    assert_eq!(world.code(stale), Some(Code::Stale));
}

#[test]
fn a_claim_verified_against_an_older_binding_is_verified_again_whichever_way_it_went() {
    let mut world = bound();
    let seen = PersonSeen { person: person(3), version: world.state().persons[&person(3)].version };
    let mut good = world.claim(3);
    good.verdict.as_mut().unwrap().person = Some(seen);
    let mut bad = world.claim(3);
    let fault = ClaimFault { code: Code::AttestationRefused, gate: None, person: Some(seen) };
    bad.verdict = Err(fault);
    let mut before = world.clone();
    let bodies = before.submit(vec![Input::Claim(bad.clone()), Input::Claim(good.clone())]);
    let [Body::ClaimRefused(refused), Body::ClaimDecided(decided)] = &bodies[..] else {
        panic!("{bodies:?}")
    };
    assert_eq!((refused.evidence.person, decided.evidence.person), (person(3), person(3)));
    let command = world.by_person(HOME, moved());
    world.done(command);
    let (bodies, again) = world.submit_all(vec![Input::Claim(bad), Input::Claim(good)]);
    assert_eq!((bodies.len(), again), (0, 2));
}

#[test]
fn whoever_is_listed_appeals_and_another_authority_answers() {
    let mut world = bound();
    world.decide([1]);
    let (hold, _) = world.order(&[1], hold_of(&[1]));
    let about = AppealAbout::Hold { hold };
    let stranger = world.by_person(HOME, Action::FileAppeal { about });
    assert_eq!(world.code(stranger), Some(Code::NotPayee));
    let file = world.by_person(recipient(1), Action::FileAppeal { about });
    let now = world.now;
    let (appeal, outcome) = world.done(file);
    let answer_by = now + u64::try_from(APPEAL_WITHIN.as_millis()).unwrap();
    assert_eq!(outcome, Outcome::Appealed(Appealed { against: institution(1), answer_by }));
    let again = world.by_person(recipient(1), Action::FileAppeal { about });
    assert_eq!(world.code(again), Some(Code::NothingToAppeal), "one at a time");
    let answer = |upheld| Action::AnswerAppeal { appeal, upheld };
    for by in [&[1, 2][..], &[2, 1]] {
        assert_eq!(world.refused(by, answer(true)), Some(Code::SameAuthority), "{by:?}");
    }
    assert_eq!(world.refused(&[2], answer(true)), Some(Code::QuorumMissing));
    let mut denied = world.clone();
    assert_eq!(denied.order(&[2, 3], answer(false)).1, Outcome::Answered { released: None });
    assert_eq!(denied.plan(), None);
    assert_eq!(denied.refused(&[2, 3], answer(true)), Some(Code::UnknownAppeal));
    assert_eq!(world.order(&[2, 3], answer(true)).1, Outcome::Answered { released: Some(hold) });
    assert_eq!(world.settle(), [1], "upheld ends the hold");
}

#[test]
fn an_appeal_against_a_hold_that_ended_meanwhile_releases_nothing_more() {
    let mut world = bound();
    let (hold, _) = world.order(&[1], hold_of(&[1]));
    let file = world.by_person(recipient(1), Action::FileAppeal { about: AppealAbout::Hold { hold } });
    let (appeal, _) = world.done(file);
    world.order(&[1], Action::Release { hold });
    let (_, outcome) = world.order(&[2, 3], Action::AnswerAppeal { appeal, upheld: true });
    assert_eq!(outcome, Outcome::Answered { released: None });
}

#[test]
fn an_appeal_that_nobody_answers_lapses() {
    let mut world = bound();
    world.void(vec![5]);
    let about = AppealAbout::Void { campaign: campaign(1), entitlement: entitlement(5) };
    let file = world.by_person(recipient(5), Action::FileAppeal { about });
    let (appeal, _) = world.done(file);
    world.now += u64::try_from(APPEAL_WITHIN.as_millis()).unwrap();
    assert!(world.submit(Vec::new()).contains(&Body::Due(Due::AppealLapses { appeal })));
    assert!(world.state().appeals.is_empty());
}

#[test]
fn there_is_no_appeal_against_what_nobody_decided() {
    let mut world = bound();
    world.decide([1]);
    let of = |index| EntitlementId { round: 1, index };
    for (about, index) in [
        (AppealAbout::Hold { hold: 3 }, 1),
        (AppealAbout::Void { campaign: campaign(1), entitlement: of(1) }, 1),
        (AppealAbout::Refusal { campaign: campaign(1), entitlement: of(1) }, 1),
    ] {
        let mut file = world.by_person(recipient(index), Action::FileAppeal { about });
        let listed = sluice_core::decide::Listed::Recipients(vec![recipient(index)]);
        file.verdict.as_mut().unwrap().listed = listed;
        assert_eq!(world.code(file), Some(Code::NothingToAppeal), "{about:?}");
    }
    let refusal = AppealAbout::Refusal { campaign: campaign(1), entitlement: of(2) };
    let file = world.by_person(recipient(2), Action::FileAppeal { about: refusal });
    assert_eq!(world.code(file), None);
}

#[test]
fn an_attestation_is_revoked_once() {
    let mut world = bound();
    let revoke = Action::RevokeAttestation { uid: person(1) };
    let (at, _) = world.order(&[1, 2], revoke.clone());
    assert_eq!(world.state().revoked[&person(1)], at);
    assert_eq!(world.refused(&[1, 2], revoke), Some(Code::AlreadyRevoked));
}
