//! A witness signs what it has computed, and refuses forks, rollbacks and differences.

use sluice_core::log::merkle::{Frontier, leaf_hash};
use sluice_core::log::note::{Cosigner, TreeHead};
use sluice_engine::evidence::witness::{LastSeen, Witness, continues};
use sluice_engine::evidence::{EvidenceError, Place};

use crate::ground::{Ground, STREAM, Story, keys, log_key};

fn witness(ground: &Ground, last: Option<LastSeen>) -> Witness {
    Witness::new(ground.store.clone(), STREAM, keys(), last)
}

async fn refuses(witness: &mut Witness) -> (Place, String) {
    match witness.tick().await {
        Err(EvidenceError::Changed { place, why }) => (place, why),
        other => panic!("it must refuse: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_cosigns_the_newest_head_once() {
    let ground = Story::told().stored().await;
    let mut witness = witness(&ground, None);
    let (head, note) = witness.tick().await.unwrap().expect("a checkpoint");
    assert_eq!((head.head.size, witness.seq()), (ground.last, ground.last));
    let cosigner = Cosigner::new("audit.example/w", &[9; 32]).unwrap();
    let cosigned = cosigner.cosign(&note, 1_800_000_000).unwrap();
    assert!(cosigner.verifier().verify(&cosigned).unwrap().is_some());
    assert_eq!(sluice_core::log::note::open(&cosigned, &keys()).unwrap().head, head.head);
    assert!(witness.tick().await.unwrap().is_none(), "nothing is new");
    // Started again with what it signed, it agrees and has nothing to add.
    let last = LastSeen { size: head.head.size, root: head.head.root };
    assert!(self::witness(&ground, Some(last)).tick().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_refuses_a_rollback_a_fork_and_a_difference() {
    let story = Story::told();
    let ground = story.stored().await;
    let mut live = witness(&ground, None);
    let (head, _) = live.tick().await.unwrap().unwrap();
    let last = LastSeen { size: head.head.size, root: head.head.root };
    ground.as_superuser(&format!("DELETE FROM log WHERE seq = {}", ground.last)).await;
    let (place, why) = refuses(&mut live).await;
    assert_eq!(place, Place::at(ground.last));
    assert!(why.contains("rollback"), "{why}");
    let (place, _) = refuses(&mut witness(&ground, Some(last.clone()))).await;
    assert_eq!(place, Place::at(ground.last), "also when it was started again");

    let ground = story.stored().await;
    let other = LastSeen { root: [7; 32], ..last };
    let (_, why) = refuses(&mut witness(&ground, Some(other))).await;
    assert!(why.contains("fork"), "{why}");

    let mut entry = ground.entry(6).await;
    entry.recorded_at += 1;
    ground.rewrite(6, &entry).await;
    let (place, _) = refuses(&mut witness(&ground, None)).await;
    assert!(place.contains(6) || place.from <= 7, "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_a_witness_asks_for_consistency() {
    let story = Story::told();
    let mut tree = Frontier::default();
    let leaves: Vec<_> = story.world.encoded.iter().map(|bytes| leaf_hash(bytes)).collect();
    let mut heads = Vec::new();
    for leaf in &leaves {
        tree.push(*leaf);
        heads.push((tree.size(), tree.root()));
    }
    let signed = |(size, root): (u64, [u8; 32])| {
        log_key(5).sign(&TreeHead { origin: log_key(5).origin().clone(), size, root, state_hash: None })
    };
    let seen = |(size, root): (u64, [u8; 32])| LastSeen { size, root };
    let (old, new) = (heads[9], heads[heads.len() - 1]);
    let proof = sluice_core::log::merkle::consistency_proof(old.0, new.0, |id| {
        (id.level == 0 && id.n == 0).then_some(&leaves[..])
    })
    .unwrap();
    continues(None, &signed(old), &[], &keys()).expect("the first is taken on the key's word");
    continues(Some(&seen(old)), &signed(new), &proof, &keys()).expect("it continues");
    assert!(continues(Some(&seen(new)), &signed(old), &[], &keys()).is_err(), "a rollback");
    let forked = (new.0, [9; 32]);
    assert!(continues(Some(&seen(old)), &signed(forked), &proof, &keys()).is_err(), "a fork");
    assert!(
        continues(Some(&seen(old)), &signed((old.0, [9; 32])), &[], &keys()).is_err(),
        "another of this size"
    );
    let note = log_key(6).sign(&TreeHead {
        origin: log_key(6).origin().clone(),
        size: 1,
        root: [0; 32],
        state_hash: None,
    });
    assert!(continues(None, &note, &[], &keys()).is_err(), "another key");
}
