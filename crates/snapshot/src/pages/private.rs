//! Proof pages of a private list: the same pages, each encrypted under a key of its own, which follows from the list's key.
//!
//! Page n is `pages/n.bin`, the first addresses of all pages `index.bin`; the manifest says so and names no address. Keys are
//! HKDF-SHA256 (RFC 5869) of the list's key, with the root as salt and the object's name as info; the cipher is
//! XChaCha20-Poly1305. Each key encrypts one object of one root, which never changes, so the nonce is zero and publishing again
//! writes the same bytes. The root and the name are bound in. Lengths tell no more than the count that the manifest names.

use alloy_primitives::{Address, B256};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use futures::stream::{self, StreamExt, TryStreamExt};
use hkdf::Hkdf;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Encryption, Manifest, Page, PublishError, put};
use crate::limits::PAGES_IN_FLIGHT;
use crate::proof::ProofError;
use crate::snapshot::Snapshot;

/// The key of a private list: 32 secret bytes. Whoever has it reads all pages of all roots published under it.
#[derive(Clone)]
pub struct ListKey([u8; 32]);

impl std::fmt::Debug for ListKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListKey(…)")
    }
}

/// Why private pages cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DiscloseError {
    /// The store does not have an object, or refused it.
    #[error("cannot read {object}")]
    Store {
        /// The object.
        object: Path,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The pages are not encrypted, or in a way this program does not know.
    #[error("{0} is no manifest of private pages")]
    NotPrivate(Path),
    /// The same pages lie beside them, not encrypted.
    #[error("{0} lies there in the clear")]
    InTheClear(Path),
    /// Another key encrypted it, or it was changed.
    #[error("the key does not open {0}: it is another list's, or the object was changed")]
    Sealed(Path),
    /// What was opened is not what belongs there.
    #[error("{0} holds something else than a page of this list")]
    Malformed(Path),
    /// The page does not stand in the list's tree.
    #[error("{object} does not prove what it says")]
    Proof {
        /// The object.
        object: Path,
        /// Why not.
        #[source]
        source: ProofError,
    },
    /// What was opened cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What `index.bin` holds.
#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(rename = "firstAddresses")]
    first_addresses: Vec<Address>,
}

impl ListKey {
    /// From 32 secret bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn cipher(&self, root: B256, name: &str) -> XChaCha20Poly1305 {
        let mut key = [0; 32];
        let info = format!("sluice private list v1 {name}");
        Hkdf::<Sha256>::new(Some(root.as_slice()), &self.0)
            .expand(info.as_bytes(), &mut key)
            .expect("32 bytes are one block of the hash");
        XChaCha20Poly1305::new((&key).into())
    }

    /// Encrypts an object of a root, named `index` or `page n`.
    fn seal(&self, root: B256, name: &str, plain: &[u8]) -> Vec<u8> {
        let aad = bound_to(root, name);
        let payload = Payload { msg: plain, aad: &aad };
        self.cipher(root, name).encrypt((&[0; 24]).into(), payload).expect("a page is far below 256 GiB")
    }

    fn open(&self, root: B256, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let aad = bound_to(root, name);
        self.cipher(root, name).decrypt((&[0; 24]).into(), Payload { msg: sealed, aad: &aad }).ok()
    }

    /// Opens page `number` of a root as it was published, and checks that it stands in the tree.
    pub fn open_page(&self, manifest: &Manifest, number: u64, sealed: &[u8]) -> Option<Page> {
        let plain = self.open(manifest.root, &page_name(number), sealed)?;
        let page: Page = serde_json::from_slice(&plain).ok()?;
        page.verify(manifest.root, manifest.depth).is_ok().then_some(page)
    }
}

fn bound_to(root: B256, name: &str) -> Vec<u8> {
    [root.as_slice(), name.as_bytes()].concat()
}

fn page_name(number: u64) -> String {
    format!("page {number}")
}

/// Writes all pages encrypted, then the index and the manifest, below `prefix/ROOT/`; otherwise as [`super::publish`].
///
/// # Errors
/// As [`super::publish`].
pub async fn publish_private(
    snapshot: &Snapshot,
    key: &ListKey,
    store: &dyn ObjectStore,
    prefix: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Path, PublishError> {
    let mut manifest = snapshot.manifest()?;
    let root = manifest.root;
    let first_addresses = std::mem::take(&mut manifest.first_addresses);
    manifest.encryption = Some(Encryption::HkdfSha256XChaCha20Poly1305);
    let folder = prefix.clone().join(root.to_string());
    let pages = first_addresses.len() as u64;
    let pages_folder = folder.clone().join("pages");
    stream::iter(0..pages)
        .map(|number| {
            let object = pages_folder.clone().join(format!("{number}.bin"));
            async move {
                let page = serde_json::to_vec(&snapshot.page(number)?)?;
                put(store, object, key.seal(root, &page_name(number), &page)).await
            }
        })
        .buffer_unordered(PAGES_IN_FLIGHT)
        .try_fold(0, |done, _| async move {
            progress(done + 1, pages);
            Ok(done + 1)
        })
        .await?;
    let index = serde_json::to_vec(&Index { first_addresses })?;
    put(store, folder.clone().join("index.bin"), key.seal(root, "index", &index)).await?;
    let object = folder.join("manifest.json");
    put(store, object.clone(), serde_json::to_vec(&manifest)?).await?;
    Ok(object)
}

/// The manifest of a root's private pages.
///
/// # Errors
/// When there is none, or one of pages that are not encrypted.
async fn manifest(from: (&dyn ObjectStore, &Path), root: B256) -> Result<Manifest, DiscloseError> {
    let place = from.1.clone().join(root.to_string()).join("manifest.json");
    let bytes = read(from.0, place.clone()).await?;
    let manifest =
        serde_json::from_slice(&bytes).ok().filter(|manifest: &Manifest| manifest.is_private(root));
    manifest.ok_or(DiscloseError::NotPrivate(place))
}

/// Checks that the pages of a root lie there encrypted, and that none lies beside them in the clear. Takes no key.
///
/// # Errors
/// When they are missing, or not encrypted.
pub async fn are_sealed(from: (&dyn ObjectStore, &Path), root: B256) -> Result<(), DiscloseError> {
    manifest(from, root).await?;
    let clear = from.1.clone().join(root.to_string()).join("pages").join("0.json");
    match from.0.head(&clear).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(DiscloseError::Store { object: clear, source }),
        Ok(_) => Err(DiscloseError::InTheClear(clear)),
    }
}

async fn read(store: &dyn ObjectStore, object: Path) -> Result<Vec<u8>, DiscloseError> {
    let failed = |source| DiscloseError::Store { object: object.clone(), source };
    let found = store.get(&object).await.map_err(failed)?;
    Ok(found.bytes().await.map_err(failed)?.into())
}

/// Opens the private pages of a root, checks each against the root, and writes them as public ones: what is done at an exit,
/// when the key was published. Returns the public manifest's place.
///
/// # Errors
/// With the first object that is missing, not opened by the key, or not what belongs there.
pub async fn disclose(
    from: (&dyn ObjectStore, &Path),
    root: B256,
    key: &ListKey,
    to: (&dyn ObjectStore, &Path),
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Path, DiscloseError> {
    let source = from.1.clone().join(root.to_string());
    let read = async |object: Path| read(from.0, object).await;
    let mut manifest = manifest(from, root).await?;
    manifest.encryption = None;
    let place = source.clone().join("index.bin");
    let opened = key.open(root, "index", &read(place.clone()).await?);
    let index = opened.ok_or_else(|| DiscloseError::Sealed(place.clone()))?;
    let Index { first_addresses } =
        serde_json::from_slice(&index).map_err(|_| DiscloseError::Malformed(place))?;
    manifest.first_addresses = first_addresses;
    let pages = manifest.first_addresses.len() as u64;
    let folder = to.1.clone().join(root.to_string());
    for number in 0..pages {
        let place = source.clone().join("pages").join(format!("{number}.bin"));
        let sealed = read(place.clone()).await?;
        let plain = key.open(root, &page_name(number), &sealed);
        let plain = plain.ok_or_else(|| DiscloseError::Sealed(place.clone()))?;
        let page: Page =
            serde_json::from_slice(&plain).map_err(|_| DiscloseError::Malformed(place.clone()))?;
        if page.first != number * manifest.page_entitlements {
            return Err(DiscloseError::Malformed(place));
        }
        let proved = page.verify(root, manifest.depth);
        proved.map_err(|source| DiscloseError::Proof { object: place, source })?;
        put(to.0, folder.clone().join("pages").join(format!("{number}.json")), plain).await?;
        progress(number + 1, pages);
    }
    let object = folder.join("manifest.json");
    let manifest = serde_json::to_vec(&manifest).map_err(PublishError::from)?;
    put(to.0, object.clone(), manifest).await?;
    Ok(object)
}
