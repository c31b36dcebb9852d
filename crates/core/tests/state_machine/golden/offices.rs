//! One action of every kind and variant, with the outcomes it can have; and what a gate signs.

use alloy_primitives::Bytes;
use sluice_core::amount::Total;
use sluice_core::command::{
    AcceptedAttestation, Action, AppealAbout, AuthorityTerms, DelegationTerms, GateTerms, HoldTarget,
    MandateTerms, RulesTerms,
};
use sluice_core::ids::CampaignId;
use sluice_core::log::entry::{
    Appealed, Body, Covered, Due, GateAnswered, GateMask, GateSigned, HoldPlaced, Outcome,
};
use sluice_core::state::hold::HoldUse;

use super::{a, amount, b, campaign_terms, commanded, e, id, round_terms};

fn key(n: u8) -> Bytes {
    Bytes::from(vec![n; 20])
}

/// The four actions that have entries of their own.
fn rounds() -> Vec<(&'static str, Action)> {
    vec![
        ("create_campaign", Action::CreateCampaign(campaign_terms())),
        ("publish", Action::Publish(round_terms())),
        ("push", Action::Push { campaign: id(), round: 2, from: 1, to: 30 }),
        ("void", Action::Void { campaign: id(), round: 2, indexes: vec![3, 5] }),
    ]
}

fn delegation(campaign: Option<CampaignId>) -> Action {
    Action::Delegate(DelegationTerms {
        authority: b(6),
        mandate: b(0x61),
        vendor: key(0x62),
        actions: vec!["push".into(), "hold".into()],
        campaign,
        amount_max: campaign.map(|_| Total(1_000)),
        count_max: campaign.map(|_| 10),
        expires_at: 63,
    })
}

fn institutions() -> Vec<(&'static str, Action)> {
    let authority =
        AuthorityTerms { authority: b(0x60), name: "registrar".into(), signers: vec![key(1), key(2)] };
    vec![
        ("register_authority", Action::RegisterAuthority(authority)),
        ("change_keys", Action::ChangeKeys { authority: b(0x60), add: vec![key(3)], revoke: vec![key(1)] }),
        (
            "grant_mandate",
            Action::GrantMandate(MandateTerms { holder: b(0x60), text: Bytes::from_static(b"permit (") }),
        ),
        ("revoke_mandate", Action::RevokeMandate { mandate: b(0x61) }),
        ("delegate", delegation(Some(id()))),
        ("delegate_without_limits", delegation(None)),
        ("revoke_delegation", Action::RevokeDelegation { delegation: b(0x64) }),
    ]
}

fn rules() -> Vec<(&'static str, Action)> {
    let terms = RulesTerms { owner: b(6), lineage: "adults".into(), text: Bytes::from_static(b"forbid (") };
    let gate = GateTerms {
        campaign: id(),
        version: 7,
        rule_sets: vec![b(0x65), b(0x66)],
        attestations: vec![AcceptedAttestation {
            name: "residency".into(),
            accepts: Bytes::from_static(b"eas"),
        }],
        signer: key(0x6a),
    };
    vec![
        ("propose_rules", Action::ProposeRules(terms)),
        ("approve_rules", Action::ApproveRules { rules: b(0x67) }),
        ("activate_rules", Action::ActivateRules { rules: b(0x67), at: 0 }),
        ("define_gate", Action::DefineGate(gate)),
    ]
}

fn person_hold() -> Action {
    Action::Hold { target: HoldTarget::Person { person: b(0x51) } }
}

fn affairs() -> Vec<(&'static str, Action)> {
    let about = AppealAbout::Void { campaign: id(), entitlement: e(7) };
    vec![
        ("release", Action::Release { hold: 70 }),
        ("bind_person", Action::BindPerson { person: b(0x51), payee: a(0x71), jurisdiction: "DE-BE".into() }),
        ("change_payee", Action::ChangePayee { person: b(0x51), payee: a(0x72) }),
        ("pause", Action::Pause { campaign: id(), until: 73 }),
        ("resume", Action::Resume { campaign: id() }),
        ("set_limit", Action::SetLimit { campaign: id(), limit: Some(Total(74)) }),
        ("set_limit_to_none", Action::SetLimit { campaign: id(), limit: None }),
        ("revoke_attestation", Action::RevokeAttestation { uid: b(0x75) }),
        ("file_appeal", Action::FileAppeal { about }),
        ("retire_rules", Action::RetireRules { rules: b(0x67) }),
    ]
}

/// Actions whose outcome says more than that they were done.
fn told() -> Vec<(&'static str, Action, Outcome)> {
    let covered = Covered { campaign: id(), entitlement: e(7), amount: amount(70) };
    let placed = HoldPlaced {
        until: 80,
        covers: vec![covered],
        alone: HoldUse { last: 81, held: 82 },
        in_flight: vec![(e(7), id(), 18)],
        batches: vec![(19, 86)],
    };
    let held = || Outcome::Held(placed.clone());
    let listed = HoldTarget::Entitlements { campaign: id(), round: 2, indexes: vec![7] };
    let whole = HoldTarget::Campaign { campaign: id() };
    let refusal = AppealAbout::Refusal { campaign: id(), entitlement: e(7) };
    let filed = |against| Outcome::Appealed(Appealed { against: b(against), answer_by: 83 });
    let answer = |upheld| Action::AnswerAppeal { appeal: 84, upheld };
    let extended = Outcome::HoldExtended { until: 85 };
    vec![
        ("hold", Action::Hold { target: listed }, held()),
        ("hold_person", person_hold(), held()),
        ("hold_campaign", Action::Hold { target: whole }, held()),
        ("confirm_hold", Action::ConfirmHold { hold: 70 }, extended.clone()),
        ("renew_hold", Action::RenewHold { hold: 70 }, extended),
        ("activate_rules_later", Action::ActivateRules { rules: b(0x67), at: 86 }, Outcome::Scheduled),
        ("file_appeal_against_hold", Action::FileAppeal { about: AppealAbout::Hold { hold: 70 } }, filed(6)),
        ("file_appeal_against_refusal", Action::FileAppeal { about: refusal }, filed(0)),
        ("answer_appeal", answer(true), Outcome::Answered { released: Some(70) }),
        ("answer_appeal_denied", answer(false), Outcome::Answered { released: None }),
    ]
}

/// Every action there is.
pub(super) fn actions() -> Vec<(&'static str, Action)> {
    let done = rounds().into_iter().chain(institutions()).chain(rules()).chain(affairs());
    done.chain(told().into_iter().map(|(name, action, _)| (name, action))).collect()
}

/// One entry of every command that has no kind of its own.
pub(super) fn ordered() -> Vec<(&'static str, Body)> {
    let done = institutions().into_iter().chain(rules()).chain(affairs());
    let done = done.map(|(name, action)| (name, action, Outcome::Done));
    done.chain(told())
        .map(|(name, action, outcome)| (name, Body::Ordered(commanded(action, outcome))))
        .collect()
}

pub(super) fn due() -> Vec<(&'static str, Body)> {
    vec![
        ("due_hold_ends", Body::Due(Due::HoldEnds { hold: 70 })),
        ("due_rules_start", Body::Due(Due::RulesStart { rules: b(0x67) })),
        ("due_appeal_lapses", Body::Due(Due::AppealLapses { appeal: 84 })),
        ("due_pause_ends", Body::Due(Due::PauseEnds { campaign: id() })),
        ("due_chain_hold_ends", Body::Due(Due::ChainHoldEnds { campaign: id() })),
    ]
}

pub(super) fn gate_signed() -> Body {
    let mask = GateMask {
        round: 2,
        word: 1,
        mask: [1, 1 << 63, 0, u64::MAX],
        as_of: 90,
        expiry: 91,
        signature: Bytes::from(vec![9; 65]),
    };
    let signed = GateSigned { campaign: id(), version: 7, words: vec![mask] };
    Body::GateSigned(GateAnswered { intake: super::key(), id: super::demand(), signed })
}
