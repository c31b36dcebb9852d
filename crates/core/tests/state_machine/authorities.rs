//! Who may order: keys in force, institutions of the Charter and others, and quorums.

use alloy_primitives::Bytes;
use sluice_core::command::{Action, AuthorityTerms, MandateTerms, RoundMode, Subject};
use sluice_core::decide::Input;
use sluice_core::log::entry::{Body, CharterRead, Institution};
use sluice_core::refusal::Code;

use crate::institutions::{gate, hold_of, hold_person, institution, signer};
use crate::world::{World, campaign};

fn keys(authority: u8, add: &[u8], revoke: &[u8]) -> Action {
    let all = |of: &[u8]| of.iter().map(|n| signer(*n)).collect();
    Action::ChangeKeys { authority: institution(authority), add: all(add), revoke: all(revoke) }
}

fn void(index: u64) -> Action {
    Action::Void { campaign: campaign(1), round: 1, indexes: vec![index] }
}

#[test]
fn an_office_outside_the_charter_counts_in_no_quorum() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    assert_eq!(world.refused(&[1, 8], void(1)), Some(Code::NotAuthorized), "it adds nothing beside another");
    assert_eq!(
        world.refused(&[8, 1, 2], void(1)),
        Some(Code::NotAuthorized),
        "nor do others act in its name"
    );
    assert_eq!(world.refused(&[8], hold_of(&[1])), Some(Code::MandateMissing));
    assert_eq!(world.refused(&[8, 1], hold_of(&[1])), Some(Code::MandateMissing));
    assert_eq!(world.refused(&[1, 2], void(1)), None);
}

#[test]
fn one_institution_counts_once_however_often_it_signs() {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1], keys(1, &[0x11], &[]));
    let mut twice = world.by(&[1, 1], void(1));
    twice.command.approvals[1].signer = signer(0x11);
    assert_eq!(world.code(twice), Some(Code::QuorumMissing));
}

#[test]
fn a_signature_counts_for_the_institution_whose_key_it_is() {
    let mut world = World::open(10, RoundMode::Push);
    let mut lent = world.by(&[1, 2], void(1));
    lent.command.approvals[1].signer = signer(1);
    assert_eq!(world.code(lent), Some(Code::NotAuthorized));
    let mut other = world.by(&[1, 2], void(1));
    other.command.approvals[0].authority = institution(3);
    assert_eq!(world.code(other), Some(Code::NotAuthorized), "not who was found to have signed");
}

#[test]
fn a_revoked_key_speaks_for_nobody_also_when_the_charter_lists_it() {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1], keys(1, &[0x11], &[1]));
    assert_eq!(world.state().authority_of(&signer(1)), None);
    assert_eq!(world.state().authority_of(&signer(0x11)), Some(institution(1)));
    assert_eq!(world.refused(&[1], hold_of(&[1])), Some(Code::NotAuthorized));
    // The Charter now says that it is institution 4's.
    let Body::CharterRead(CharterRead { charter, block, mut view }) = world.charter(2) else { panic!() };
    view.institutions.push(Institution { id: institution(4), signers: vec![signer(1)] });
    world.see([Body::CharterRead(CharterRead { charter, block, view })]);
    assert_eq!(world.state().authority_of(&signer(1)), None);
    let mut by_new_key = world.by(&[1], hold_of(&[1]));
    by_new_key.command.approvals[0].signer = signer(0x11);
    assert_eq!(world.code(by_new_key), None);
}

#[test]
fn a_key_is_never_used_again_and_is_one_institution_s() {
    let mut world = World::open(10, RoundMode::Push);
    world.order(&[1], keys(1, &[0x11], &[1]));
    for used in [1, 0x11, 2] {
        assert_eq!(world.refused(&[2], keys(2, &[used], &[])), Some(Code::AuthorityExists), "{used}");
        let terms =
            AuthorityTerms { authority: institution(9), name: String::new(), signers: vec![signer(used)] };
        let code = {
            let mut command = world.by(&[1, 2], Action::RegisterAuthority(terms));
            command.command.approvals[0].signer = signer(0x11);
            world.code(command)
        };
        assert_eq!(code, Some(Code::AuthorityExists), "{used}");
    }
    assert_eq!(world.refused(&[2], keys(2, &[], &[0x11])), Some(Code::AlreadyRevoked), "another's key");
}

#[test]
fn a_key_that_the_charter_gives_to_an_institution_was_not_taken_by_registering_it_first() {
    let mut world = World::open(10, RoundMode::Push);
    let terms =
        AuthorityTerms { authority: institution(8), name: String::new(), signers: vec![signer(0x33)] };
    world.order(&[1, 2], Action::RegisterAuthority(terms));
    let Body::CharterRead(CharterRead { charter, block, mut view }) = world.charter(2) else { panic!() };
    view.institutions[2].signers.push(signer(0x33));
    world.see([Body::CharterRead(CharterRead { charter, block, view })]);
    assert_eq!(world.state().authority_of(&signer(0x33)), Some(institution(3)));
}

#[test]
fn a_key_revoked_in_flight_sends_the_command_back_to_be_verified() {
    let mut world = World::open(10, RoundMode::Push);
    let mut command = world.by(&[2, 1], hold_of(&[1]));
    world.order(&[2], keys(2, &[], &[2]));
    let (bodies, again) = world.submit_all(vec![Input::Command(command.clone())]);
    assert_eq!((bodies.len(), again), (0, 1));
    world.reverify(&mut command);
    assert_eq!(world.code(command), Some(Code::NotAuthorized));
}

#[test]
fn another_s_keys_are_added_by_three_quarters_and_revoked_by_the_threshold() {
    let mut world = World::open(10, RoundMode::Push);
    assert_eq!(world.refused(&[1, 2], keys(3, &[0x13], &[])), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[1], keys(3, &[], &[3])), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[1, 2], keys(3, &[], &[3])), None);
    assert_eq!(world.refused(&[3], keys(3, &[0x13], &[])), Some(Code::NotAuthorized), "its only key is gone");
    world.register(8);
    assert_eq!(world.refused(&[1, 2], keys(8, &[0x18], &[])), None, "of an office the threshold suffices");
    assert_eq!(world.refused(&[8], keys(8, &[0x19], &[])), None, "and so does its own word");
    assert_eq!(world.refused(&[1, 2], keys(9, &[0x1a], &[])), Some(Code::UnknownAuthority));
    let many: Vec<u8> = (0x40..0x50).collect();
    assert_eq!(world.refused(&[8], keys(8, &many, &[])), Some(Code::TooMany));
}

#[test]
fn institutions_registered_twice_or_with_too_much_are_refused() {
    let mut world = World::open(10, RoundMode::Push);
    let terms = |n: u8, signers: Vec<Bytes>| {
        Action::RegisterAuthority(AuthorityTerms { authority: institution(n), name: "x".into(), signers })
    };
    assert_eq!(world.refused(&[1], terms(8, vec![signer(8)])), Some(Code::QuorumMissing));
    assert_eq!(world.refused(&[1, 2], terms(3, vec![signer(8)])), Some(Code::AuthorityExists));
    assert_eq!(world.refused(&[1, 2], terms(0, vec![signer(8)])), Some(Code::AuthorityExists));
    assert_eq!(world.refused(&[1, 2], terms(8, Vec::new())), Some(Code::TooMany));
    world.register(8);
    assert_eq!(world.refused(&[1, 2], terms(8, vec![signer(9)])), Some(Code::AuthorityExists));
}

#[test]
fn whatever_takes_the_charter_s_threshold_is_refused_to_one_institution() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let mandate = MandateTerms { holder: institution(8), text: Bytes::from_static(b"permit") };
    let orders = [
        Action::GrantMandate(mandate),
        Action::DefineGate(gate(1, Vec::new())),
        Action::Hold { target: sluice_core::command::HoldTarget::Campaign { campaign: campaign(1) } },
    ];
    for action in orders {
        assert_eq!(world.refused(&[1], action.clone()), Some(Code::QuorumMissing), "{action:?}");
        assert_eq!(world.refused(&[1, 3], action.clone()), None, "{action:?}");
    }
    for action in [
        Action::SetLimit { campaign: campaign(1), limit: None },
        Action::RevokeAttestation { uid: institution(5) },
        Action::BindPerson {
            person: institution(6),
            payee: crate::world::recipient(1),
            jurisdiction: String::new(),
        },
    ] {
        assert_eq!(world.refused(&[1], action.clone()), Some(Code::QuorumMissing));
        assert_eq!(world.refused(&[8], action.clone()), Some(Code::MandateMissing));
        assert_eq!(world.refused(&[1, 3], action), None);
    }
}

#[test]
fn mandates_are_for_somebody_who_exists() {
    let mut world = World::open(10, RoundMode::Push);
    let grant = |n: u8, text: &'static [u8]| {
        Action::GrantMandate(MandateTerms { holder: institution(n), text: Bytes::from_static(text) })
    };
    assert_eq!(world.refused(&[1, 2], grant(8, b"permit")), Some(Code::UnknownAuthority));
    assert_eq!(world.refused(&[1, 2], grant(3, b"permit \xff")), None);
}

#[test]
fn a_command_on_an_authority_that_changed_is_stale_with_the_position() {
    let mut world = World::open(10, RoundMode::Push);
    world.register(8);
    let grant =
        Action::GrantMandate(MandateTerms { holder: institution(8), text: Bytes::from_static(b"permit") });
    let stale = world.by(&[1, 2], grant);
    let (changed, _) = world.order(&[8], keys(8, &[0x18], &[]));
    assert_eq!(world.state().version_of(&Subject::Authority(institution(8))), Some(changed));
    let Body::CommandRefused(refused) = &world.submit(vec![Input::Command(stale)])[0] else { panic!() };
    assert_eq!(
        (refused.code, refused.changed_at, refused.authority),
        (Code::Stale, Some(changed), institution(1))
    );
}

#[test]
fn holds_of_persons_need_no_earlier_binding_but_a_name() {
    let mut world = World::open(60, RoundMode::Push);
    world.order(&[1], hold_person(3));
    let nobody = Action::Hold {
        target: sluice_core::command::HoldTarget::Person { person: alloy_primitives::B256::ZERO },
    };
    assert_eq!(world.refused(&[1], nobody), Some(Code::UnknownPerson));
}
