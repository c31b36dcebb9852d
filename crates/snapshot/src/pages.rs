//! Proof pages: 1,024 entitlements each with the path from their subtree to the root, and a manifest, as static files
//! in any object store. A claim page, or a citizen during an exit, needs nothing else.
//!
//! Everything lies under the root's name, so pages never change: a store or a CDN may cache them for ever. The manifest
//! is written last; where it exists, all pages do.

pub mod private;

use crate::file::Format;
use crate::limits::{PAGE_ENTITLEMENTS, PAGES_IN_FLIGHT};
use crate::proof::{DenseProof, ProofError};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::tree;
use alloy_primitives::{Address, B256};
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sluice_core::amount::Total;
use sluice_core::entitlement::Word;

/// Levels of the subtree that a full page is: 4 · 2^8 = 1,024.
const PAGE_LEVELS: u8 = 8;
const _: () = assert!(PAGE_ENTITLEMENTS == tree::BUCKET << PAGE_LEVELS);

/// The format of pages and manifest.
pub const PAGES_VERSION: u32 = 1;

/// What is published beside the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`PAGES_VERSION`].
    pub version: u32,
    /// The tree's format; only native trees have pages.
    pub format: Format,
    /// The root.
    pub root: B256,
    /// The tree's depth.
    pub depth: u8,
    /// Entitlements.
    pub count: u64,
    /// Their sum in base units.
    pub total: Total,
    /// Decimals of the token, for display.
    pub decimals: u8,
    /// Entitlements of a page; the last may have fewer. Page n is the object `pages/n.json`.
    pub page_entitlements: u64,
    /// The first address of each page: a reader finds the page of an address by bisection. Empty for a private list.
    pub first_addresses: Vec<Address>,
    /// How pages are encrypted; left out where they are not. Page n of a private list is the object `pages/n.bin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

impl Manifest {
    /// Whether it is of this root's pages, encrypted in a way this program knows.
    pub fn is_private(&self, root: B256) -> bool {
        self.root == root && self.encryption == Some(Encryption::HkdfSha256XChaCha20Poly1305)
    }
}

/// How the pages of a private list are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// A key for each object by HKDF-SHA256, then XChaCha20-Poly1305; see [`private`].
    #[serde(rename = "hkdf-sha256+xchacha20-poly1305")]
    HkdfSha256XChaCha20Poly1305,
}

/// Some consecutive entitlements with their proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Index of the first entitlement.
    pub first: u64,
    /// The entitlements' words: 20 bytes of address, 12 of amount.
    pub words: Vec<Word>,
    /// The siblings from the page's subtree to the root.
    pub path: Vec<B256>,
}

impl Page {
    /// Checks that the page stands in a tree.
    pub fn verify(&self, root: B256, depth: u8) -> Result<(), ProofError> {
        let levels = PAGE_LEVELS.min(depth);
        let mut words = self.words.clone();
        let expected = usize::try_from(tree::capacity(levels)).expect("a page");
        if words.is_empty() || words.len() > expected {
            return Err(ProofError::WordCount { found: words.len(), expected });
        }
        words.resize(expected, Word::PADDING);
        DenseProof { start: self.first, levels, words, path: self.path.clone() }.verify(root, depth)
    }
}

/// Why pages cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The snapshot cannot answer.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A page cannot be written as JSON.
    #[error("a page cannot be encoded")]
    Encode(#[from] serde_json::Error),
    /// The place is no folder and no store.
    #[error("cannot publish to {to:?}")]
    Open {
        /// As given.
        to: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused.
    #[error("the object store refused {object}")]
    Store {
        /// The object.
        object: Path,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
}

/// Opens where pages go: a folder, which is made when it is missing, or a URL of a store (`file://`, and `s3://`,
/// `gs://`, `az://` in builds with the features `s3`, `gcs`, `azure`, configured by the environment's variables of those
/// services).
pub fn open_store(to: &str) -> Result<(Box<dyn ObjectStore>, Path), PublishError> {
    let failed = |source| PublishError::Open { to: to.to_owned(), source };
    if to.contains("://") {
        let url = url::Url::parse(to).map_err(|error| failed(Box::new(error)))?;
        return object_store::parse_url_opts(&url, std::env::vars()).map_err(|error| failed(Box::new(error)));
    }
    std::fs::create_dir_all(to).map_err(|error| failed(Box::new(error)))?;
    let folder = LocalFileSystem::new_with_prefix(to).map_err(|error| failed(Box::new(error)))?;
    Ok((Box::new(folder), Path::default()))
}

impl Snapshot {
    /// The manifest of a native snapshot's pages.
    pub fn manifest(&self) -> Result<Manifest, SnapshotError> {
        if self.format() != Format::Native {
            return Err(SnapshotError::Format { found: self.format(), needed: "native" });
        }
        let page = usize::try_from(PAGE_ENTITLEMENTS).expect("1,024");
        Ok(Manifest {
            version: PAGES_VERSION,
            format: self.format(),
            root: self.root(),
            depth: self.depth(),
            count: self.count(),
            total: self.total(),
            decimals: self.decimals(),
            page_entitlements: PAGE_ENTITLEMENTS,
            first_addresses: self.all_words().iter().step_by(page).map(Word::recipient).collect(),
            encryption: None,
        })
    }

    /// Page `number` of a native snapshot.
    pub fn page(&self, number: u64) -> Result<Page, SnapshotError> {
        let first = number.saturating_mul(PAGE_ENTITLEMENTS);
        let proof = self.dense(first, PAGE_LEVELS.min(self.depth()))?;
        let words = self.words(first..first + PAGE_ENTITLEMENTS).to_vec();
        Ok(Page { first, words, path: proof.path })
    }
}

/// Writes all pages and then the manifest below `prefix/ROOT/`, and returns the manifest's place. Repeating it after an
/// interruption does no harm. `progress` is told how many pages of how many are written.
pub async fn publish(
    snapshot: &Snapshot,
    store: &dyn ObjectStore,
    prefix: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Path, PublishError> {
    let manifest = snapshot.manifest()?;
    let folder = prefix.clone().join(snapshot.root().to_string());
    let pages = manifest.first_addresses.len() as u64;
    let pages_folder = folder.clone().join("pages");
    stream::iter(0..pages)
        .map(|number| {
            let object = pages_folder.clone().join(format!("{number}.json"));
            async move {
                let page = serde_json::to_vec(&snapshot.page(number)?)?;
                put(store, object, page).await
            }
        })
        .buffer_unordered(PAGES_IN_FLIGHT)
        .try_fold(0, |done, _| async move {
            progress(done + 1, pages);
            Ok(done + 1)
        })
        .await?;
    let object = folder.join("manifest.json");
    put(store, object.clone(), serde_json::to_vec(&manifest)?).await?;
    Ok(object)
}

async fn put(store: &dyn ObjectStore, object: Path, bytes: Vec<u8>) -> Result<(), PublishError> {
    let written = store.put(&object, bytes.into()).await;
    written.map(|_| ()).map_err(|source| PublishError::Store { object, source })
}
