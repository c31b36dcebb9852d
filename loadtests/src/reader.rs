//! `sluice-load reader`: whether long readers slow the leader. Claims are decided at full speed in short probes, alone and
//! by turns beside a transaction that reads the whole log from one snapshot and takes its time, beside a follower that
//! replays the log, and while partitions are added to it.
//!
//! A long reader's harm is not its reading: as long as its snapshot is open nothing that was changed since may be vacuumed, so
//! a row changed at every append would be looked for among more and more dead ones. That shows late, so the reader stays.

mod long;

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use sluice_core::ids::StreamId;
use sluice_core::log::note::{LogKey, Origin};
use sluice_engine::follower::Follower;
use sluice_server::dev;
use sluice_store::{Options, Store};
use sqlx::{Connection, PgConnection};

use crate::claims::cluster;
use crate::claims::ground::{Ground, Servers};
use crate::claims::run;
use crate::claims::stats::{median, spread, whole};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use crate::sequence::path::GroupCommit;
use crate::sequence::write_list;
use long::LongReader;

/// The stream of every deployment here.
const STREAM: StreamId = StreamId(0);
/// Claims decided together while no probe runs.
const TRICKLE: u64 = 64;
/// How often.
const TRICKLE_EVERY: Duration = Duration::from_millis(250);
/// Bytes of a claim's rows with their indexes, and of the write-ahead log on the way there.
const DISK_EACH: u64 = 3_000;
/// Rows of one partition (`ensure_log_partitions`).
const PARTITION: i64 = 10_000_000;
/// A reader may cost a twentieth.
const GOAL: Goal = Goal::AtLeast(0.95);

/// `sluice-load reader`.
#[derive(Debug, Args)]
pub(crate) struct ReaderArgs {
    /// How long a reader's transaction stays open, seconds; 600 for the whole.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Turns: probes alone, beside a reader, alone again, beside a follower, while partitions are added.
    #[arg(long, default_value_t = 3)]
    turns: u64,
    /// Probes of each kind in a turn.
    #[arg(long, default_value_t = 4)]
    probes: u64,
    /// Claims in a probe.
    #[arg(long, default_value_t = 20_000)]
    claims: u64,
    #[command(flatten)]
    show: Show,
}

/// Rates of probes.
#[derive(Debug, Default)]
struct Rates {
    alone: Vec<f64>,
    reader: Vec<f64>,
    /// Of these, the last third of each reader.
    late: Vec<f64>,
    follower: Vec<f64>,
    partitions: Vec<f64>,
}

impl Rates {
    /// The last turn's, in words.
    fn latest(&self, probes: usize) -> String {
        let last = |rates: &[f64], count: usize| median(&rates[rates.len() - count..]);
        format!(
            "alone {:.0}/s, beside a reader {:.0}/s, beside a follower {:.0}/s, while partitions are added {:.0}/s",
            last(&self.alone, 2 * probes),
            last(&self.reader, probes),
            last(&self.follower, probes),
            last(&self.partitions, probes)
        )
    }
}

/// A leader with the claims that are left to decide.
struct Leading {
    path: GroupCommit,
    left: Range<u64>,
    database: String,
    origin: Origin,
}

impl ReaderArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(
            self.seconds > 0 && self.turns > 0 && self.probes > 0 && self.claims >= 1_000,
            "at least one second, one turn, one probe and a thousand claims"
        );
        let needs = Needs {
            time: Duration::from_secs(60 + self.turns * self.seconds + self.total() / 8_000),
            disk: self.total() * DISK_EACH + cluster::DISK,
            memory: (1 << 29) + self.claims * 2_000,
        };
        needs.announce("reader", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    /// Claims in all.
    fn total(&self) -> u64 {
        let trickles = whole(self.seconds as f64 / TRICKLE_EVERY.as_secs_f64()) + self.probes;
        // One probe warms up.
        self.claims + self.turns * (5 * self.probes * self.claims + trickles * TRICKLE)
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let ground = Ground::start(&servers, "reader").await?;
        let list = ground.prepared.dir.join("list.csv");
        write_list(self.total(), &list)?;
        let round = ground.open_round(1, ground.snapshot(&list).await?, None).await?;
        std::fs::remove_file(&list)?;
        ground.node.stop().await;
        let mut leading = Leading {
            path: GroupCommit::lead(&ground, &round).await?,
            left: 0..self.total(),
            database: ground.prepared.database_url.clone(),
            origin: Origin::new(ground.prepared.home(), STREAM),
        };
        let mut rates = Rates::default();
        leading.probe(self.claims).await?;
        for turn in 0..self.turns {
            self.turn(&mut leading, &mut rates).await?;
            eprintln!("reader: turn {turn}: {}", rates.latest(usize::try_from(self.probes)?));
        }
        leading.path.stop().await?;
        self.report(&rates).print(self.show)?;
        ground.prepared.stop().await;
        servers.stop().await;
        Ok(())
    }

    async fn turn(&self, leading: &mut Leading, rates: &mut Rates) -> anyhow::Result<()> {
        for _ in 0..self.probes {
            rates.alone.push(leading.probe(self.claims).await?);
        }
        let begun = Instant::now();
        let reader = LongReader::open(&leading.database, Duration::from_secs(self.seconds)).await?;
        for probe in 1..=self.probes {
            // The last one when the reader is oldest.
            let due = Duration::from_secs(self.seconds).mul_f64(probe as f64 / self.probes as f64);
            leading.trickle_until(begun + due).await?;
            rates.reader.push(leading.probe(self.claims).await?);
        }
        let late = rates.reader.len() - usize::try_from(self.probes.div_ceil(3))?;
        rates.late.extend(&rates.reader[late..]);
        reader.close().await?;
        // On both sides of what they are compared with, for a machine that warms up or has other work.
        for _ in 0..self.probes {
            rates.alone.push(leading.probe(self.claims).await?);
        }
        for _ in 0..self.probes {
            rates.follower.push(leading.probe_beside_follower(self.claims).await?);
        }
        for _ in 0..self.probes {
            rates.partitions.push(leading.probe_beside_partitions(self.claims).await?);
        }
        Ok(())
    }

    fn report(&self, rates: &Rates) -> Report {
        let mut report = Report::new("reader");
        let alone = median(&rates.alone);
        report.add(Figure::new("alone", alone, "claims/s").note(spread(&rates.alone)));
        let beside = format!("beside a transaction of {} s that reads the whole log", self.seconds);
        for (name, rates, goal) in [
            (beside.as_str(), &rates.reader, Some(GOAL)),
            ("  the last third of these, when it is oldest", &rates.late, Some(GOAL)),
            ("beside a follower that replays the log", &rates.follower, None),
            ("while partitions are added to the log", &rates.partitions, Some(GOAL)),
        ] {
            let figure = Figure::new(name, median(rates) / alone, "×");
            let figure = figure.note(format!("{:.0} claims/s; {}", median(rates), spread(rates)));
            report.add(match goal {
                Some(goal) => figure.goal(goal),
                None => figure,
            });
        }
        report
    }
}

impl Leading {
    fn next(&mut self, count: u64) -> Range<u64> {
        let first = self.left.start;
        self.left.start = self.left.end.min(first + count);
        first..self.left.start
    }

    /// Claims decided a second, at full speed.
    async fn probe(&mut self, count: u64) -> anyhow::Result<f64> {
        let share = self.next(count);
        let done = self.path.decide(share).await?;
        Ok(count as f64 / done.took.as_secs_f64())
    }

    /// A few claims now and then, until it is time.
    async fn trickle_until(&mut self, due: Instant) -> anyhow::Result<()> {
        while Instant::now() < due {
            let share = self.next(TRICKLE);
            self.path.decide(share).await?;
            tokio::time::sleep(TRICKLE_EVERY.min(due.saturating_duration_since(Instant::now()))).await;
        }
        Ok(())
    }

    /// Beside a node that starts from the first entry.
    async fn probe_beside_follower(&mut self, count: u64) -> anyhow::Result<f64> {
        let store = Store::connect(&self.database, Options::default()).await?;
        let follower = Follower::new(STREAM, LogKey::new(&self.origin, &dev::log_secret()));
        let following = {
            let (follower, store) = (follower.clone(), store.clone());
            tokio::spawn(async move { follower.to_head(&store).await })
        };
        let rate = self.probe(count).await?;
        following.await??;
        ensure!(follower.seq() > 0, "the follower has followed");
        store.close().await;
        Ok(rate)
    }

    /// While a partition is added, and another.
    async fn probe_beside_partitions(&mut self, count: u64) -> anyhow::Result<f64> {
        let mut raw = PgConnection::connect(&self.database).await?;
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let adding = tokio::spawn(async move {
            let mut added = 0;
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                let newest: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'log'::regclass")
                        .fetch_one(&mut raw)
                        .await?;
                added += sqlx::query_scalar::<_, i32>("SELECT ensure_log_partitions($1)")
                    .bind(newest * PARTITION)
                    .fetch_one(&mut raw)
                    .await?;
                tokio::time::sleep(TRICKLE_EVERY).await;
            }
            raw.close().await?;
            anyhow::Ok(added)
        });
        let rate = self.probe(count).await?;
        // It may have failed, which is told below.
        let _ = stop.send(());
        ensure!(adding.await?? > 0, "no partition was added");
        Ok(rate)
    }
}
