//! A Charter that is deployed and not founded says nobody's word: a node waits for its founding to become final.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod support;

use sluice_chain::At;
use sluice_chain::deploy::Founding;
use sluice_chain::reads::Timers;
use sluice_chain::signer::Account;
use sluice_core::command::Action;
use sluice_core::log::entry::Body;
use support::{World, eventually};

/// A world whose stream is governed by a Charter that only promises the world's institutions.
async fn promised() -> (World, Founding) {
    let mut world = World::new().await;
    let institution =
        |(n, account): (usize, &Account)| (format!("institution {n}"), vec![account.signer_bytes()]);
    let founding = Founding {
        institutions: world.institutions.iter().enumerate().map(institution).collect(),
        publish_threshold: 2,
        sequencers: world
            .sequencers
            .iter()
            .map(|(control, lanes)| (control.address(), lanes.iter().map(Account::address).collect()))
            .collect(),
        log_keys: Vec::new(),
        timers: Timers { w1: 3_600, w2: 3_600, finality: 60, beat_every: 0, take_epoch_every: 0 },
    };
    world.charter = world.operator.promise_charter(&founding).await.unwrap().address;
    (world, founding)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charter_deployed_and_not_founded_is_waited_for() {
    let (world, founding) = promised().await;
    world.hold_blocks().await;
    world.mine(4).await;
    let term = world.term().await;
    let mut watcher = term.watcher(&world);
    let read = async || {
        let log = term.log_after(0).await;
        log.into_iter()
            .filter_map(|entry| match entry.body {
                Body::CharterRead(read) => Some(read),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    // Its deployment is final; further blocks are looked at, one after another.
    for _ in 0..4 {
        world.mine(1).await;
        while watcher.tick().await.unwrap() > 0 {}
        let finalized = world.chain.head().await.unwrap().finalized;
        let seen = world.chain.constitution(world.charter, At::Block(finalized)).await.unwrap();
        assert_eq!(seen.view.set_version, 0);
        assert_eq!((read().await.len(), term.follower.read(|state| state.home)), (0, None));
    }
    world.anvil("evm_setAutomine", serde_json::json!([true])).await;
    let founded = world.operator.found(world.charter, &founding).await.unwrap().block;
    world.anvil("evm_setAutomine", serde_json::json!([false])).await;
    while watcher.tick().await.unwrap() > 0 {}
    assert!(world.chain.head().await.unwrap().finalized.number < founded.number);
    assert_eq!(read().await.len(), 0, "it is founded, and not finally");
    while world.chain.head().await.unwrap().finalized.number < founded.number {
        world.mine(1).await;
    }
    while watcher.tick().await.unwrap() > 0 {}
    let found = read().await;
    let [only] = &found[..] else { panic!("{found:?}") };
    assert_eq!((only.charter, only.view.set_version, only.view.threshold), (world.charter_ref(), 1, 2));
    assert_eq!(only.view.institutions.len(), 3);
    assert_eq!(term.follower.read(|state| state.home), Some(world.charter_ref()));
}

/// Nothing that a node does meanwhile, such as taking an epoch there, ends its term for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_started_before_the_founding_takes_commands_after_it() {
    let (world, founding) = promised().await;
    let node = world.node(0).await;
    eventually("the node leads", || async { (node.follower().seq() > 0).then_some(()) }).await;
    assert!(node.home_charter().is_none());
    world.operator.found(world.charter, &founding).await.unwrap();
    let known = eventually("the Charter is read", || async { node.home_charter() }).await;
    assert_eq!(known.charter, world.charter_ref());
    let adds = Action::ChangeKeys {
        authority: known.view.institutions[0].id,
        add: vec![support::account("another key").signer_bytes()],
        revoke: Vec::new(),
    };
    let ordered = world.command(&node, adds, 3).await;
    assert!(matches!(ordered.entry.body, Body::Ordered(_)), "{:?}", ordered.entry.body);
    node.stop().await;
}
