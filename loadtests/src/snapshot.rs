//! `sluice-load snapshot`: from a list to a snapshot at several sizes, each stage timed, beside rs_merkle, this
//! machine's batched hash, DuckDB and OpenZeppelin's JavaScript over the same rows in the same run.

use crate::estimate::{Needs, bytes};
use crate::generate;
use crate::machine::{self, Machine};
use crate::report::{Figure, Goal, Report, Show};
use crate::resume::Journal;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod disk;
mod limits;
mod once;
mod others;

pub(crate) use once::{Built, OnceArgs, run as build_apart};

/// Lists to snapshots at several sizes: rows a second for each stage, memory, and what else could be used.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Sizes, in rows, smallest first.
    #[arg(long, value_parser = generate::count, value_delimiter = ',', default_value = "1M,10M")]
    rows: Vec<u64>,
    /// Where lists and snapshots lie meanwhile.
    #[arg(long, default_value = "/tmp/sluice-load")]
    work: PathBuf,
    /// Rows of the list that is built in OpenZeppelin's format; 0 leaves it out.
    #[arg(long, default_value = "10M", value_parser = rows_or_none)]
    openzeppelin_rows: u64,
    /// Rows that OpenZeppelin's own JavaScript builds; 0 leaves it out.
    #[arg(long, default_value = "20k", value_parser = rows_or_none)]
    npm_rows: u64,
    /// Leave DuckDB out even where Python has it.
    #[arg(long)]
    no_duckdb: bool,
    /// Seed of the lists.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep lists and snapshots for the next run.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    show: Show,
}

/// A number of rows, 0 for none.
pub(crate) fn rows_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { generate::count(text) }
}

/// What a run's journal belongs to.
#[derive(Serialize)]
struct Parameters<'a> {
    rows: &'a [u64],
    openzeppelin_rows: u64,
    npm_rows: u64,
    seed: u64,
}

/// Decimals of the lists.
const DECIMALS: u8 = 18;

impl SnapshotArgs {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        self.rows.sort_unstable();
        let folder = &self.work;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let Self { rows, openzeppelin_rows, npm_rows, seed, .. } = &self;
        let parameters =
            Parameters { rows, openzeppelin_rows: *openzeppelin_rows, npm_rows: *npm_rows, seed: *seed };
        let parameters = serde_json::to_value(parameters)?;
        self.leave_out(machine::memory_free());
        let folder = &self.work;
        self.needs().announce("snapshot", folder)?;
        let mut journal = Journal::open(&folder.join("snapshot.journal"), &parameters)?;
        let mut report = Report::new("snapshot");
        let limits = journal.step("limits", || limits::Limits::measure(folder))?;
        limits.report(&mut report);
        let mut built = Vec::new();
        for &rows in &self.rows {
            built.push(self.at(rows, &limits, &mut journal, &mut report)?);
        }
        growth(&built, &mut report);
        if self.openzeppelin_rows > 0 {
            self.openzeppelin(&mut journal, &mut report)?;
        }
        if !self.keep {
            self.clear()?;
        }
        report.print(self.show)?;
        journal.finish()
    }

    /// Leaves out the sizes that there is not memory enough for, but not all: a run of nothing is refused instead.
    fn leave_out(&mut self, free: u64) {
        let smallest = self.rows.first().copied();
        self.rows.retain(|rows| Some(*rows) == smallest || bearable(*rows, MEMORY_ROW, free));
        if self.openzeppelin_rows > 0 && !bearable(self.openzeppelin_rows, MEMORY_ROW_OPENZEPPELIN, free) {
            self.openzeppelin_rows = 0;
        }
    }

    fn needs(&self) -> Needs {
        let all: u64 = self.rows.iter().sum::<u64>() + 3 * self.openzeppelin_rows;
        let most = self.largest();
        let native = self.rows.iter().copied().max().unwrap_or(0) * MEMORY_ROW;
        let memory = native.max(self.openzeppelin_rows * MEMORY_ROW_OPENZEPPELIN) + MEMORY;
        let duckdb = if self.no_duckdb { 0 } else { 1_000 };
        let cores = Machine::here().cores as u64;
        // List, build, tree alone, comparison: about 1.5 µs of one core a row, and DuckDB.
        let time = Duration::from_nanos(all * (1_500 + duckdb) / cores) + Duration::from_secs(20);
        Needs { time, disk: most * (68 + 100), memory }
    }

    fn largest(&self) -> u64 {
        self.rows.iter().copied().max().unwrap_or(0).max(self.openzeppelin_rows)
    }

    fn list(&self, rows: u64) -> PathBuf {
        self.work.join(format!("list-{}-{rows}.csv", self.seed))
    }

    fn make_list(&self, rows: u64) -> anyhow::Result<PathBuf> {
        let list = self.list(rows);
        if !list.exists() {
            let plan = generate::plan(self.seed, rows, DECIMALS, u128::from(rows) * 80, false)?;
            let begin = Instant::now();
            generate::write(&plan, &list)?;
            eprintln!("wrote {} in {:.1} s", list.display(), begin.elapsed().as_secs_f64());
        }
        // Other runs' pages have left the cache by then, this list's are in it: both sides of each comparison read
        // from memory.
        std::io::copy(&mut std::fs::File::open(&list)?, &mut std::io::sink())?;
        Ok(list)
    }

    /// One size.
    fn at(
        &self,
        rows: u64,
        limits: &limits::Limits,
        journal: &mut Journal,
        report: &mut Report,
    ) -> anyhow::Result<Built> {
        let snapshot = self.work.join(format!("snapshot-{rows}"));
        let built = journal.step(&format!("build {rows}"), || {
            once::run(&self.make_list(rows)?, &snapshot, "native", DECIMALS)
        })?;
        let tree = journal.step(&format!("tree {rows}"), || {
            if !snapshot.exists() {
                once::run(&self.make_list(rows)?, &snapshot, "native", DECIMALS)?;
            }
            limits::tree_alone(&snapshot)
        })?;
        built.report(rows, limits, &tree, report);
        tree.report(rows, &built, report);
        if !self.no_duckdb && others::has_duckdb() {
            let duckdb =
                journal.step(&format!("duckdb {rows}"), || others::duckdb(&self.make_list(rows)?))?;
            report.add(
                Figure::new(
                    format!("DuckDB's read and sort alone, {}", short(rows)),
                    rows as f64 / duckdb,
                    "rows/s",
                )
                .note(format!("{duckdb:.1} s, no sync")),
            );
            let ratio = duckdb / built.compute();
            let figure = Figure::new(format!("build against DuckDB, {}", short(rows)), ratio, "×");
            report.add(figure.goal(Goal::AtLeast(2.5)).note("syncs left out on both sides"));
        }
        if !self.keep {
            let _ = std::fs::remove_file(&snapshot);
        }
        Ok(built)
    }

    fn openzeppelin(&self, journal: &mut Journal, report: &mut Report) -> anyhow::Result<()> {
        let rows = self.openzeppelin_rows;
        let out = self.work.join("openzeppelin");
        let name = format!("OpenZeppelin's format, {}", short(rows));
        let built = journal.step(&format!("openzeppelin {rows}"), || {
            once::run(&self.make_list(rows)?, &out, "openzeppelin", DECIMALS)
        })?;
        let rate = rows as f64 / built.compute();
        report.add(Figure::new(&name, rate, "rows/s").goal(Goal::AtLeast(2e6)).note(built.stages()));
        report.add(Figure::new(format!("{name}, by processor time"), built.by_processor_time(), "rows/s"));
        report.add(Figure::new(format!("{name}, peak memory"), built.peak as f64 / rows as f64, "B/wallet"));
        if self.npm_rows > 0 && others::has_npm() {
            let npm = journal.step(&format!("npm {}", self.npm_rows), || {
                let list = self.make_list(self.npm_rows)?;
                let ours = once::run(&list, &out, "openzeppelin", DECIMALS)?;
                others::npm(&list, &ours.root)
            })?;
            let theirs = self.npm_rows as f64 / npm.seconds;
            let figure = Figure::new(format!("npm OpenZeppelin, {}", short(self.npm_rows)), theirs, "rows/s");
            report.add(figure.note("the same root; the tree alone, its list in memory"));
            report.add(
                Figure::new("our build in that format against npm's", rate / theirs, "×")
                    .goal(Goal::AtLeast(250.0)),
            );
            let by_processor = built.by_processor_time() * npm.processor / self.npm_rows as f64;
            let figure =
                Figure::new("our build in that format against npm's, by processor time", by_processor, "×");
            report.add(figure.goal(Goal::AtLeast(250.0)).note("npm on one core, ours on all"));
        }
        let _ = std::fs::remove_file(out);
        Ok(())
    }

    /// Removes the lists of this run.
    fn clear(&self) -> anyhow::Result<()> {
        let others = [self.openzeppelin_rows, self.npm_rows];
        for &rows in self.rows.iter().chain(&others) {
            match std::fs::remove_file(self.list(rows)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How much more a row costs in the largest list than in that of the smaller ones where it costs least: in the smallest,
/// starting up is most of it.
fn growth(built: &[Built], report: &mut Report) {
    let Some((last, smaller @ [_, ..])) = built.split_last() else { return };
    let sizes: Vec<String> = smaller.iter().map(|built| short(built.count)).collect();
    let name = format!("time a row, {} against the least of {}", short(last.count), sizes.join(", "));
    let against = |row: fn(&Built) -> f64| row(last) / smaller.iter().map(row).fold(f64::INFINITY, f64::min);
    let growth = against(|built| built.compute() / built.count as f64);
    report.add(Figure::new(&name, growth, "×").goal(Goal::AtMost(1.15)));
    let growth = against(|built| 1.0 / built.by_processor_time());
    report.add(Figure::new(format!("{name}, by processor time"), growth, "×").goal(Goal::AtMost(1.15)));
}

/// Bytes of memory that a row takes beyond the page cache, and in OpenZeppelin's format; and what a build takes whatever
/// the size. 41 and 165 were seen.
const MEMORY_ROW: u64 = 64;
const MEMORY_ROW_OPENZEPPELIN: u64 = 180;
const MEMORY: u64 = 256 << 20;

/// Whether so much memory is enough for so many rows; where it is not, it is said that they are left out.
fn bearable(rows: u64, each: u64, free: u64) -> bool {
    let needed = rows * each + MEMORY;
    if needed > free {
        let (needed, free) = (bytes(needed), bytes(free));
        eprintln!(
            "snapshot: {} rows are left out: {needed} of memory are needed, {free} are free",
            short(rows)
        );
    }
    needed <= free
}

/// `1M`, `10M`, `20k`.
pub(crate) fn short(rows: u64) -> String {
    match rows {
        _ if rows.is_multiple_of(1_000_000) => format!("{}M", rows / 1_000_000),
        _ if rows.is_multiple_of(1_000) => format!("{}k", rows / 1_000),
        _ => rows.to_string(),
    }
}

/// Bytes of a file.
fn length(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SnapshotArgs,
    }

    #[test]
    fn a_size_that_memory_is_too_small_for_is_left_out() {
        let cli = Cli::parse_from(["snapshot", "--rows", "1M,50M,100M"]);
        let mut args = cli.args;
        args.leave_out(4 << 30);
        assert_eq!(
            (args.rows.as_slice(), args.openzeppelin_rows),
            ([1_000_000, 50_000_000].as_slice(), 10_000_000)
        );
        assert!(args.needs().memory <= 4 << 30, "what is left may be begun");
        args.leave_out(1 << 30);
        assert_eq!((args.rows.as_slice(), args.openzeppelin_rows), ([1_000_000].as_slice(), 0));
        args.leave_out(0);
        assert_eq!(args.rows, [1_000_000], "and is refused before the work");
    }

    #[test]
    fn the_largest_is_held_against_the_best_of_the_smaller() {
        let built = |count: u64, read: f64| Built {
            root: String::new(),
            count,
            read,
            sort: 0.0,
            hash: 0.0,
            sync: 0.0,
            user: read,
            system: 0.0,
            peak: 0,
            bytes: 0,
            list_bytes: 0,
        };
        let mut report = Report::new("snapshot");
        // Starting up takes as long as a million rows.
        growth(&[built(1_000_000, 2.0), built(10_000_000, 10.0), built(50_000_000, 75.0)], &mut report);
        for figure in report.figures {
            assert!((figure.value - 1.5).abs() < 1e-9, "{figure:?}");
        }
    }
}
