//! Proof pages that a private campaign names: encrypted ones, or none.

use alloy_primitives::B256;
use anyhow::{Context, bail, ensure};
use reqwest::StatusCode;
use sluice_snapshot::pages::private::are_sealed;
use sluice_snapshot::pages::{Manifest, open_store};

/// Checks that the pages of this root at `uri` are encrypted.
///
/// # Errors
/// When they are not, or cannot be looked at.
pub(super) async fn must_be_sealed(uri: &str, root: B256) -> anyhow::Result<()> {
    let seen = if uri.starts_with("https://") || uri.starts_with("http://") {
        served_sealed(uri, root).await
    } else {
        stored_sealed(uri, root).await
    };
    seen.with_context(|| {
        format!(
            "this campaign is private, and --list-uri {uri:?} leads to no encrypted pages of {root}; write them with \
             `sluice snapshot publish --list-key KEY`, or leave --list-uri out"
        )
    })
}

async fn stored_sealed(place: &str, root: B256) -> anyhow::Result<()> {
    // Opening a folder would make it.
    ensure!(place.contains("://") || std::path::Path::new(place).is_dir(), "there is no such folder");
    let (store, prefix) = open_store(place)?;
    Ok(are_sealed((&*store, &prefix), root).await?)
}

/// As a reader of a CDN sees it.
async fn served_sealed(url: &str, root: B256) -> anyhow::Result<()> {
    let below = format!("{}/{root}", url.trim_end_matches('/'));
    let manifest = reqwest::get(format!("{below}/manifest.json")).await?.error_for_status()?;
    let manifest: Manifest = serde_json::from_slice(&manifest.bytes().await?)?;
    ensure!(manifest.is_private(root), "its manifest is not one of encrypted pages");
    let clear = reqwest::get(format!("{below}/pages/0.json")).await?.status();
    match clear {
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(()),
        status => bail!("pages/0.json must not be there; asked for, it is answered {status}"),
    }
}
