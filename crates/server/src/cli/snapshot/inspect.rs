//! `sluice snapshot inspect`.

use anyhow::Context;
use clap::Args;

use super::{OfSnapshot, answer, tokens};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    #[command(flatten)]
    of: OfSnapshot,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = self.of.open()?;
        let bytes = std::fs::metadata(&self.of.file).context("cannot ask for the file's size")?.len();
        let recipient = |index| snapshot.entitlement(index).map(|entitlement| entitlement.recipient);
        let (first, last) = (recipient(0), recipient(snapshot.count() - 1));
        let value = serde_json::json!({
            "root": snapshot.root(),
            "format": snapshot.format(),
            "recipients": snapshot.count(),
            "total": snapshot.total(),
            "decimals": snapshot.decimals(),
            "depth": snapshot.depth(),
            "persons": snapshot.has_persons(),
            "shards": snapshot.shard_totals().len(),
            "first": first,
            "last": last,
            "bytes": bytes,
        });
        let shown = |address: Option<_>| {
            address.map_or_else(String::new, |address: alloy_primitives::Address| address.to_string())
        };
        let facts = [
            ("root", snapshot.root().to_string()),
            ("format", snapshot.format().to_string()),
            ("recipients", snapshot.count().to_string()),
            ("total", tokens(snapshot.total(), snapshot.decimals())),
            ("decimals", snapshot.decimals().to_string()),
            ("depth", snapshot.depth().to_string()),
            ("persons", if snapshot.has_persons() { "named" } else { "not named" }.to_owned()),
            ("shards", snapshot.shard_totals().len().to_string()),
            ("first", shown(first)),
            ("last", shown(last)),
            ("bytes", bytes.to_string()),
        ];
        answer(self.of.json, &value, &facts)
    }
}
