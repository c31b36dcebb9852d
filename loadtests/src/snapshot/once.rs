//! One build in a process of its own, so that its memory and its processor time are its own.

use super::limits::{Limits, Tree};
use super::{length, short};
use crate::machine::{Machine, MemoryPeak, cpu_seconds};
use crate::report::{Figure, Goal, Report};
use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Format, Stage, build};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// `sluice-load snapshot-once`: builds one snapshot and prints what it took as JSON.
#[derive(Debug, Args)]
pub(crate) struct OnceArgs {
    list: PathBuf,
    out: PathBuf,
    format: String,
    decimals: u8,
}

/// What one build took, in seconds and bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    pub root: String,
    pub count: u64,
    /// Reading, parsing and sharing out.
    pub read: f64,
    pub sort: f64,
    /// The tree, and writing into the page cache.
    pub hash: f64,
    /// Until everything is durable.
    pub sync: f64,
    /// Processor time of all threads.
    pub user: f64,
    pub system: f64,
    /// Memory beyond the page cache, at its highest.
    pub peak: u64,
    /// The snapshot's length.
    pub bytes: u64,
    /// The list's length.
    pub list_bytes: u64,
}

/// Builds in a child process.
pub(crate) fn run(list: &Path, out: &Path, format: &str, decimals: u8) -> anyhow::Result<Built> {
    let me = std::env::current_exe().context("cannot find this program")?;
    let decimals = decimals.to_string();
    let mut command = Command::new(me);
    command.arg("snapshot-once").arg(list).arg(out).args([format, &decimals]).stderr(Stdio::inherit());
    let output = command.output().context("cannot start this program again")?;
    if !output.status.success() {
        bail!("building {} failed", out.display());
    }
    serde_json::from_slice(&output.stdout).context("the build's figures are no JSON")
}

impl OnceArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let format = match self.format.as_str() {
            "native" => Format::Native,
            "openzeppelin" => Format::OpenZeppelin,
            "uniswap" => Format::Uniswap,
            other => bail!("{other:?} is no format; write native, openzeppelin or uniswap"),
        };
        let options = BuildOptions { format, decimals: self.decimals, ..BuildOptions::default() };
        let peak = MemoryPeak::watch();
        let begins: Mutex<Vec<(Stage, Instant)>> = Mutex::new(Vec::new());
        let begin = Instant::now();
        let report = build(&options, &Input::File(self.list.clone()), &self.out, &|progress| {
            let mut begins = begins.lock().expect("nothing panics here");
            if begins.last().is_none_or(|(stage, _)| *stage != progress.stage) {
                begins.push((progress.stage, Instant::now()));
            }
        })?;
        let end = Instant::now();
        let begins = begins.into_inner().expect("nothing panics there");
        let at = |wanted| {
            let found = begins.iter().find(|(stage, _)| *stage == wanted);
            found.map_or(end, |(_, begin)| *begin)
        };
        let (sort, hash, sync) = (at(Stage::Sort), at(Stage::Hash).min(at(Stage::Sync)), at(Stage::Sync));
        let (user, system) = cpu_seconds();
        let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        let built = Built {
            root: report.root.to_string(),
            count: report.count,
            read: seconds(begin, sort),
            sort: seconds(sort, hash),
            hash: seconds(hash, sync),
            sync: seconds(sync, end),
            user,
            system,
            peak: peak.end(),
            bytes: length(&self.out)?,
            list_bytes: length(&self.list)?,
        };
        println!("{}", serde_json::to_string(&built)?);
        Ok(())
    }
}

impl Built {
    /// Everything but the sync at the end.
    pub(crate) fn compute(&self) -> f64 {
        self.read + self.sort + self.hash
    }

    /// Rows a second if all cores had worked for this build alone: what else a machine does shows less in it.
    pub(super) fn by_processor_time(&self) -> f64 {
        self.count as f64 * Machine::here().cores as f64 / (self.user + self.system)
    }

    pub(super) fn stages(&self) -> String {
        let Self { read, sort, hash, sync, user, system, .. } = self;
        format!(
            "read {read:.2}, sort {sort:.2}, tree and write {hash:.2}, sync {sync:.2} s; cpu {user:.1} + {system:.1} s"
        )
    }

    /// How many times as long a durable snapshot takes as the larger of what cannot be left out: reading, sorting and the
    /// tree alone, in which nothing waits for the disk, and this disk's time for the bytes.
    fn durable(&self, tree_alone: f64, disk_rate: f64) -> f64 {
        let bound = (self.read + self.sort + tree_alone).max(self.bytes as f64 / disk_rate);
        (self.compute() + self.sync) / bound
    }

    pub(super) fn report(&self, rows: u64, limits: &Limits, tree: &Tree, report: &mut Report) {
        let size = short(rows);
        let count = self.count as f64;
        let rate =
            |name: &str, seconds: f64| Figure::new(format!("{name}, {size}"), count / seconds, "rows/s");
        let compute = rate("build, everything but the sync", self.compute());
        // The goal is for 50 M rows; smaller lists fit caches and are expected to reach it too.
        report.add(compute.goal(Goal::AtLeast(6e6)).note(self.stages()));
        let figure = Figure::new(format!("  by processor time, {size}"), self.by_processor_time(), "rows/s");
        report.add(figure.note("all cores busy, as on an idle machine; the sync's share of it included"));
        let gigabytes = self.list_bytes as f64 / self.read / 1e9;
        report.add(rate("  read, parse, share out", self.read).note(format!("{gigabytes:.2} GB/s")));
        report.add(rate("  sort, settle duplicates", self.sort));
        report.add(rate("  tree and write", self.hash));
        report.add(rate("  sync", self.sync));
        let durable = self.durable(tree.seconds(), limits.disk_rate);
        let note = format!(
            "of the larger of read, sort and tree alone, {:.2} s, and this disk's time for the bytes, {:.2} s",
            self.read + self.sort + tree.seconds(),
            self.bytes as f64 / limits.disk_rate
        );
        report.add(Figure::new(format!("durable, {size}"), durable, "×").goal(Goal::AtMost(1.15)).note(note));
        let peak = self.peak as f64 / count;
        let figure = Figure::new(format!("peak memory beyond the page cache, {size}"), peak, "B/wallet");
        report.add(figure.goal(Goal::AtMost(64.0)));
        report.add(Figure::new(format!("snapshot on disk, {size}"), self.bytes as f64 / count, "B/wallet"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_waits_for_the_disk_while_it_writes_is_seen() {
        let built = Built {
            root: String::new(),
            count: 1_000,
            read: 1.0,
            sort: 1.0,
            hash: 8.0,
            sync: 0.0,
            user: 3.0,
            system: 0.0,
            peak: 0,
            bytes: 8_000,
            list_bytes: 0,
        };
        // A disk that would take the bytes in a second; the build took ten.
        assert_eq!(built.durable(2.0, 8_000.0), 2.5);
        // One that needs eight itself.
        assert_eq!(built.durable(2.0, 1_000.0), 1.25);
    }
}
