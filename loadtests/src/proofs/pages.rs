//! Static pages, published as `sluice snapshot publish` does and read back as a claimant reads them.

use crate::claims::stats::median;
use crate::report::{Figure, Report};
use crate::snapshot::short;
use anyhow::{Context, ensure};
use sluice_snapshot::Snapshot;
use sluice_snapshot::pages::{Manifest, Page, open_store, publish};
use std::path::Path;
use std::time::Instant;

/// Bytes of a wallet in a page, about: its word in hexadecimal, and its part of the path.
pub(super) const ROW_BYTES: u64 = 72;
/// Turns of reading.
const TURNS: usize = 3;

/// Publishes all pages below `folder`, reads all of them back and verifies them.
///
/// # Errors
/// When a page is not what the snapshot holds.
pub(super) fn measure(snapshot: &Snapshot, folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let place = folder.to_str().with_context(|| format!("{} is no text", folder.display()))?;
    let (store, prefix) = open_store(place)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let begin = Instant::now();
    runtime.block_on(publish(snapshot, &*store, &prefix, &|_, _| ()))?;
    let took = begin.elapsed().as_secs_f64();
    let wallets = snapshot.count() as f64;
    let pages = snapshot.manifest()?.first_addresses.len() as f64;
    let size = short(snapshot.count());
    let figure = Figure::new(format!("static pages published, {size}"), pages / took, "pages/s");
    report.add(
        figure.note(format!("{:.0} wallets' proofs a second; into a folder, not synced", wallets / took)),
    );
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let begin = Instant::now();
        read_back(snapshot, &folder.join(snapshot.root().to_string()))?;
        rates.push(pages / begin.elapsed().as_secs_f64());
    }
    let figure =
        Figure::new(format!("static pages read back and verified, {size}"), median(&rates), "pages/s");
    report.add(figure.note(format!("{:.0} proofs a second, one thread", median(&rates) * wallets / pages)));
    Ok(())
}

/// Reads and verifies every page, against the manifest and the snapshot.
fn read_back(snapshot: &Snapshot, folder: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let manifest: Manifest = serde_json::from_slice(&read(&folder.join("manifest.json"))?)?;
    ensure!(manifest == snapshot.manifest()?, "the manifest is of another list");
    let mut wallets = 0;
    for (number, first) in (0..).zip(&manifest.first_addresses) {
        let page: Page = serde_json::from_slice(&read(&folder.join(format!("pages/{number}.json")))?)?;
        page.verify(manifest.root, manifest.depth).with_context(|| format!("page {number}"))?;
        let begins = page.words.first().context("an empty page")?.recipient() == *first;
        ensure!(begins && page.first == wallets, "page {number} is of other wallets");
        wallets += page.words.len() as u64;
    }
    ensure!(wallets == manifest.count, "the pages hold {wallets} wallets of {}", manifest.count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use sluice_snapshot::list::Input;
    use sluice_snapshot::{BuildOptions, build};

    #[test]
    fn a_page_that_was_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (list, out) = (folder.path().join("list.csv"), folder.path().join("snapshot"));
        generate::write(&generate::plan(1, 3_000, 18, 240_000, false).unwrap(), &list).unwrap();
        build(&BuildOptions::default(), &Input::File(list), &out, &|_| ()).unwrap();
        let snapshot = Snapshot::open(&out).unwrap();
        let mut report = Report::new("proofs");
        let pages = folder.path().join("pages");
        measure(&snapshot, &pages, &mut report).unwrap();
        assert_eq!(report.figures.len(), 2);
        let root = pages.join(snapshot.root().to_string());
        let second = root.join("pages/1.json");
        let mut page: Page = serde_json::from_slice(&std::fs::read(&second).unwrap()).unwrap();
        page.words[5].0[31] ^= 1;
        std::fs::write(&second, serde_json::to_vec(&page).unwrap()).unwrap();
        assert!(read_back(&snapshot, &root).unwrap_err().to_string().contains("page 1"));
    }
}
