//! `sluice-load proofs`: look-ups with proof, in process and over HTTP, from a cold and a warm page cache; static pages,
//! published and read back.

use crate::claims::cluster;
use crate::estimate::Needs;
use crate::generate;
use crate::machine::{self, Machine};
use crate::report::{Figure, Goal, Report, Show};
use crate::snapshot::{build_apart, rows_or_none, short};
use anyhow::{Context, ensure};
use clap::Args;
use sluice_snapshot::Snapshot;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod http;
mod pages;

/// Proofs a second, in process and over HTTP, cold and warm; static pages.
#[derive(Debug, Args)]
pub(crate) struct ProofsArgs {
    /// Wallets of the snapshot.
    #[arg(long, value_parser = generate::count, default_value = "10M")]
    rows: u64,
    /// A native snapshot that is there already, instead of a new one.
    #[arg(long, conflicts_with = "rows")]
    snapshot: Option<PathBuf>,
    /// Where the list and the snapshot lie meanwhile.
    #[arg(long, default_value = "/tmp/sluice-load")]
    work: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Seed of the list.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Wallets of a list that is looked up over HTTP too, which needs PostgreSQL and anvil; 0 leaves it out.
    #[arg(long, default_value = "0", value_parser = rows_or_none)]
    http_rows: u64,
    /// Wallets of a list whose static pages are published and read back; 0 leaves it out.
    #[arg(long, default_value = "1M", value_parser = rows_or_none)]
    page_rows: u64,
    #[command(flatten)]
    show: Show,
}

/// Decimals of the lists.
const DECIMALS: u8 = 18;
/// Bytes of a wallet on disk: its row and its place in the snapshot.
const LISTED: u64 = 110;

/// Has the system forget what it holds of a file in memory. What a process has mapped and touched stays.
fn leave_the_cache(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// How fast one thread was.
struct Rate {
    per_second: f64,
    per_cpu_second: f64,
}

impl ProofsArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let rows = if self.snapshot.is_some() { 0 } else { self.rows };
        std::fs::create_dir_all(&self.work)
            .with_context(|| format!("cannot make {}", self.work.display()))?;
        self.announce(rows)?;
        let path = match &self.snapshot {
            Some(path) => path.clone(),
            None => self.make(rows)?,
        };
        let mut report = self.measure(&path)?;
        if self.snapshot.is_none() {
            std::fs::remove_file(&path)?;
        }
        if self.page_rows > 0 {
            let path = self.make(self.page_rows)?;
            let folder = tempfile::tempdir_in(&self.work)?;
            pages::measure(&Snapshot::open(&path)?, folder.path(), &mut report)?;
            std::fs::remove_file(&path)?;
        }
        if self.http_rows > 0 {
            http::measure(self.http_rows, self.seed, 2 * self.seconds, &mut report)?;
        }
        report.print(self.show)
    }

    /// Lists and pages lie in the folder for work; the node over HTTP has its list where its servers are.
    fn announce(&self, rows: u64) -> anyhow::Result<()> {
        let http = self.http_rows;
        let time = Duration::from_secs(8 * self.seconds + (rows + http) / 1_000_000 + 20);
        let pages = self.page_rows * (LISTED + pages::ROW_BYTES);
        let memory = |rows: u64| rows * 64 + (512 << 20);
        Needs { time, disk: (rows * LISTED).max(pages), memory: memory(rows.max(self.page_rows)) }
            .announce("proofs", &self.work)?;
        if http > 0 {
            let time = Duration::from_secs(6 * self.seconds + http / 1_000_000 + 20);
            Needs { time, disk: http * LISTED + cluster::DISK, memory: memory(http) }
                .announce("proofs over HTTP", &std::env::temp_dir())?;
        }
        Ok(())
    }

    /// A snapshot of so many wallets. It is built by another process, whose memory is not counted here.
    fn make(&self, rows: u64) -> anyhow::Result<PathBuf> {
        let (list, out) =
            (self.work.join("proofs.csv"), self.work.join(format!("proofs-{}-{rows}", self.seed)));
        if !out.exists() {
            let plan = generate::plan(self.seed, rows, DECIMALS, u128::from(rows) * 80, false)?;
            generate::write(&plan, &list)?;
            build_apart(&list, &out, "native", DECIMALS)?;
            std::fs::remove_file(&list)?;
        }
        Ok(out)
    }

    fn measure(&self, path: &Path) -> anyhow::Result<Report> {
        let mut report = Report::new("proofs");
        leave_the_cache(path)?;
        let snapshot = Snapshot::open(path)?;
        let size = short(snapshot.count());
        let cold = self.rate(&snapshot, 0)?;
        let name = |what: &str| format!("look-ups with proof, {size}, {what}");
        let note = "every page is read from the disk once";
        report.add(Figure::new(name("cold, one thread"), cold.per_second, "/s").note(note));
        std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
        let warm = self.rate(&snapshot, 1)?;
        report.add(Figure::new(name("warm, one thread"), warm.per_second, "/s"));
        let figure = Figure::new(name("warm, a second of processor time"), warm.per_cpu_second, "/s");
        report.add(figure.goal(Goal::AtLeast(1e5)).note("a core's rate, whatever else the machine does"));
        let all: Vec<anyhow::Result<Rate>> =
            rayon::broadcast(|thread| self.rate(&snapshot, 2 + thread.index() as u64));
        let all = all.into_iter().map(|rate| Ok(rate?.per_second)).sum::<anyhow::Result<f64>>()?;
        let cores = Machine::here().cores;
        report.add(Figure::new(name(&format!("warm, {cores} cores")), all, "/s"));
        let memory = machine::memory_now() as f64 / 1e6;
        let figure = Figure::new(format!("memory with the snapshot open, {size}"), memory, "MB");
        report.add(figure.note("beyond mapped pages; what a snapshot takes of a node's"));
        Ok(report)
    }

    /// Look-ups a second of random wallets: an address is found, its entitlement proven, and the proof checked.
    fn rate(&self, snapshot: &Snapshot, series: u64) -> anyhow::Result<Rate> {
        let (begin, cpu, mut done) = (Instant::now(), machine::thread_seconds(), 0u64);
        while begin.elapsed() < Duration::from_secs(self.seconds) {
            for _ in 0..64 {
                let index = generate::random(series, done) % snapshot.count();
                let address = snapshot.entitlement(index).context("an index below the count")?.recipient;
                let found = snapshot.find(address);
                let proof = snapshot.proof(found.start)?;
                ensure!(proof.entitlement().recipient == address, "a proof of another wallet");
                done += 1;
            }
        }
        let cpu = machine::thread_seconds() - cpu;
        Ok(Rate {
            per_second: done as f64 / begin.elapsed().as_secs_f64(),
            per_cpu_second: done as f64 / cpu,
        })
    }
}
