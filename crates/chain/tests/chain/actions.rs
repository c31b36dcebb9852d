use alloy_primitives::{Address, B256, Bytes, U256};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls;
use sluice_chain::deploy::Done;
use sluice_chain::reads::RoundState;
use sluice_chain::{At, ChainError, RevertKind};
use sluice_core::amount::Total;
use sluice_core::command::RoundMode;

use crate::tree::Tree;
use crate::world::{World, recipients};

#[tokio::test(flavor = "multi_thread")]
async fn m_distinct_institutions_publish_and_fewer_do_not() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(5));
    let terms = world.terms(1, &tree, RoundMode::Pull).await;
    let action = ChainAction::Publish { distributor: world.distributor, terms: Box::new(terms.clone()) };
    let deadline = world.chain.timestamp().await.unwrap() + 600;
    let publish = async |signers: &[usize], set_version| {
        let accounts = signers.iter().map(|at| &world.authorities[*at]);
        let approvals = action.approve(world.charter, set_version, deadline, accounts).unwrap();
        world.operator.publish(world.distributor, &terms, &approvals).await
    };
    let refused = |result: Result<Done, ChainError>| match result.unwrap_err() {
        ChainError::Reverted { revert, .. } => {
            assert_eq!(revert.kind, RevertKind::Unauthorised);
            revert.text
        }
        other => panic!("{other}"),
    };
    // Both keys of the registry are one institution.
    assert_eq!(refused(publish(&[0, 1], 1).await), "QuorumMissed { institutions: 1, needed: 2 }");
    assert_eq!(refused(publish(&[], 1).await), "QuorumMissed { institutions: 0, needed: 2 }");
    assert_eq!(refused(publish(&[0, 3], 2).await), "StaleSetVersion { given: 2, current: 1 }");
    assert!(matches!(publish(&[1, 3], 1).await.unwrap(), Done::Now(_)));

    let outsider = sluice_chain::signer::Account::random();
    let cancel = ChainAction::Cancel { distributor: world.distributor, round: 1 };
    let approvals = cancel.approve(world.charter, 1, deadline, [&world.authorities[0], &outsider]).unwrap();
    let sent =
        world.operator.send("cancel", Some(world.distributor), calls::cancel(1, &approvals), U256::ZERO);
    let error = sent.await.unwrap_err();
    assert!(
        matches!(&error, ChainError::Reverted { revert, .. } if revert.text.starts_with("NotAnAuthority"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_of_a_round_is_signed_as_the_contract_reads_it() {
    let world = World::new().await;
    let (distributor, operator) = (world.distributor, &world.operator);
    let tree = Tree::new(&recipients(9));
    operator.mint(world.token, distributor, Total(100)).await.unwrap();
    let withdraw = ChainAction::Withdraw { distributor, amount: Total(40), nonce: 5 };
    let approvals = world.approve(&withdraw).await;
    let data = calls::withdraw(Total(40), 5, &approvals);
    operator.send("withdraw", Some(distributor), data, U256::ZERO).await.unwrap();
    assert_eq!(world.balance(distributor).await, Total(60));

    for round in 1..=2 {
        world.publish(&world.terms(round, &tree, RoundMode::Push).await).await;
    }
    let cancel = world.approve(&ChainAction::Cancel { distributor, round: 1 }).await;
    operator.send("cancel", Some(distributor), calls::cancel(1, &cancel), U256::ZERO).await.unwrap();
    let veto = world.approve(&ChainAction::Veto { distributor, round: 2 }).await;
    operator.send("veto", Some(distributor), calls::veto(2, &veto), U256::ZERO).await.unwrap();
    let state = async |round| world.chain.round(distributor, round, At::Latest).await.unwrap().unwrap().state;
    assert_eq!((state(1).await, state(2).await), (RoundState::Cancelled, RoundState::Vetoed));

    let third = world.terms(3, &tree, RoundMode::Push).await;
    world.publish(&third).await;
    let closes_at = third.closes_at + 5;
    let extend = world.approve(&ChainAction::ExtendClosing { distributor, round: 3, closes_at }).await;
    let data = calls::extend_closing(3, closes_at, &extend);
    operator.send("extendClosing", Some(distributor), data, U256::ZERO).await.unwrap();
    assert_eq!(world.chain.closing(distributor, 3, At::Latest).await.unwrap(), closes_at);

    let chunk = tree.chunk(3, &[1, 8]);
    let void = world.approve(&ChainAction::Void { distributor, mask: chunk.mask }).await;
    assert!(matches!(operator.void(distributor, &chunk, &void).await.unwrap(), Done::Now(_)));
    assert_eq!(operator.void(distributor, &chunk, &void).await.unwrap(), Done::Before);
    let words = world.chain.void_words(distributor, 3, [0], At::Latest).await.unwrap();
    assert_eq!(words, [chunk.mask.mask]);
    let round = world.chain.round(distributor, 3, At::Latest).await.unwrap().unwrap();
    assert_eq!((round.voided, round.remaining), (Total(2_000 + 9_000), Total(45_000 - 11_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_the_charter_is_signed_as_the_contract_reads_it() {
    let world = World::new().await;
    let charter = world.charter.address;
    let all = |action: &ChainAction, deadline| {
        action.approve(world.charter, 1, deadline, &world.authorities[1..]).unwrap()
    };
    let deadline = world.chain.timestamp().await.unwrap() + 600;
    let send = async |name, data: Bytes| {
        let sent = world.operator.send(name, Some(charter), data, U256::ZERO).await;
        sent.unwrap_or_else(|error| panic!("{name}: {error}"))
    };

    let (control, lanes) =
        (Address::repeat_byte(0x31), vec![Address::repeat_byte(0x32), Address::repeat_byte(0x33)]);
    let add = ChainAction::AddSequencer { control, lanes: lanes.clone() };
    send("scheduleSequencer", calls::schedule_sequencer(control, lanes.clone(), &all(&add, deadline))).await;

    let change = ChainAction::ChangeLanes { sequencer: 1, lanes: lanes.clone() };
    send("scheduleLanes", calls::schedule_lanes(1, lanes.clone(), &all(&change, deadline))).await;

    let (new, old) = (vec![(B256::repeat_byte(8), "next".to_owned())], vec![B256::repeat_byte(7)]);
    let keys = ChainAction::ChangeLogKeys { add: new.clone(), revoke: old.clone() };
    send("scheduleLogKeys", calls::schedule_log_keys(&new, old, &all(&keys, deadline))).await;

    let institutions =
        vec![("Only".to_owned(), vec![world.authorities[0].signer_bytes(), Bytes::from([5; 40])])];
    let authorities =
        ChainAction::ChangeAuthorities { institutions: institutions.clone(), publish_threshold: 1 };
    let approvals = all(&authorities, deadline);
    send("scheduleAuthorities", calls::schedule_authorities(&institutions, 1, &approvals)).await;

    let head = world.chain.latest().await.unwrap().number;
    let read = world.chain.events(0, head, &[], Some(charter)).await.unwrap();
    let scheduled: Vec<B256> =
        read.blocks
            .iter()
            .flat_map(|b| &b.events)
            .filter_map(|e| match e.event {
                sluice_chain::events::Event::Charter(
                    sluice_chain::events::CharterEvent::ChangeScheduled { id, ready_at: Some(_) },
                ) => Some(id),
                _ => None,
            })
            .collect();
    assert_eq!(scheduled.len(), 4);
    let cancel = ChainAction::CancelChange { change: scheduled[1] };
    send("cancelChange", calls::cancel_change(scheduled[1], &all(&cancel, deadline))).await;

    let replacement = Some((Address::repeat_byte(0x41), vec![Address::repeat_byte(0x42)]));
    let remove = ChainAction::RemoveSequencer { sequencer: 1, replacement: replacement.clone() };
    send("removeSequencer", calls::remove_sequencer(1, replacement, &all(&remove, deadline))).await;

    world.pass(7 * 86_400 + 1).await;
    send("applyChange", calls::apply_change(scheduled[3])).await;
    let now = world.chain.constitution(charter, At::Latest).await.unwrap();
    assert_eq!((now.view.set_version, now.view.threshold, now.names), (2, 1, vec!["Only".to_owned()]));
    assert!(now.sequencers[0].removed);
}
