//! `sluice snapshot publish`.

use clap::Args;
use sluice_snapshot::pages::{open_store, publish};
use sluice_snapshot::{Progress, Stage};

use super::progress::Shown;
use super::{OfSnapshot, answer};
use crate::cli::block_on;

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    of: OfSnapshot,
    /// A folder, or the URL of an object store. Pages go below it, into a folder named by the root.
    #[arg(long, value_name = "PLACE")]
    to: String,
}

impl Publish {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = self.of.open()?;
        let (store, prefix) = open_store(&self.to)?;
        let shown = Shown::new();
        let told = |done, of| shown.tell(Progress { stage: Stage::Pages, done, of: Some(of) });
        let manifest = block_on(async { Ok(publish(&snapshot, &*store, &prefix, &told).await?) })?;
        shown.done();
        let pages = snapshot.manifest()?.first_addresses.len();
        let (root, manifest) = (snapshot.root(), manifest.to_string());
        let value = serde_json::json!({ "root": root, "pages": pages, "manifest": &manifest });
        let facts = [("root", root.to_string()), ("pages", pages.to_string()), ("manifest", manifest)];
        answer(self.of.json, &value, &facts)
    }
}
