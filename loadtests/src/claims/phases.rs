//! The claims' measurement at the embedded node: pressed, then at a full rate in an open loop, then at 70 % of what was
//! decided of that. What was decided is told by the log and its own clock: a backlog shows, and what is worked off
//! afterwards counts for nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use sluice_core::ids::{Millis, Seq};

use super::embedded::{Serving, field};
use super::figures::{self, Counts, Goals, InTime, Used};
use super::ground::{Servers, eventually};
use super::offer::{Offer, Pace, Prepared, Record, prepare};
use super::processor::{family_seconds, sync_time};
use super::reconcile::{Comparison, LogSide};
use super::stretch::Stretch;
use super::{ABOVE, CALM, ClaimsArgs, PRESS_FOR, paid, stats, wallets};
use crate::machine;
use crate::report::{Figure, Report};

/// Connections that press: enough for full groups, few enough that the queue stays short.
const PRESSING: u32 = 512;
/// Of the claims accepted in a phase, the part that must be decided in it.
const OF_ACCEPTED: f64 = 0.99;

/// What is offered in a phase.
struct Plan {
    name: &'static str,
    rate: f64,
    seconds: u64,
    goals: Goals,
    note: String,
}

/// A phase that has been.
struct Phase {
    plan: Plan,
    record: Record,
    used: Used,
    stretch: Stretch,
}

/// A run, as far as it has come.
struct Run<'a> {
    args: &'a ClaimsArgs,
    serving: Serving,
    postgres: u32,
    left: Vec<Prepared>,
    pressed: Option<Record>,
    phases: Vec<Phase>,
    /// The log up to a position.
    log: LogSide,
    read: Seq,
}

/// Measures and prints.
pub(super) async fn measure(args: &ClaimsArgs) -> anyhow::Result<()> {
    let mut report = Report::new("claims");
    let servers = Servers::start().await?;
    figures::add_sync(&mut report, sync_time(servers.folder())?);
    let count = args.wallets();
    let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
    let (serving, claims) = field(&servers, &wallets, args.gated_every()).await?;
    eprintln!("claims: {} signed; the node listens at {}", claims.len(), serving.target.url());
    let mut run = Run {
        args,
        serving,
        postgres: servers.postgres.pid(),
        left: prepare(claims),
        pressed: None,
        phases: Vec::new(),
        log: LogSide::default(),
        read: 0,
    };
    let ran = run.phases().await;
    // Whatever went wrong, what is known is told.
    let compared = run.compare().await;
    run.add(&mut report)?;
    if let Ok(comparison) = &compared {
        figures::add_comparison(&mut report, comparison);
    }
    let on_chain = match args.settle && ran.is_ok() {
        true => Some(paid::compare(&servers, &run.serving.ground, args.gated_every() > 0).await),
        false => None,
    };
    if let Some(Ok(on_chain)) = &on_chain {
        on_chain.add(&mut report);
    }
    report.print(args.show)?;
    let empty = run.phases.iter().find(|phase| Counts::of(&phase.record).accepted() == 0);
    let empty = empty.map(|phase| phase.plan.name);
    run.serving.stop().await;
    servers.stop().await;
    ran?;
    let comparison = compared?;
    ensure!(comparison.agrees(), "the client's record and the log differ: {comparison:?}");
    if let Some(on_chain) = on_chain.transpose()? {
        ensure!(on_chain.differences == 0, "log and chain differ: {on_chain:?}");
    }
    ensure!(empty.is_none(), "no claim was accepted in the phase {empty:?}: nothing was measured");
    Ok(())
}

impl Run<'_> {
    async fn phases(&mut self) -> anyhow::Result<()> {
        let (rate, note) = match self.args.rate {
            Some(rate) => (rate, String::new()),
            None => {
                let took = self.press().await?;
                (took * ABOVE, format!("{ABOVE} × the {took:.0}/s taken when {PRESSING} connections pressed"))
            }
        };
        let goals = Goals {
            decided: Some(10_000.0),
            of_accepted: Some(OF_ACCEPTED),
            // More than the node took is more than it bears, and connections run out.
            all_sent: self.args.rate.is_some(),
            ..Goals::default()
        };
        let decided =
            self.phase(Plan { name: "full", rate, seconds: self.args.seconds, goals, note }).await?;
        ensure!(decided > 0.0, "nothing was decided at the full rate, so there is no 70 % of it");
        let goals =
            Goals { of_accepted: Some(OF_ACCEPTED), p99: Some(250.0), all_sent: true, ..Goals::default() };
        let (rate, seconds) = (decided * CALM, self.args.calm_seconds());
        let note = format!("{CALM} × the {decided:.0}/s decided");
        self.phase(Plan { name: "at 70 %", rate, seconds, goals, note }).await.map(drop)
    }

    /// Finds out what the node takes a second, and whether there are wallets for the rest of the run.
    async fn press(&mut self) -> anyhow::Result<f64> {
        let before = self.left.len() as u64;
        let (record, ..) = self.offer(Pace::AsTaken, PRESSING, PRESS_FOR).await?;
        let took = Counts::of(&record).accepted() as f64 / record.took.as_secs_f64();
        eprintln!("claims: pressed by {PRESSING} connections the node took {took:.0} a second");
        self.pressed = Some(record);
        ensure!(took > 0.0, "the node took no claim when pressed");
        self.settled().await?;
        let (left, rest) = (self.left.len() as u64, self.args.stretches(took * ABOVE));
        // Pressing may have ended because wallets did.
        let pressed = (before - left).max(stats::whole((took * PRESS_FOR.as_secs_f64()).ceil()));
        ensure!(
            left >= rest,
            "{before} wallets are too few: this node takes {took:.0} claims a second, and at that rate --wallets is above {}",
            pressed + rest
        );
        Ok(took)
    }

    /// Offers claims in an open loop, then waits until nobody waits; says how many a second were decided meanwhile.
    async fn phase(&mut self, plan: Plan) -> anyhow::Result<f64> {
        let needed = stats::whole((plan.rate * plan.seconds as f64).ceil());
        let left = self.left.len();
        ensure!(left as u64 >= needed, "{left} wallets are left for {needed} claims: raise --wallets");
        let (pace, at_most) = (Pace::PerSecond(plan.rate), Duration::from_secs(plan.seconds));
        let (record, used, stretch) = self.offer(pace, self.args.connections, at_most).await?;
        self.phases.push(Phase { plan, record, used, stretch });
        self.settled().await?;
        Ok(self.phases.last().map_or(0.0, |phase| self.decided(phase) as f64 / phase.stretch.seconds()))
    }

    /// Makes an offer; says who used the processor meanwhile, and from when to when it was by the database's clock.
    async fn offer(
        &mut self,
        pace: Pace,
        connections: u32,
        at_most: Duration,
    ) -> anyhow::Result<(Record, Used, Stretch)> {
        let offer = Offer {
            target: self.serving.target.clone(),
            campaign: self.serving.ground.campaign,
            pace,
            connections: connections.min(self.args.connections) as usize,
            at_most,
            stop: Arc::new(AtomicBool::new(false)),
        };
        let used = || {
            let (user, system) = machine::cpu_seconds();
            (user + system, family_seconds(self.postgres))
        };
        let before = used();
        let (record, left) = offer.make(std::mem::take(&mut self.left)).await?;
        let (to, after) = (self.now().await?, used());
        self.left = left;
        let used = Used { node: after.0 - before.0 - record.generator, postgres: after.1 - before.1 };
        // Connections were opened before it began.
        let stretch = Stretch::ending(to, record.took);
        Ok((record, used, stretch))
    }

    /// The database's clock.
    async fn now(&self) -> anyhow::Result<Millis> {
        let store = self.serving.ground.node.store();
        eventually("the database tells its time", || async { Ok(Some(store.database_now().await?)) }).await
    }

    /// Waits until nobody waits, and reads what the log has.
    async fn settled(&mut self) -> anyhow::Result<()> {
        let follower = self.serving.ground.node.follower();
        eventually("every accepted claim is decided", || async {
            Ok((follower.room().is_empty()).then_some(()))
        })
        .await?;
        self.read_on().await
    }

    async fn read_on(&mut self) -> anyhow::Result<()> {
        let log = &mut self.log;
        self.read = self.serving.ground.read_log_behind(self.read, |entry| log.take(&entry)).await?;
        Ok(())
    }

    /// How many of a phase's claims the log decided while it lasted.
    fn decided(&self, phase: &Phase) -> u64 {
        self.log.decided_in(&phase.record.seen, phase.stretch)
    }

    /// Compares everything that was sent with what the log has by now.
    async fn compare(&mut self) -> anyhow::Result<Comparison> {
        self.read_on().await?;
        let phases = self.phases.iter().map(|phase| &phase.record);
        Ok(self.log.compare(self.pressed.iter().chain(phases).flat_map(|record| &record.seen)))
    }

    fn add(&self, report: &mut Report) -> anyhow::Result<()> {
        if let Some(record) = &self.pressed {
            let accepted = Counts::of(record).accepted();
            let figure = Figure::new("pressed: accepted", accepted as f64 / record.took.as_secs_f64(), "/s");
            report.add(
                figure
                    .note(format!("{PRESSING} connections, each the next as soon as the last was answered")),
            );
        }
        for phase in &self.phases {
            let Phase { plan, record, used, stretch } = phase;
            let in_time = InTime {
                decided: self.decided(phase),
                seconds: stretch.seconds(),
                by: "while it lasted, by the log and its clock",
            };
            let phase = figures::Phase {
                name: plan.name,
                record,
                in_time,
                goals: plan.goals,
                used: Some(*used),
                note: &plan.note,
            };
            figures::add(report, &phase)?;
        }
        Ok(())
    }
}
