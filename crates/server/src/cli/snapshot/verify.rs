//! `sluice snapshot verify`.

use std::time::Instant;

use alloy_primitives::B256;
use anyhow::Context;
use clap::Args;

use super::progress::Shown;
use super::{OfSnapshot, answer, tokens};

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    of: OfSnapshot,
    /// The root it must have: the one published or on chain.
    #[arg(long)]
    root: Option<B256>,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = self.of.open()?;
        let shown = Shown::new();
        let began = Instant::now();
        let verified = snapshot.verify(self.root, &|progress| shown.tell(progress));
        shown.done();
        verified.with_context(|| format!("{} does not hold", self.of.file.display()))?;
        let seconds = began.elapsed().as_secs_f64();
        let value = serde_json::json!({
            "verified": true,
            "root": snapshot.root(),
            "format": snapshot.format(),
            "recipients": snapshot.count(),
            "total": snapshot.total(),
            "seconds": seconds,
        });
        let facts = [
            ("verified", "order, amounts, count, total, every hash and index".to_owned()),
            ("root", snapshot.root().to_string()),
            ("format", snapshot.format().to_string()),
            ("recipients", snapshot.count().to_string()),
            ("total", tokens(snapshot.total(), snapshot.decimals())),
            ("seconds", format!("{seconds:.2}")),
        ];
        answer(self.of.json, &value, &facts)
    }
}
