//! `sluice snapshot disclose`.

use alloy_primitives::B256;
use clap::Args;
use sluice_snapshot::pages::open_store;
use sluice_snapshot::pages::private::disclose;
use sluice_snapshot::{Progress, Stage};

use super::answer;
use super::progress::Shown;
use super::publish::ListKeyArgs;
use crate::cli::block_on;

/// What an exit of a private list takes: its pages, and the key that M of N authorities put together (`sluice keys join`).
#[derive(Debug, Args)]
pub(super) struct Disclose {
    /// Where the private pages are: what `snapshot publish --to` was given.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The list's root, as the Distributor has it.
    #[arg(long)]
    root: B256,
    #[command(flatten)]
    key: ListKeyArgs,
    /// A folder, or the URL of an object store, for the public pages.
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Print the answer as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Disclose {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let key = self.key.open()?;
        let key = key.ok_or_else(|| anyhow::anyhow!("--list-key names the key that opens the pages"))?;
        let ((from, source), (to, target)) = (open_store(&self.from)?, open_store(&self.to)?);
        let shown = Shown::new();
        let told = |done, of| shown.tell(Progress { stage: Stage::Pages, done, of: Some(of) });
        let done = disclose((&*from, &source), self.root, &key, (&*to, &target), &told);
        let manifest = block_on(async { Ok(done.await?) })?.to_string();
        shown.done();
        let value = serde_json::json!({ "root": self.root, "manifest": &manifest });
        answer(self.json, &value, &[("root", self.root.to_string()), ("manifest", manifest)])
    }
}
