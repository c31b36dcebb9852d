//! The lists of all campaigns, and their snapshots. A list is deleted once its snapshot stands: forty million rows of
//! text are twice what their snapshots take.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot};

use crate::generate::{self, Plan};

/// A campaign of a programme.
#[derive(Clone, Debug)]
pub(super) struct Campaign {
    /// Counted from 1; the largest is the first.
    pub(super) number: usize,
    pub(super) plan: Plan,
}

/// What making a snapshot took, seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Built {
    /// The list, from the wallets' keys to the last row.
    pub(super) list: f64,
    /// The snapshot, durable.
    pub(super) snapshot: f64,
    /// Bytes of the list.
    pub(super) list_bytes: u64,
    /// Bytes of the snapshot.
    pub(super) snapshot_bytes: u64,
}

impl Campaign {
    /// The campaigns of these plans.
    pub(super) fn all(plans: Vec<Plan>) -> Vec<Self> {
        (1..).zip(plans).map(|(number, plan)| Self { number, plan }).collect()
    }

    /// A file of this campaign.
    pub(super) fn file(&self, folder: &Path, ending: &str) -> PathBuf {
        folder.join(format!("campaign-{:03}.{ending}", self.number))
    }

    /// Writes the list and builds its snapshot.
    pub(super) fn build(&self, folder: &Path) -> anyhow::Result<Built> {
        let (list, out) = (self.file(folder, "csv"), self.file(folder, "snapshot"));
        let begin = Instant::now();
        generate::write(&self.plan, &list)?;
        let listed = Instant::now();
        let options = BuildOptions { decimals: self.plan.decimals, ..BuildOptions::default() };
        sluice_snapshot::build(&options, &Input::File(list.clone()), &out, &|_| ())?;
        let seconds = listed.elapsed().as_secs_f64();
        let bytes = |path: &Path| std::fs::metadata(path).map(|file| file.len());
        let built = Built {
            list: (listed - begin).as_secs_f64(),
            snapshot: seconds,
            list_bytes: bytes(&list)?,
            snapshot_bytes: bytes(&out)?,
        };
        std::fs::remove_file(&list).with_context(|| format!("cannot remove {}", list.display()))?;
        Ok(built)
    }

    /// The snapshot.
    ///
    /// # Errors
    /// When it is not there, or is another list's: count and sum are compared to the base unit.
    pub(super) fn open(&self, folder: &Path) -> anyhow::Result<Snapshot> {
        let path = self.file(folder, "snapshot");
        let snapshot = Snapshot::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        ensure!(
            snapshot.count() == self.plan.rows && snapshot.total().get() == self.plan.total,
            "{} holds {} wallets and {} base units, and {} and {} were planned; delete it",
            path.display(),
            snapshot.count(),
            snapshot.total().get(),
            self.plan.rows,
            self.plan.total
        );
        Ok(snapshot)
    }
}

impl Built {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            list: self.list + other.list,
            snapshot: self.snapshot + other.snapshot,
            list_bytes: self.list_bytes + other.list_bytes,
            snapshot_bytes: self.snapshot_bytes + other.snapshot_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_another_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut campaign = Campaign::all(generate::campaigns(1, 2, 500, 10_000)).remove(1);
        campaign.build(folder.path()).unwrap();
        assert_eq!(campaign.open(folder.path()).unwrap().decimals(), 6);
        assert!(!campaign.file(folder.path(), "csv").exists());
        campaign.plan.total += 1;
        let error = campaign.open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("campaign-002") && error.contains("were planned"), "{error}");
    }
}
