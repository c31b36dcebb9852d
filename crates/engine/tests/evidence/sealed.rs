//! Facts under seal: who has no key is told that they are there, whose key was destroyed is gone, and the log proves the same.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};
use sluice_core::decide::About;
use sluice_core::log::entry::Body;
use sluice_engine::evidence::audit::{Again, Which, redecide};
use sluice_engine::evidence::trace::{Target, trace};
use sluice_engine::evidence::{LogSource, Verified, export::export, verify};
use sluice_engine::facts::unsalted;
use sluice_store::{ErasureOrder, Options, Store, Whom};

use crate::ground::{Ground, STREAM, Story, keys};
use crate::world::recipient;

async fn exported(store: &Store) -> (tempfile::TempDir, LogSource, Verified) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    export(store, STREAM, &path).await.unwrap();
    let source = LogSource::Export(path);
    let verified = verify(&source, &keys(), &[]).await.unwrap();
    (folder, source, verified)
}

async fn keyless(ground: &Ground) -> Store {
    Store::connect(ground.database.url(), Options { connections: 2 }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_without_the_key_verifies_everything_and_reads_no_facts() {
    let ground = Story::told().stored().await;
    let (opened, source, with_key) = exported(&ground.store).await;
    assert_eq!((with_key.facts, with_key.sealed, with_key.erased), (5, 0, 0));
    let tally = redecide(&source, Which::Gated, |_| ()).await.unwrap();
    assert_eq!((tally.equal, tally.sealed), (5, 0));

    let (folder, source, without) = exported(&keyless(&ground).await).await;
    assert_eq!((without.facts, without.sealed, without.erased), (0, 5, 0));
    assert_eq!((without.root, without.state_hash), (with_key.root, with_key.state_hash));
    let tally =
        redecide(&source, Which::Gated, |claim| assert_eq!(claim.again, Again::Sealed)).await.unwrap();
    assert_eq!((tally.equal, tally.sealed), (0, 5));
    // A country is a fact and stands nowhere else: two bytes behind their length, as borsh writes them.
    let country = [&2_u32.to_le_bytes()[..], b"DE"].concat();
    let holds = |folder: &tempfile::TempDir| {
        let bytes = std::fs::read(folder.path().join("log")).unwrap();
        bytes.windows(country.len()).any(|window| window == country)
    };
    assert_eq!((holds(&opened), holds(&folder)), (true, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_key_leaves_the_proof_and_nothing_to_guess_by() {
    let mut story = Story::told();
    let mut ground = story.stored().await;
    let (_before, _, before) = exported(&ground.store).await;
    let head = ground.store.latest_checkpoint(STREAM).await.unwrap().unwrap();
    let (seq, claim) = story
        .world
        .log
        .iter()
        .find_map(|entry| match &entry.body {
            Body::ClaimDecided(claim) => Some((entry.seq, claim.clone())),
            _ => None,
        })
        .unwrap();
    let about = About::Recipient(claim.recipient);
    let order = ground.store.order_erasure(STREAM, &ErasureOrder::new(about, "a test")).await.unwrap();
    assert_eq!(ground.store.erasure(order).await.unwrap(), None);
    let destroys = ground.store.erasable(STREAM, order, &Whom::alone(about)).await.unwrap();
    assert_eq!((destroys.facts.as_slice(), destroys.last), ([seq].as_slice(), true));
    let erased = ground.destroy(&mut story, destroys).await;
    assert_eq!((erased.facts, erased.seq), (1, ground.last));

    let (_after, source, after) = exported(&ground.store).await;
    assert_eq!((after.facts, after.sealed, after.erased), (4, 0, 1));
    assert_eq!((after.unrecorded, after.unerased), (0, 0), "an entry says so");
    let kept = verify(&source, &keys(), std::slice::from_ref(&head.note)).await.unwrap();
    assert_eq!((kept.root, before.entries), (after.root, ground.last - 1), "checkpoints stand");
    let mut again = Vec::new();
    let tally = redecide(&source, Which::Gated, |claim| again.push(claim.again.clone())).await.unwrap();
    assert_eq!((tally.equal, tally.different, tally.erased), (4, 0, 1));
    assert_eq!(again[0], Again::Erased);
    let told = trace(&source, Target::Claim(claim.id)).await.unwrap();
    assert_eq!(told.steps.iter().find(|step| step.seq == seq).unwrap().facts, Some("erased"));

    // Somebody who knows everything about the claim but the salt does not find the hash.
    let kept = unsalted(&story.facts[&seq]).unwrap();
    let known = kept.facts();
    assert_eq!(known.recipient, recipient(claim.entitlement.index));
    assert_ne!(B256::from_slice(&Sha256::digest(known.encode())), claim.evidence.inputs);
    assert_eq!(B256::from_slice(&Sha256::digest(&story.facts[&seq])), claim.evidence.inputs);
    let unsalted_again = sluice_engine::facts::salted(&known.encode());
    assert_ne!(B256::from_slice(&Sha256::digest(&unsalted_again)), claim.evidence.inputs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_destroyed_past_the_log_and_one_that_came_back_are_told_apart() {
    let mut story = Story::told();
    let mut ground = story.stored().await;
    let [first, second] = *story.facts.keys().take(2).copied().collect::<Vec<_>>() else {
        panic!("two facts")
    };
    assert!(ground.store.erase_facts(STREAM, first).await.unwrap());
    let (_, _, found) = exported(&ground.store).await;
    assert_eq!((found.erased, found.unrecorded, found.unerased), (1, 1, 0));

    ground.as_superuser("CREATE TABLE backup AS SELECT * FROM fact").await;
    let about = About::Recipient(recipient(2));
    let order = ground.store.order_erasure(STREAM, &ErasureOrder::new(about, "a test")).await.unwrap();
    let destroys = ground.store.erasable(STREAM, order, &Whom::alone(about)).await.unwrap();
    assert_eq!(destroys.facts, [second]);
    ground.destroy(&mut story, destroys).await;
    let (_, _, found) = exported(&ground.store).await;
    assert_eq!((found.erased, found.unrecorded, found.unerased), (2, 1, 0));
    ground.as_superuser(&format!("INSERT INTO fact SELECT * FROM backup WHERE seq = {second}")).await;
    let (_, _, found) = exported(&ground.store).await;
    assert_eq!((found.erased, found.unrecorded, found.unerased), (1, 1, 1));
}
