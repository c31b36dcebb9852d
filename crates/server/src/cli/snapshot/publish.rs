//! `sluice snapshot publish`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgGroup, Args};
use sluice_snapshot::pages::private::{ListKey, publish_private};
use sluice_snapshot::pages::{open_store, publish};
use sluice_snapshot::{Progress, Stage};

use super::progress::Shown;
use super::{OfSnapshot, answer};
use crate::cli::block_on;
use crate::keys::{Password, open_list_key};

/// Nobody publishes a list in the clear by leaving an option out.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("visibility").required(true).args(["list_key", "public"])))]
pub(super) struct Publish {
    #[command(flatten)]
    of: OfSnapshot,
    /// A folder, or the URL of an object store. Pages go below it, into a folder named by the root.
    #[arg(long, value_name = "PLACE")]
    to: String,
    #[command(flatten)]
    key: ListKeyArgs,
    /// The list is public: everybody may read the pages. Of a campaign that is private they are written with --list-key.
    #[arg(long)]
    public: bool,
}

/// The key of a private list.
#[derive(Debug, Args)]
pub(super) struct ListKeyArgs {
    /// The list is private: its key (`sluice keys new list`) encrypts each page under a key of its own.
    #[arg(long, value_name = "FILE", requires = "list_password_file")]
    list_key: Option<PathBuf>,
    /// A file whose first line is its password.
    #[arg(long, value_name = "FILE")]
    list_password_file: Option<PathBuf>,
}

impl ListKeyArgs {
    pub(super) fn open(&self) -> anyhow::Result<Option<ListKey>> {
        let (Some(file), Some(password)) = (&self.list_key, &self.list_password_file) else {
            return Ok(None);
        };
        let secret = open_list_key(file, &Password::read(password)?).context("--list-key")?;
        Ok(Some(ListKey::new(secret)))
    }
}

impl Publish {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = self.of.open()?;
        let (store, prefix) = open_store(&self.to)?;
        let shown = Shown::new();
        let told = |done, of| shown.tell(Progress { stage: Stage::Pages, done, of: Some(of) });
        let key = self.key.open()?;
        let manifest = block_on(async {
            Ok(match &key {
                Some(key) => publish_private(&snapshot, key, &*store, &prefix, &told).await?,
                None => publish(&snapshot, &*store, &prefix, &told).await?,
            })
        })?;
        shown.done();
        let pages = snapshot.manifest()?.first_addresses.len();
        let (root, manifest) = (snapshot.root(), manifest.to_string());
        let visibility = if key.is_some() { "private" } else { "public" };
        let value = serde_json::json!({
            "root": root, "pages": pages, "manifest": &manifest, "visibility": visibility,
        });
        let facts =
            [("root", root.to_string()), ("pages", format!("{pages}, {visibility}")), ("manifest", manifest)];
        answer(self.of.json, &value, &facts)
    }
}
