//! `sluice-load start`: how long a node takes to have State when the log is long, from the log alone and from a state dump,
//! each with a server that has nothing in memory; then, with warm files, beside what only reading the same rows takes.
//! Everything in one run, by turns, on one cluster.

mod cold;
mod fill;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use futures::TryStreamExt;
use sluice_core::ids::{Seq, StreamId};
use sluice_core::limits::DUMP_EVERY;
use sluice_core::log::note::{LogKey, Origin};
use sluice_engine::follower::Follower;
use sluice_server::dev;
use sluice_store::{Options, Store};
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

use crate::claims::cluster;
use crate::claims::figures::add_sync;
use crate::claims::ground::{Ground, Servers};
use crate::claims::processor::{family_seconds, sync_time};
use crate::claims::run;
use crate::claims::stats::{median, spread};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show, number};
use crate::sequence::write_list;

/// Bytes of an entry's row with its indexes, and of the write-ahead log on the way there, which the server keeps for a while.
const DISK_EACH: u64 = 1_200;
/// The stream of every deployment here.
const STREAM: StreamId = StreamId(0);

/// `sluice-load start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Decided claims in the log; ten million for the whole.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    entries: u64,
    /// Turns: a start from the log and one from a dump, cold; then the rows read, and both starts again.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    #[command(flatten)]
    show: Show,
}

/// What one start took.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    clock: f64,
    ours: f64,
    server: f64,
}

/// All turns of one kind.
#[derive(Debug, Default)]
struct Turns(Vec<Took>);

impl Turns {
    fn clock(&self) -> Vec<f64> {
        self.0.iter().map(|took| took.clock).collect()
    }

    fn seconds(&self) -> f64 {
        median(&self.clock())
    }

    /// The spread, and who used the processor.
    fn note(&self) -> String {
        let of = |part: fn(&Took) -> f64| number(median(&self.0.iter().map(part).collect::<Vec<_>>()));
        format!(
            "{}; processor: {} s here, {} s in the server",
            spread(&self.clock()),
            of(|took| took.ours),
            of(|took| took.server)
        )
    }
}

impl StartArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let needs = Needs {
            time: Duration::from_secs(
                60 + self.entries / 60_000 + u64::from(self.turns) * (20 + self.entries / 90_000),
            ),
            disk: self.entries * DISK_EACH + cluster::DISK,
            memory: 1 << 30,
        };
        needs.announce("start", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let mut report = Report::new("start");
        add_sync(&mut report, sync_time(servers.folder())?);
        let ground = Ground::start(&servers, "start").await?;
        let list = ground.prepared.dir.join("list.csv");
        write_list(self.entries, &list)?;
        let round = ground.open_round(1, ground.snapshot(&list).await?, None).await?;
        std::fs::remove_file(&list)?;
        ground.node.stop().await;

        let mut start = Start::new(&ground, servers).await?;
        let begun = Instant::now();
        let filled = fill::fill(&start, &ground, &round, self.entries).await?;
        let rate = self.entries as f64 / begun.elapsed().as_secs_f64();
        let figure = Figure::new("log filled", rate, "entries/s");
        report.add(figure.note(format!(
            "{} entries, {:.2} GB in the table; decided and encoded as a leader does, stored by COPY without intake rows",
            self.entries,
            filled.bytes as f64 / 1e9
        )));
        start = start.measure(self, filled.head, &mut report).await?;
        report.print(self.show)?;
        start.store.close().await;
        ground.prepared.stop().await;
        start.servers.stop().await;
        Ok(())
    }
}

/// A log whose node has stopped.
struct Start {
    servers: Servers,
    store: Store,
    url: String,
    origin: Origin,
}

/// What all turns took.
#[derive(Default)]
struct All {
    /// From the log and from the dump, with a server that has nothing in memory.
    cold: [Turns; 2],
    /// The same with warm files.
    warm: [Turns; 2],
    /// By `SELECT` and by `COPY`, likewise.
    read: [Turns; 2],
}

impl Start {
    async fn new(ground: &Ground, servers: Servers) -> anyhow::Result<Self> {
        let url = ground.prepared.database_url.clone();
        let store = Store::connect(&url, Options::default()).await?;
        Ok(Self { servers, store, url, origin: Origin::new(ground.prepared.home(), STREAM) })
    }

    /// The same with a server that has nothing in memory.
    async fn cooled(self) -> anyhow::Result<Self> {
        let Self { mut servers, store, url, origin } = self;
        store.close().await;
        let dir = servers.folder().join("postgres");
        servers.postgres = cold::restarted(servers.postgres, &dir).await?;
        let store = Store::connect(&url, Options::default()).await?;
        Ok(Self { servers, store, url, origin })
    }

    fn log_key(&self) -> LogKey {
        LogKey::new(&self.origin, &dev::log_secret())
    }

    async fn measure(mut self, args: &StartArgs, head: Seq, report: &mut Report) -> anyhow::Result<Self> {
        let (dumped, took, bytes) = self.dump(head).await?;
        let behind = head - dumped;
        let figure = Figure::new("state dump stored", took, "s");
        report.add(figure.note(format!("{:.1} MB; {behind} entries before the end", bytes as f64 / 1e6)));
        let mut all = All::default();
        for turn in 0..args.turns as usize {
            self = self.turn(&mut all, head).await?;
            let last = |turns: &Turns| turns.0[turn].clock;
            eprintln!(
                "start: turn {turn}: cold from the log {:.1} s, from the dump {:.2} s; warm {:.1} s, {:.2} s; rows read \
                 {:.1} s, copied {:.1} s",
                last(&all.cold[0]),
                last(&all.cold[1]),
                last(&all.warm[0]),
                last(&all.warm[1]),
                last(&all.read[0]),
                last(&all.read[1])
            );
        }
        all.report(args.entries, report);
        Ok(self)
    }

    async fn turn(mut self, all: &mut All, head: Seq) -> anyhow::Result<Self> {
        let mut starts = Vec::new();
        self = self.cooled().await?;
        starts.push(self.timed(&mut all.cold[0], self.by_the_log()).await?);
        self = self.cooled().await?;
        starts.push(self.timed(&mut all.cold[1], self.by_a_dump()).await?);
        // The first of these reads what is left on the disk.
        self.copy(head).await?;
        self.timed(&mut all.read[0], self.select(head)).await?;
        self.timed(&mut all.read[1], self.copy(head)).await?;
        starts.push(self.timed(&mut all.warm[0], self.by_the_log()).await?);
        starts.push(self.timed(&mut all.warm[1], self.by_a_dump()).await?);
        for other in &starts[1..] {
            ensure!(
                other.seq() == head && other.state_hash() == starts[0].state_hash(),
                "two starts do not end in the same State"
            );
            ensure!(other.tree() == starts[0].tree(), "two starts do not end in the same tree");
        }
        Ok(self)
    }

    /// Follows the whole log and stores a dump where the next one would be due at the end: as far back as one ever is.
    async fn dump(&self, head: Seq) -> anyhow::Result<(Seq, f64, u64)> {
        let follower = Follower::new(STREAM, self.log_key());
        let from = head - DUMP_EVERY.min(head / 2);
        let (frozen, followed) = tokio::join!(biased; follower.frozen(from), follower.to_head(&self.store));
        followed?;
        let begun = Instant::now();
        follower.write_dump(&self.store, frozen?).await?;
        let took = begun.elapsed().as_secs_f64();
        let mut raw = PgConnection::connect(&self.url).await?;
        let bytes: i64 =
            sqlx::query_scalar("SELECT sum(octet_length(bytes)) FROM state_page").fetch_one(&mut raw).await?;
        let dumps = self.store.dumps(STREAM).await?;
        let dump = dumps.first().context("the dump is stored")?;
        Ok((dump.seq, took, bytes.unsigned_abs()))
    }

    async fn timed<T>(
        &self,
        turns: &mut Turns,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let used = || (own_seconds(), family_seconds(self.servers.postgres.pid()));
        let ((ours, server), begun) = (used(), Instant::now());
        let done = work.await?;
        let clock = begun.elapsed().as_secs_f64();
        let now = used();
        turns.0.push(Took { clock, ours: now.0 - ours, server: now.1 - server });
        Ok(done)
    }

    async fn by_the_log(&self) -> anyhow::Result<Follower> {
        let follower = Follower::new(STREAM, self.log_key());
        follower.to_head(&self.store).await?;
        Ok(follower)
    }

    async fn by_a_dump(&self) -> anyhow::Result<Follower> {
        Ok(Follower::start(STREAM, self.log_key(), &[], &self.store).await?)
    }

    /// Reads the columns that a follower needs, in order, and looks at nothing.
    async fn select(&self, head: Seq) -> anyhow::Result<()> {
        let mut raw = PgConnection::connect(&self.url).await?;
        let mut rows = sqlx::query("SELECT seq, epoch, entry, leaf FROM log WHERE stream = 0 ORDER BY seq")
            .fetch(&mut raw);
        let mut count = 0;
        while rows.try_next().await?.is_some() {
            count += 1;
        }
        ensure!(count == head, "{count} rows were read of {head}");
        Ok(())
    }

    /// The same by `COPY`, as a start reads them.
    async fn copy(&self, head: Seq) -> anyhow::Result<()> {
        let (into, mut parts) = mpsc::channel(2);
        let store = self.store.clone();
        let reading = tokio::spawn(async move { store.pour_log(STREAM, 0, &into).await });
        let mut count = 0;
        while let Some(part) = parts.recv().await {
            count += part.len() as u64;
        }
        reading.await??;
        ensure!(count == head, "{count} rows were copied of {head}");
        Ok(())
    }
}

impl All {
    fn report(&self, entries: u64, report: &mut Report) {
        let Self { cold, warm, read } = self;
        let cold_note =
            |turns: &Turns| format!("the server started anew, its files not in memory; {}", turns.note());
        let add = |report: &mut Report, name: &str, turns: &Turns, goal: Goal| {
            report.add(Figure::new(name, turns.seconds(), "s").goal(goal).note(cold_note(turns)));
        };
        let whole = Goal::AtMost(20.0 * entries as f64 / 10_000_000.0);
        add(report, "start from the log", &cold[0], whole);
        report.add(Figure::new("the same", entries as f64 / cold[0].seconds(), "entries/s"));
        add(report, "start from the dump", &cold[1], Goal::AtMost(2.0));
        for (name, turns) in [
            ("start from the log, files in memory", &warm[0]),
            ("start from the dump, files in memory", &warm[1]),
            ("SELECT of all rows", &read[0]),
            ("COPY of all rows, thrown away", &read[1]),
        ] {
            report.add(Figure::new(name, turns.seconds(), "s").note(turns.note()));
        }
        for (name, beside) in [("from the log / SELECT", &read[0]), ("from the log / COPY", &read[1])] {
            let both = warm[0].0.iter().zip(&beside.0);
            let ratios: Vec<f64> = both.map(|(log, other)| log.clock / other.clock).collect();
            report.add(
                Figure::new(name, median(&ratios), "×").note(format!("files in memory; {}", spread(&ratios))),
            );
        }
    }
}

/// Processor seconds of this process so far.
fn own_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
