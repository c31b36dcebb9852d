use sluice_core::amount::Total;
use sluice_gate::mandate::{
    ActionKind, CommandFacts, Delegation, DelegationError, OutsideDelegation, Scope, Subject,
};

use crate::{MONDAY_AT_TEN, campaign, command, spending};

const KEY: [u8; 20] = [7; 20];

fn delegation() -> Delegation {
    Delegation {
        authority: [4; 32].into(),
        key: KEY.into(),
        actions: vec![ActionKind::Push, ActionKind::Pause],
        scope: Scope::Campaign { campaign: campaign().campaign().unwrap() },
        amount: Some(Total(1000)),
        from: MONDAY_AT_TEN,
        until: MONDAY_AT_TEN + 1000,
    }
}

fn push() -> CommandFacts {
    CommandFacts { delegated: true, spending: spending(400, 400), ..command(4, ActionKind::Push, campaign()) }
}

#[test]
fn a_command_inside_is_covered() {
    assert_eq!(delegation().check(), Ok(()));
    assert_eq!(delegation().covers(&push(), &KEY, Total(600)), Ok(()));
    let round = Subject::Round { campaign: campaign().campaign().unwrap(), round: 3 };
    let inside = CommandFacts { subject: round, ..push() };
    assert_eq!(delegation().covers(&inside, &KEY, Total(0)), Ok(()));
    let scope = Scope::Round { campaign: campaign().campaign().unwrap(), round: 3 };
    assert_eq!(Delegation { scope, ..delegation() }.covers(&inside, &KEY, Total(0)), Ok(()));
}

#[test]
fn each_way_out_has_its_name() {
    let told = |facts: CommandFacts| delegation().covers(&facts, &KEY, Total(0)).unwrap_err();
    assert_eq!(told(CommandFacts { authority: [5; 32].into(), ..push() }), OutsideDelegation::Authority);
    assert_eq!(delegation().covers(&push(), &[8; 20], Total(0)), Err(OutsideDelegation::Key));
    assert_eq!(told(CommandFacts { delegated: false, ..push() }), OutsideDelegation::NotMarked);
    assert_eq!(
        told(CommandFacts { action: ActionKind::Void, ..push() }),
        OutsideDelegation::Action(ActionKind::Void)
    );
    assert_eq!(told(CommandFacts { subject: Subject::Stream, ..push() }), OutsideDelegation::Scope);
    let person = Subject::Person { person: [1; 32].into() };
    assert_eq!(told(CommandFacts { subject: person, ..push() }), OutsideDelegation::Scope);
    let elsewhere = Subject::Campaign { campaign: Default::default() };
    assert_eq!(told(CommandFacts { subject: elsewhere, ..push() }), OutsideDelegation::Scope);
    let scope = Scope::Round { campaign: campaign().campaign().unwrap(), round: 3 };
    let narrow = Delegation { scope, ..delegation() };
    assert_eq!(narrow.covers(&push(), &KEY, Total(0)), Err(OutsideDelegation::Scope));
    assert_eq!(told(CommandFacts { accepted_at: MONDAY_AT_TEN - 1, ..push() }), OutsideDelegation::NotYet);
    assert_eq!(
        told(CommandFacts { accepted_at: MONDAY_AT_TEN + 1000, ..push() }),
        OutsideDelegation::Expired
    );
    assert_eq!(delegation().covers(&push(), &KEY, Total(601)), Err(OutsideDelegation::Amount));
    assert_eq!(delegation().covers(&push(), &KEY, Total(u128::MAX)), Err(OutsideDelegation::Amount));
    assert_eq!(told(CommandFacts { spending: None, ..push() }), OutsideDelegation::AmountUnknown);
}

#[test]
fn what_cannot_be_lent_is_refused() {
    let check = |change: fn(&mut Delegation)| {
        let mut delegation = delegation();
        change(&mut delegation);
        delegation.check().unwrap_err()
    };
    assert_eq!(check(|d| d.actions.clear()), DelegationError::Actions);
    assert_eq!(check(|d| d.actions.reverse()), DelegationError::Actions);
    assert_eq!(
        check(|d| d.actions = vec![ActionKind::Delegate]),
        DelegationError::NotDelegable(ActionKind::Delegate)
    );
    assert_eq!(check(|d| d.key = vec![1; 19].into()), DelegationError::Key);
    assert_eq!(check(|d| d.until = d.from), DelegationError::Life);
    assert_eq!(check(|d| d.until = d.from + 401 * 86_400_000), DelegationError::Life);
    // Even a recorded one that slipped through lends no power over mandates.
    let slipped =
        Delegation { actions: vec![ActionKind::GrantMandate], scope: Scope::Stream, ..delegation() };
    let grant = CommandFacts { action: ActionKind::GrantMandate, ..push() };
    assert!(slipped.covers(&grant, &KEY, Total(0)).is_err());
}
