use alloy_primitives::Address;
use sluice_chain::actions::ChainAction;
use sluice_chain::deploy::{Done, NewDistributor};
use sluice_chain::{ChainError, Class, RevertKind};
use sluice_core::command::RoundMode;

use crate::tree::Tree;
use crate::world::{World, recipients};

fn reverted(error: ChainError) -> (RevertKind, String) {
    assert_eq!(error.class(), Class::Final);
    match error {
        ChainError::Reverted { revert, .. } => (revert.kind, revert.text),
        other => panic!("not a revert: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_publication_registration_or_opening_sends_nothing() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(9));
    let terms = world.open_round(&tree, RoundMode::Push).await;
    let operator = &world.operator;
    let nonce = || world.chain.nonce(operator.account.address(), sluice_chain::At::Pending);
    let before = nonce().await.unwrap();

    let action = ChainAction::Publish { distributor: world.distributor, terms: Box::new(terms.clone()) };
    let approvals = world.approve(&action).await;
    assert_eq!(operator.publish(world.distributor, &terms, &approvals).await.unwrap(), Done::Before);
    assert_eq!(operator.open(world.distributor, 1).await.unwrap(), Done::Before);
    let charter = world.charter.address;
    let registered = operator.register_distributor(charter, world.distributor, &approvals).await.unwrap();
    assert_eq!(registered, Done::Before);
    assert_eq!(nonce().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_by_name_and_costs_nothing() {
    let world = World::new().await;
    let operator = &world.operator;
    let tree = Tree::new(&recipients(5));
    let mut terms = world.terms(1, &tree, RoundMode::Push).await;
    terms.opens_at += 100;
    world.publish(&terms).await;

    let (kind, text) = reverted(operator.open(world.distributor, 1).await.unwrap_err());
    assert_eq!(kind, RevertKind::TooEarly(terms.opens_at));
    assert_eq!(text, format!("TooEarly {{ at: {} }}", terms.opens_at));
    world.pass(101).await;
    let (kind, text) = reverted(operator.open(world.distributor, 1).await.unwrap_err());
    assert_eq!((kind, text.as_str()), (RevertKind::Underfunded, "Underfunded { balance: 0, needed: 15000 }"));

    let third = world.terms(3, &tree, RoundMode::Push).await;
    let action = ChainAction::Publish { distributor: world.distributor, terms: Box::new(third.clone()) };
    let approvals = world.approve(&action).await;
    let (kind, text) = reverted(operator.publish(world.distributor, &third, &approvals).await.unwrap_err());
    assert_eq!((kind, text.as_str()), (RevertKind::WrongRound, "WrongRound { given: 3, next: 2 }"));

    let terms = NewDistributor {
        token: world.token,
        charter: world.charter.address,
        refund: Address::ZERO,
        exit_only: true,
        grace: 11_000,
        opening_delay: 1,
        transfer_gas: 100_000,
    };
    let (_, text) = reverted(operator.deploy_distributor(&terms).await.unwrap_err());
    assert!(text.starts_with("BadTerms { rule: \"refund address must be"), "{text}");

    let stranger = sluice_chain::deploy::Operator::new(world.chain.clone(), world.lane.clone());
    let (_, text) = reverted(stranger.take_epoch(world.charter.address, 1).await.unwrap_err());
    assert!(text.starts_with("NotAControlKey"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_taken_once_and_by_its_sequencer() {
    let world = World::new().await;
    let control = sluice_chain::deploy::Operator::new(world.chain.clone(), world.control.clone());
    let charter = world.charter.address;
    assert!(matches!(control.take_epoch(charter, 4).await.unwrap(), Done::Now(_)));
    assert_eq!(control.take_epoch(charter, 4).await.unwrap(), Done::Before);
    let (kind, _) = reverted(control.take_epoch(charter, 3).await.unwrap_err());
    assert_eq!(kind, RevertKind::EpochOutOfRange { current: 4 });
}
