//! A superuser edits, deletes, inserts, reorders, truncates: the export of what is left does not verify, and says where.

use sluice_core::log::entry::Body;
use sluice_engine::evidence::export::export;
use sluice_engine::evidence::{EvidenceError, LogSource, Place, Verified, verify};

use crate::ground::{EVERY, Ground, STREAM, Story, keys, log_key};

/// Exports, as anybody would, and verifies the file with nothing else at hand.
async fn exported(ground: &Ground, kept: &[String]) -> Result<Verified, EvidenceError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.export");
    export(&ground.store, STREAM, &file).await.unwrap();
    verify(&LogSource::Export(file), &keys(), kept).await
}

async fn caught(ground: &Ground) -> Place {
    match exported(ground, &[]).await {
        Err(EvidenceError::Changed { place, .. }) => place,
        other => panic!("it must be caught: {other:?}"),
    }
}

/// The span between two checkpoints in which a position lies.
fn span_of(seq: u64) -> Place {
    let from = (seq - 1) / EVERY * EVERY + 1;
    Place { from, to: from + EVERY - 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_signed_verifies_and_an_export_that_was_cut_goes_on() {
    let ground = Story::told().stored().await;
    let verified = exported(&ground, &[]).await.unwrap();
    assert_eq!((verified.entries, verified.covered), (ground.last, ground.last));
    assert_eq!((verified.facts, verified.erased), (5, 0));
    assert_eq!(verified.checkpoints, ground.last.div_ceil(EVERY));
    let direct = verify(&ground.source(), &keys(), &[]).await.unwrap();
    assert_eq!((direct.root, direct.state_hash), (verified.root, verified.state_hash));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.export");
    export(&ground.store, STREAM, &file).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 3, 20, 30, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        if cut > 0 && cut < whole.len() {
            assert!(verify(&LogSource::Export(file.clone()), &keys(), &[]).await.is_err(), "cut at {cut}");
        }
        if cut == 3 {
            // Not even the first line is there: it could be anything, and is not overwritten.
            assert!(export(&ground.store, STREAM, &file).await.is_err());
            continue;
        }
        export(&ground.store, STREAM, &file).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), whole, "cut at {cut}");
    }
    let stranger = vec![log_key(6).verifier()];
    assert!(matches!(
        verify(&LogSource::Export(file), &stranger, &[]).await,
        Err(EvidenceError::Note { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_row_is_caught_at_its_position() {
    let ground = Story::told().stored().await;
    let restore = ground.store.read_log(STREAM, 6, 1).await.unwrap().remove(0);
    ground.as_superuser("UPDATE log SET entry = entry || '\\x00' WHERE seq = 7").await;
    assert_eq!(caught(&ground).await, Place::at(7), "bytes");
    ground.rewrite(7, &restore.decode().unwrap()).await;
    exported(&ground, &[]).await.expect("as it was");
    for (column, value) in [("kind", "12"), ("epoch", "9"), ("leaf", "decode(repeat('ab', 32), 'hex')")] {
        ground
            .as_superuser(&format!(
                "CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM log WHERE seq = 7;
                 UPDATE log SET {column} = {value} WHERE seq = 7"
            ))
            .await;
        assert_eq!(caught(&ground).await, Place::at(7), "{column}");
        ground.as_superuser("DELETE FROM log WHERE seq = 7; INSERT INTO log SELECT * FROM kept").await;
    }
    ground.as_superuser("UPDATE log SET campaign = gen_random_uuid(), node = 1, n = 1 WHERE seq = 1").await;
    assert_eq!(caught(&ground).await, Place::at(1), "the intake row it names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_with_recomputed_leaves_is_caught_between_two_checkpoints() {
    let ground = Story::told().stored().await;
    let mut claim = ground.entry(first_claim(&ground).await).await;
    let seq = claim.seq;
    let Body::ClaimDecided(decided) = &mut claim.body else { panic!() };
    decided.recipient = alloy_primitives::Address::repeat_byte(0x66);
    ground.rewrite(seq, &claim).await;
    let place = caught(&ground).await;
    assert_eq!(place, span_of(seq));
    assert!(place.contains(seq));
    // With the whole epoch's time moved, State itself cannot follow.
    let ground = Story::told().stored().await;
    let mut late = ground.entry(seq).await;
    late.recorded_at = 1;
    ground.rewrite(seq, &late).await;
    assert_eq!(caught(&ground).await, Place::at(seq));
}

async fn first_claim(ground: &Ground) -> u64 {
    for seq in 1..=ground.last {
        if matches!(ground.entry(seq).await.body, Body::ClaimDecided(_)) {
            return seq;
        }
    }
    panic!("a claim was decided")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_row_is_missed_also_when_the_others_close_ranks() {
    let ground = Story::told().stored().await;
    ground.as_superuser("DELETE FROM log WHERE seq IN (5, 6)").await;
    assert_eq!(caught(&ground).await, Place { from: 5, to: 6 });
    ground
        .as_superuser(
            "UPDATE log SET seq = seq + 1000000 WHERE seq > 4; UPDATE log SET seq = seq - 1000002 WHERE seq > 1000000",
        )
        .await;
    assert_eq!(caught(&ground).await, Place::at(5), "the row there holds the entry of 7");
    // Every entry told its new position, every leaf recomputed.
    let mut rows = ground.store.read_log(STREAM, 4, 1_000).await.unwrap();
    for row in &mut rows {
        let mut entry = sluice_core::log::entry::Entry::decode(&row.entry).unwrap();
        entry.seq = row.seq;
        ground.rewrite(row.seq, &entry).await;
    }
    let place = caught(&ground).await;
    assert!(place.contains(5) || place.from == 5, "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inserted_row_and_a_changed_order_are_caught() {
    let ground = Story::told().stored().await;
    ground
        .as_superuser(
            "UPDATE log SET seq = seq + 1000000 WHERE seq > 9; UPDATE log SET seq = seq - 999999 WHERE seq > 1000000;
             INSERT INTO log SELECT stream, 10, epoch, kind, entry, leaf, campaign, node, n FROM log WHERE seq = 9",
        )
        .await;
    assert_eq!(caught(&ground).await, Place::at(10));
    let ground = Story::told().stored().await;
    ground
        .as_superuser(
            "UPDATE log SET seq = 1000000 WHERE seq = 8; UPDATE log SET seq = 8 WHERE seq = 11;
             UPDATE log SET seq = 11 WHERE seq = 1000000",
        )
        .await;
    assert_eq!(caught(&ground).await, Place::at(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_short_is_caught_by_its_checkpoints_or_by_one_kept_elsewhere() {
    let ground = Story::told().stored().await;
    let kept = ground.store.latest_checkpoint(STREAM).await.unwrap().unwrap();
    ground.as_superuser(&format!("DELETE FROM log WHERE seq > {}", ground.last - 3)).await;
    let place = caught(&ground).await;
    assert_eq!(place.from, ground.last - 2, "the first row that is gone");
    // Together with its checkpoints it is a younger log, to whoever kept nothing.
    ground.as_superuser(&format!("DELETE FROM checkpoint WHERE size > {}", ground.last - 3)).await;
    exported(&ground, &[]).await.expect("consistent in itself");
    let found = exported(&ground, std::slice::from_ref(&kept.note)).await.expect_err("a witness kept one");
    assert_eq!(found.place(), Some(Place { from: ground.last - 2, to: ground.last }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_facts_and_forged_checkpoints_are_caught_and_erasure_is_not_a_change() {
    let story = Story::told();
    let ground = story.stored().await;
    let seq = *story.facts.keys().next().unwrap();
    let head = ground.store.latest_checkpoint(STREAM).await.unwrap().unwrap();
    assert!(ground.store.erase_facts(STREAM, seq).await.unwrap());
    let verified = exported(&ground, &[]).await.expect("the proof stands");
    assert_eq!((verified.facts, verified.erased), (4, 1));
    ground.as_superuser("UPDATE fact SET body = body || '\\x00'").await;
    assert_eq!(caught(&ground).await, Place::at(seq + 1));
    let ground = story.stored().await;
    ground
        .as_superuser(
            "INSERT INTO fact (stream, seq, about, body, seal_key, wrapped)
             SELECT stream, 1, about, body, seal_key, wrapped FROM fact LIMIT 1",
        )
        .await;
    assert_eq!(caught(&ground).await, Place::at(1));
    // A checkpoint that the log's key did not sign, and one whose column says another State.
    let ground = story.stored().await;
    let text: sluice_core::log::note::TreeHead =
        format!("{}\n", head.note.split_once("\n\n").unwrap().0).parse().unwrap();
    let forged = log_key(6).sign(&text);
    ground.as_superuser(&format!("UPDATE checkpoint SET note = '{forged}' WHERE size = {}", head.size)).await;
    assert!(
        matches!(exported(&ground, &[]).await, Err(EvidenceError::Note { size, .. }) if size == head.size)
    );
    let ground = story.stored().await;
    ground
        .as_superuser("UPDATE checkpoint SET state_hash = decode(repeat('00', 32), 'hex') WHERE size = 8")
        .await;
    assert_eq!(caught(&ground).await, span_of(8));
}
