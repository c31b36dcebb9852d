//! Checkpoints, projects, keys, snapshot files.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};
use sluice_core::ids::{ProjectId, StreamId};
use sluice_store::{Error, Options, Store, StoredSnapshot};
use uuid::Uuid;

use crate::support::{STREAM, database};

#[tokio::test]
async fn migrating_twice_changes_nothing_and_an_empty_database_becomes_the_same() {
    let db = database().await;
    // The template was migrated from the folder; the binary's own copy must agree with it.
    db.store.migrate().await.unwrap();
    let empty = sluice_embedded::testing::TestDatabase::empty().await.unwrap();
    let store = Store::connect(empty.url(), Options::default()).await.unwrap();
    let (a, b) = tokio::join!(store.migrate(), store.migrate());
    a.and(b).unwrap();
    assert_eq!(store.head(STREAM).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_from_a_url_that_is_wrong() {
    let here = tempfile::tempdir().unwrap();
    let url = format!("postgres://nobody@localhost:5432/none?host={}", here.path().display());
    let error = Store::connect(&url, Options::default()).await.unwrap_err();
    assert_eq!(error.class(), sluice_store::Class::Retry, "{error}");
    for wrong in ["mysql://localhost/sluice", "postgres://[", "sluice"] {
        let error = Store::connect(wrong, Options::default()).await.unwrap_err();
        assert_eq!(error.class(), sluice_store::Class::Final, "{wrong}: {error}");
    }
}

#[tokio::test]
async fn a_checkpoint_stands_once_per_size() {
    let db = database().await;
    assert_eq!(db.store.latest_checkpoint(STREAM).await.unwrap(), None);
    assert_eq!(db.store.add_checkpoint(STREAM, 10, "note at 10", &[1; 32]).await.unwrap(), None);
    assert_eq!(db.store.add_checkpoint(STREAM, 20, "note at 20", &[2; 32]).await.unwrap(), None);
    for (note, hash) in [("another leader's note at 20", [2; 32]), ("note at 20", [3; 32])] {
        let found = db.store.add_checkpoint(STREAM, 20, note, &hash).await.unwrap().expect("it is taken");
        assert_eq!((found.size, found.note.as_str(), found.state_hash), (20, "note at 20", [2; 32]));
    }
    let latest = db.store.latest_checkpoint(STREAM).await.unwrap().unwrap();
    assert_eq!((latest.size, latest.note.as_str(), latest.state_hash), (20, "note at 20", [2; 32]));
    assert_eq!(db.store.checkpoint_from(STREAM, 11).await.unwrap(), Some(latest));
    assert_eq!(db.store.checkpoint_from(STREAM, 10).await.unwrap().unwrap().size, 10);
    assert_eq!(db.store.checkpoint_from(STREAM, 21).await.unwrap(), None);
    let sizes = async |above, upto, limit| {
        let found = db.store.checkpoints_within(STREAM, above, upto, limit).await.unwrap();
        found.into_iter().map(|c| c.size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(0, 20, 9).await, [20, 10]);
    assert_eq!(sizes(0, 20, 1).await, [20]);
    assert_eq!(sizes(10, 20, 9).await, [20]);
    assert_eq!(sizes(0, 19, 9).await, [10]);
    assert_eq!(db.store.latest_checkpoint(StreamId(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_opens_its_project_until_it_is_revoked() {
    let db = database().await;
    let (one, two) = (ProjectId(Uuid::from_u128(1)), ProjectId(Uuid::from_u128(2)));
    let project = db.store.add_project(one, "one").await.unwrap();
    assert_eq!(db.store.add_project(one, "one").await.unwrap(), project, "a repetition is no error");
    db.store.add_project(two, "two").await.unwrap();
    for (id, name) in [(one, "three"), (ProjectId(Uuid::from_u128(3)), "one")] {
        assert!(matches!(db.store.add_project(id, name).await, Err(Error::Exists { .. })));
    }
    assert_eq!(db.store.project_by_name("two").await.unwrap().unwrap().id, two);
    assert_eq!(db.store.projects().await.unwrap().len(), 2);

    let hash = |key: &str| Sha256::digest(key).into();
    let key = db.store.add_api_key(one, &hash("secret"), "laptop").await.unwrap();
    assert_eq!(db.store.project_of_key(&hash("secret")).await.unwrap(), Some(one));
    assert_eq!(db.store.project_of_key(&hash("guess")).await.unwrap(), None);
    assert!(matches!(db.store.add_api_key(two, &hash("secret"), "").await, Err(Error::Refused { .. })));
    let nobody = ProjectId(Uuid::from_u128(9));
    assert!(matches!(db.store.add_api_key(nobody, &hash("x"), "").await, Err(Error::Refused { .. })));

    assert!(!db.store.revoke_api_key(two, key).await.unwrap(), "only its own project revokes it");
    assert!(db.store.revoke_api_key(one, key).await.unwrap());
    assert!(!db.store.revoke_api_key(one, key).await.unwrap());
    assert_eq!(db.store.project_of_key(&hash("secret")).await.unwrap(), None);
    let keys = db.store.api_keys(one).await.unwrap();
    assert_eq!((keys.len(), keys[0].id, keys[0].label.as_str()), (1, key, "laptop"));
    assert!(keys[0].revoked_at.is_some());
}

#[tokio::test]
async fn a_snapshot_file_has_one_place() {
    let db = database().await;
    let file = StoredSnapshot { list_hash: B256::repeat_byte(9), uri: "file:///lists/9".into(), size: 1_000 };
    assert_eq!(db.store.snapshot(file.list_hash).await.unwrap(), None);
    db.store.add_snapshot(&file).await.unwrap();
    db.store.add_snapshot(&file).await.unwrap();
    assert_eq!(db.store.snapshot(file.list_hash).await.unwrap().as_ref(), Some(&file));
    let other = StoredSnapshot { size: 1_001, ..file };
    assert!(matches!(db.store.add_snapshot(&other).await, Err(Error::Exists { .. })));
}
