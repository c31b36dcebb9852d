//! `sluice-load sequence`: durable decisions a second through the group-commit path, every claim with all rows that it has
//! in production, beside `COPY` of the same rows into the same tables and pgbench's simple update, on one cluster in one
//! run. Signatures are left out here: `claims` measures them.

mod copy;
pub(crate) mod path;
mod pgbench;

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use alloy_primitives::keccak256;
use anyhow::ensure;
use clap::Args;

use crate::claims::cluster;
use crate::claims::figures::add_sync;
use crate::claims::ground::{Ground, Servers};
use crate::claims::processor::{family_seconds, sync_time};
use crate::claims::run;
use crate::claims::stats::{median, spread};
use crate::estimate::Needs;
use crate::machine;
use crate::report::{Figure, Goal, Report, Show};
use copy::Copied;
use path::GroupCommit;

/// Bytes of a claim's rows with their indexes, in both databases, and of the write-ahead log on the way there.
const DISK_EACH: u64 = 4_500;

/// `sluice-load sequence`.
#[derive(Debug, Args)]
pub(crate) struct SequenceArgs {
    /// Claims in all; ten million for the whole.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    claims: u64,
    /// Turns: a share of the claims decided, then the same rows copied.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    turns: u64,
    /// How long pgbench runs, seconds; 0 leaves it out.
    #[arg(long, default_value_t = 15)]
    pgbench_seconds: u64,
    #[command(flatten)]
    show: Show,
}

impl SequenceArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let Self { claims, turns, .. } = self;
        ensure!(claims >= turns, "--claims {claims} are too few for --turns {turns}; at least one each");
        let needs = Needs {
            time: Duration::from_secs(self.claims / 12_000 + self.pgbench_seconds + 30),
            disk: self.claims * DISK_EACH + cluster::DISK,
            memory: self.claims / self.turns * 1_000 + (1 << 29),
        };
        needs.announce("sequence", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let mut report = Report::new("sequence");
        add_sync(&mut report, sync_time(servers.folder())?);
        let ground = Ground::start(&servers, "sequence").await?;
        let list = ground.prepared.dir.join("list.csv");
        write_list(self.claims, &list)?;
        let round = ground.open_round(1, ground.snapshot(&list).await?, None).await?;
        std::fs::remove_file(&list)?;
        ground.node.stop().await;

        let beside = servers.postgres.create_database("copied").await?;
        let mut copies = Copied::prepare(&ground.prepared.database_url, &beside).await?;
        let mut path = GroupCommit::lead(&ground, &round).await?;
        let (mut decided, mut copied) = (Vec::new(), Vec::new());
        let spent = Spent { postgres: servers.postgres.pid() };
        let (mut deciding, mut copying) = ((0.0, 0.0), (0.0, 0.0));
        let (turns, mut total) = (self.turns, Duration::ZERO);
        for turn in 0..turns {
            let share = (self.claims * turn / turns)..(self.claims * (turn + 1) / turns);
            let count = (share.end - share.start) as f64;
            let before = spent.seconds();
            let done = path.decide(share).await?;
            add(&mut deciding, before, spent.seconds());
            let took = copies.copy(&done.rows, || spent.seconds()).await?;
            add(&mut copying, took.before, took.after);
            let took = took.took;
            let (ours, theirs) = (count / done.took.as_secs_f64(), count / took.as_secs_f64());
            eprintln!("sequence: turn {turn}: {ours:.0} decided a second, {theirs:.0} copied a second");
            decided.push(ours);
            copied.push(theirs);
            total += done.took;
        }
        path.stop().await?;
        let ratios: Vec<f64> = decided.iter().zip(&copied).map(|(ours, theirs)| ours / theirs).collect();
        let figure = Figure::new("decided, durable, answered", median(&decided), "claims/s")
            .goal(Goal::AtLeast(30_000.0));
        report.add(figure.note(format!("{}; {} in {} s", spread(&decided), self.claims, total.as_secs())));
        report.add(Figure::new("COPY of the same rows", median(&copied), "claims/s").note(spread(&copied)));
        let figure = Figure::new("decided / COPY", median(&ratios), "×").goal(Goal::AtLeast(0.5));
        report.add(figure.note(spread(&ratios)));
        let micros = |seconds: f64| seconds * 1e6 / self.claims as f64;
        let of_decided =
            format!("node {:.1} µs, PostgreSQL {:.1} µs", micros(deciding.0), micros(deciding.1));
        let figure = Figure::new("processor, a claim decided", micros(deciding.0 + deciding.1), "µs");
        report.add(figure.note(of_decided));
        let of_copied = format!("client {:.1} µs, PostgreSQL {:.1} µs", micros(copying.0), micros(copying.1));
        let figure = Figure::new("processor, a claim copied", micros(copying.0 + copying.1), "µs");
        report.add(figure.note(of_copied));
        if self.pgbench_seconds > 0 {
            let database = servers.postgres.create_database("bench").await?;
            match pgbench::simple_update(&database, self.pgbench_seconds).await? {
                Some(rate) => {
                    report.add(
                        Figure::new("pgbench, simple update", rate, "tx/s").note("scale 10, 16 clients"),
                    );
                    report.add(Figure::new("decided / pgbench", median(&decided) / rate, "×"));
                }
                None => eprintln!("sequence: pgbench is not installed; left out"),
            }
        }
        report.print(self.show)?;
        ground.prepared.stop().await;
        servers.stop().await;
        Ok(())
    }
}

/// Who used the processor: it tells the same on a busy machine as on an idle one.
struct Spent {
    postgres: u32,
}

/// Processor seconds of this process and of PostgreSQL's.
type Seconds = (f64, f64);

impl Spent {
    fn seconds(&self) -> Seconds {
        let (user, system) = machine::cpu_seconds();
        (user + system, family_seconds(self.postgres))
    }
}

fn add(to: &mut Seconds, before: Seconds, after: Seconds) {
    to.0 += after.0 - before.0;
    to.1 += after.1 - before.1;
}

/// A list of addresses that nobody has the keys of, with amounts all below 1,000 tokens.
pub(crate) fn write_list(count: u64, path: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, "address,amount")?;
    for n in 0..count {
        let address = &keccak256(n.to_be_bytes())[..20];
        writeln!(
            out,
            "{},{}.{:06}",
            alloy_primitives::hex::encode_prefixed(address),
            1 + n % 900,
            n % 1_000_000
        )?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: SequenceArgs,
    }

    #[test]
    fn turns_without_claims_are_refused_before_the_work() {
        for options in [["--claims", "0"], ["--turns", "0"]] {
            let error = Cli::try_parse_from(["sequence"].into_iter().chain(options)).unwrap_err().to_string();
            assert!(error.contains(options[0]), "{error}");
        }
        let few = Cli::try_parse_from(["sequence", "--claims", "3", "--turns", "4"]).unwrap().args;
        assert!(few.run().unwrap_err().to_string().contains("too few for --turns 4"));
    }
}
