//! What is made of snapshots: diffs, CSV, proof pages.

use crate::common::{Built, Random, base_units, build_from, list};
use alloy_primitives::{Address, B256};
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sluice_core::amount::Total;
use sluice_snapshot::build::Duplicates;
use sluice_snapshot::diff::{Change, DiffSummary, diff};
use sluice_snapshot::pages::private::{DiscloseError, ListKey, disclose, publish_private};
use sluice_snapshot::pages::{Manifest, Page, open_store, publish};
use sluice_snapshot::{BuildOptions, Format, Snapshot};
use std::convert::Infallible;

fn changes(before: &Snapshot, after: &Snapshot) -> (DiffSummary, Vec<Change>) {
    let mut all = Vec::new();
    let summary = diff(before, after, |change| {
        all.push(change);
        Ok::<(), Infallible>(())
    });
    (summary.unwrap(), all)
}

#[test]
fn a_diff_names_what_is_new_gone_and_changed() {
    let rows = Random(41).rows(2_000);
    let mut later: Vec<(Address, u128)> = rows[100..].to_vec();
    later[..50].iter_mut().for_each(|row| row.1 += 1);
    later.extend(Random(42).rows(30));
    for format in [Format::Native, Format::OpenZeppelin, Format::Uniswap] {
        let options = BuildOptions { format, ..base_units() };
        let (before, after) =
            (build_from(list(&rows), &options).unwrap(), build_from(list(&later), &options).unwrap());
        let (summary, all) = changes(&before.snapshot, &after.snapshot);
        assert_eq!((summary.added, summary.removed, summary.changed, summary.same), (30, 100, 50, 1_850));
        assert_eq!((summary.total_before, summary.total_after), (before.report.total, after.report.total));
        assert_eq!(all.len(), 180);
        for change in all {
            let amount =
                |rows: &[(Address, u128)]| rows.iter().find(|row| row.0 == change.recipient).map(|row| row.1);
            assert_eq!(change.before.map(|amount| amount.get()), amount(&rows));
            assert_eq!(change.after.map(|amount| amount.get()), amount(&later));
        }
    }
}

#[test]
fn a_diff_tells_an_agents_persons_apart() {
    let benefits = |rows: &[(u8, u128)]| {
        let mut text = "address,amount,person\n".to_owned();
        for (id, amount) in rows {
            text += &format!("{},{amount},{}\n", Address::repeat_byte(0xaa), B256::repeat_byte(*id));
        }
        build_from(text, &BuildOptions { duplicates: Duplicates::Keep, ..base_units() }).unwrap()
    };
    let (before, after) = (benefits(&[(1, 5), (2, 5), (3, 5)]), benefits(&[(1, 5), (3, 6), (4, 5)]));
    let (summary, all) = changes(&before.snapshot, &after.snapshot);
    assert_eq!((summary.added, summary.removed, summary.changed, summary.same), (1, 1, 1, 1));
    let persons: Vec<B256> = all.iter().map(|change| change.person.unwrap()).collect();
    assert_eq!(persons, [2, 3, 4].map(B256::repeat_byte));
}

#[test]
fn csv_is_read_again() {
    let mut text = "address,amount,person\n".to_owned();
    for (address, amount) in Random(43).rows(300) {
        text += &format!("{address},{amount},{}\n", B256::left_padding_from(address.as_slice()));
    }
    let Built { snapshot, report, file, .. } = build_from(text, &base_units()).unwrap();
    let mut csv = Vec::new();
    sluice_snapshot::export::export_csv(&snapshot, &mut csv).unwrap();
    let again = build_from(&csv, &base_units()).unwrap();
    assert_eq!(again.report, report);
    assert!(again.file == file, "the files differ");
}

async fn read<T: serde::de::DeserializeOwned>(store: &dyn ObjectStore, object: &Path) -> T {
    let bytes = store.get(object).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A reader who has the manifest and the pages, and no snapshot.
async fn check_pages(store: &dyn ObjectStore, manifest: &Path, snapshot: &Snapshot) {
    let folder = Path::from(manifest.to_string().trim_end_matches("/manifest.json"));
    let manifest: Manifest = read(store, manifest).await;
    assert_eq!(
        (manifest.root, manifest.depth, manifest.count),
        (snapshot.root(), snapshot.depth(), snapshot.count())
    );
    let mut total = Total::ZERO;
    for (number, first) in manifest.first_addresses.iter().enumerate() {
        let object = folder.clone().join("pages").join(format!("{number}.json"));
        let page: Page = read(store, &object).await;
        page.verify(manifest.root, manifest.depth).unwrap();
        assert_eq!(page.first, number as u64 * manifest.page_entitlements);
        assert_eq!(page.words[0].recipient(), *first);
        for word in &page.words {
            total = total.checked_add(word.amount()).unwrap();
        }
        let mut altered = page.clone();
        altered.words.last_mut().unwrap().0[31] ^= 1;
        assert!(altered.verify(manifest.root, manifest.depth).is_err());
    }
    assert_eq!(total, manifest.total);
}

#[test]
fn pages_prove_every_entitlement_without_the_snapshot() {
    for count in [1, 5, 1_023, 1_024, 1_025, 70_000] {
        let Built { snapshot, .. } = build_from(list(&Random(44).rows(count)), &base_units()).unwrap();
        futures::executor::block_on(async {
            let store = InMemory::new();
            let told = std::sync::Mutex::new(Vec::new());
            let prefix = Path::from("campaign/7");
            let manifest =
                publish(&snapshot, &store, &prefix, &|done, of| told.lock().unwrap().push((done, of)))
                    .await
                    .unwrap();
            assert_eq!(manifest.to_string(), format!("campaign/7/{}/manifest.json", snapshot.root()));
            let pages = count.div_ceil(1_024) as u64;
            assert_eq!(told.into_inner().unwrap(), (1..=pages).map(|done| (done, pages)).collect::<Vec<_>>());
            check_pages(&store, &manifest, &snapshot).await;
        });
    }
}

#[test]
fn pages_go_to_a_folder() {
    let Built { snapshot, .. } = build_from(list(&Random(45).rows(3_000)), &base_units()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("new/pages");
    for to in [place.to_str().unwrap().to_owned(), format!("file://{}", place.display())] {
        let (store, prefix) = open_store(&to).unwrap();
        futures::executor::block_on(async {
            let manifest = publish(&snapshot, &*store, &prefix, &|_, _| ()).await.unwrap();
            check_pages(&*store, &manifest, &snapshot).await;
        });
        let named = place.join(snapshot.root().to_string());
        assert!(named.join("manifest.json").is_file() && named.join("pages/2.json").is_file());
    }
    assert!(open_store("nowhere://bucket").is_err());
}

#[test]
fn private_pages_tell_nothing_without_the_key_and_everything_with_it() {
    let Built { snapshot, .. } = build_from(list(&Random(46).rows(2_500)), &base_units()).unwrap();
    let (key, other) = (ListKey::new([7; 32]), ListKey::new([8; 32]));
    let (store, prefix, opened) = (InMemory::new(), Path::from("private"), Path::from("opened"));
    futures::executor::block_on(async {
        let place = publish_private(&snapshot, &key, &store, &prefix, &|_, _| ()).await.unwrap();
        let manifest: Manifest = read(&store, &place).await;
        assert!(manifest.encryption.is_some() && manifest.first_addresses.is_empty());
        assert_eq!((manifest.root, manifest.count), (snapshot.root(), 2_500));
        let folder = prefix.clone().join(snapshot.root().to_string());
        let page = async |n: u64| {
            let object = folder.clone().join("pages").join(format!("{n}.bin"));
            store.get(&object).await.unwrap().bytes().await.unwrap()
        };
        let sealed = page(1).await;
        assert_eq!(key.open_page(&manifest, 1, &sealed).unwrap(), snapshot.page(1).unwrap());
        assert!(key.open_page(&manifest, 2, &sealed).is_none(), "a page opens as itself alone");
        assert!(other.open_page(&manifest, 1, &sealed).is_none());
        // No address of the list stands in any object.
        let objects =
            store.list(None).map_ok(|object| object.location).try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(objects.len(), 5, "three pages, index, manifest");
        for object in objects {
            let text = store.get(&object).await.unwrap().bytes().await.unwrap();
            let text = String::from_utf8_lossy(&text).to_lowercase();
            for index in (0..2_500).step_by(97) {
                let address = snapshot.entitlement(index).unwrap().recipient;
                assert!(!text.contains(&format!("{address:x}")), "{object}");
            }
        }
        publish_private(&snapshot, &key, &store, &prefix, &|_, _| ()).await.unwrap();
        assert_eq!(page(1).await, sealed, "publishing again changes nothing");

        let refused =
            disclose((&store, &prefix), snapshot.root(), &other, (&store, &opened), &|_, _| ()).await;
        assert!(matches!(refused, Err(DiscloseError::Sealed(_))), "{refused:?}");
        let done =
            disclose((&store, &prefix), snapshot.root(), &key, (&store, &opened), &|_, _| ()).await.unwrap();
        check_pages(&store, &done, &snapshot).await;
        // One page in another's place is named.
        let place = folder.join("pages").join("0.bin");
        store.put(&place, sealed.into()).await.unwrap();
        let refused = disclose((&store, &prefix), snapshot.root(), &key, (&store, &opened), &|_, _| ()).await;
        assert!(matches!(&refused, Err(DiscloseError::Sealed(at)) if *at == place), "{refused:?}");
    });
}
