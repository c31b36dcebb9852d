//! `sluice-load gated`: what gates cost. Durable decisions a second of claims that a gate judges (by one rule set and one
//! attestation, then by two of each, every attestation signed and looked up) beside the same claims without a gate, in turns
//! on one node; then again beside a node whose log knows thousands of mandates and rule sets.

pub(crate) mod crowd;
pub(crate) mod offices;
pub(crate) mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rayon::prelude::*;
use sluice_core::command::ClaimDemand;

use crate::claims::cluster;
use crate::claims::ground::{Ground, Round, Servers};
use crate::claims::stats::{median, spread};
use crate::claims::wallets::{self, Wallet};
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use turns::Turn;

/// Rule sets in force on the crowded node, unless `--rule-sets` says otherwise.
const RULE_SETS: usize = 1_000;

/// `sluice-load gated`.
#[derive(Debug, Args)]
pub(crate) struct GatedArgs {
    /// Claims in each turn.
    #[arg(long, default_value_t = 4_000, value_parser = options::turn())]
    claims: u32,
    /// Turns of each kind.
    #[arg(long, default_value_t = 7, value_parser = options::turns())]
    turns: u32,
    /// Mandates in force on the crowded node; 0 leaves that node out.
    #[arg(long, default_value_t = 5_000)]
    mandates: usize,
    /// Rule sets in force on the crowded node [default: 1000].
    #[arg(long)]
    rule_sets: Option<usize>,
    /// Start the nodes anew when everything is handed in: then nothing is known of any attestation, each is read from the
    /// database and its registry is asked. Without it, claims come within ten minutes of what they rest on.
    #[arg(long)]
    restarted: bool,
    #[command(flatten)]
    show: Show,
}

/// A node with its claims, turn by turn.
struct Side {
    ground: Arc<Ground>,
    open: Vec<Vec<ClaimDemand>>,
    /// Before the gate that asks for one attestation.
    first: Vec<Vec<ClaimDemand>>,
    /// Before the gate that asks for both.
    both: Vec<Vec<ClaimDemand>>,
}

/// What was measured, a turn each.
#[derive(Default)]
struct Seen {
    off: Vec<Turn>,
    first: Vec<Turn>,
    both: Vec<Turn>,
    crowded: Vec<Turn>,
}

fn rates(turns: &[Turn]) -> Vec<f64> {
    turns.iter().map(|turn| turn.rate).collect()
}

/// How much faster one was than the other, turn by turn.
fn ratios(one: &[Turn], other: &[Turn]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one.rate / other.rate).collect()
}

/// Microseconds of processor time a claim took, and whose: what stays comparable while others use the machine.
fn processor(name: &str, turns: &[Turn]) -> Figure {
    let of = |part: fn(&Turn) -> f64| median(&turns.iter().map(part).collect::<Vec<_>>()) * 1e6;
    let note = format!(
        "node {:.0}, PostgreSQL {:.0}, chain {:.0}",
        of(|turn| turn.used[0]),
        of(|turn| turn.used[1]),
        of(|turn| turn.used[2])
    );
    let all = of(|turn| turn.used.iter().sum());
    Figure::new(format!("processor time a claim, {name}"), all, "µs").note(note)
}

impl GatedArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(
            self.crowd() || self.rule_sets.is_none(),
            "--rule-sets are of the crowded node, which --mandates 0 leaves out"
        );
        // The first turn of each kind warms up and does not count.
        let turns = self.turns + 1;
        let wallets = self.claims * turns;
        let sides = if self.crowd() { 2 } else { 1 };
        let needs = Needs {
            time: Duration::from_secs(u64::from(wallets) * sides / 800 + (self.mandates as u64) / 60 + 30),
            disk: u64::from(wallets) * sides * 8_000 + cluster::DISK,
            memory: u64::from(wallets) * sides * 4_000 + (1 << 29),
        };
        needs.announce("gated", &std::env::temp_dir())?;
        run::to_the_end(self.measure(turns, wallets))
    }

    fn crowd(&self) -> bool {
        self.mandates > 0
    }

    fn rule_sets(&self) -> usize {
        self.rule_sets.unwrap_or(RULE_SETS)
    }

    async fn measure(&self, turns: u32, count: u32) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        eprintln!("gated: setting up the node with few mandates and rule sets");
        let few = self.side(&servers, "few", &wallets, None).await?;
        let crowded = match self.crowd() {
            true => {
                let (mandates, rule_sets) = (self.mandates, self.rule_sets());
                eprintln!("gated: setting up the node with {mandates} mandates and {rule_sets} rule sets");
                Some(self.side(&servers, "many", &wallets, Some((mandates, rule_sets))).await?)
            }
            false => None,
        };
        let seen = measure(servers.pids(), few, crowded, turns).await?;
        self.report(&seen).print(self.show)?;
        servers.stop().await;
        Ok(())
    }

    /// A node with an open round and a gated one of the same list, everybody attested, every claim signed.
    async fn side(
        &self,
        servers: &Servers,
        name: &str,
        wallets: &[Wallet],
        crowd: Option<(usize, usize)>,
    ) -> anyhow::Result<Side> {
        let mut ground = Arc::new(Ground::start(servers, name).await?);
        let [both, first] = offices::set_up(servers, &ground).await?;
        let list = ground.prepared.dir.join("list.csv");
        wallets::write_list(wallets, &list)?;
        let stored = ground.snapshot(&list).await?;
        let open = ground.open_round(1, stored.clone(), None).await?;
        let both = ground.open_round(2, stored.clone(), Some((both.version, both.hash))).await?;
        let first = ground.open_round(3, stored, Some((first.version, first.hash))).await?;
        let start = Instant::now();
        let issuer = offices::issuer()?;
        let texts = wallets.par_iter().map(|wallet| offices::attested(&issuer, wallet.address, 0));
        let texts = texts.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        let count = texts.len();
        offices::hand_in(ground.node.attestations(), texts).await?;
        eprintln!("gated: {count} attestations signed and handed in within {:?}", start.elapsed());
        if let Some((mandates, rule_sets)) = crowd {
            let start = Instant::now();
            crowd::gather(&ground, mandates, rule_sets).await?;
            eprintln!(
                "gated: {mandates} mandates and {rule_sets} rule sets put into force within {:?}",
                start.elapsed()
            );
        }
        if self.restarted {
            let alone = Arc::into_inner(ground).context("something of the set-up still runs")?;
            ground = Arc::new(alone.restarted(name).await?);
        }
        let claims = |round: &Round| -> anyhow::Result<Vec<Vec<ClaimDemand>>> {
            let signed = wallets::signed(wallets, &round.snapshot, round.number, ground.distributor)?;
            Ok(signed.chunks(self.claims as usize).map(<[_]>::to_vec).collect())
        };
        let (open, first, both) = (claims(&open)?, claims(&first)?, claims(&both)?);
        Ok(Side { ground, open, first, both })
    }

    fn report(&self, seen: &Seen) -> Report {
        let mut report = Report::new("gated");
        if self.restarted {
            eprintln!(
                "gated: nodes were started anew: every attestation came from the database, and its registry was asked"
            );
        }
        let off = rates(&seen.off);
        report.add(Figure::new("gates off", median(&off), "decided/s").note(spread(&off)));
        for (asked, on) in [("1 rule set, 1 attestation", &seen.first), ("2 and 2", &seen.both)] {
            let (rates, ratios) = (rates(on), ratios(on, &seen.off));
            let figure = Figure::new(format!("gates on, {asked}"), median(&rates), "decided/s");
            report.add(figure.note(spread(&rates)));
            let ratio = Figure::new(format!("on / off, {asked}"), median(&ratios), "×");
            report.add(ratio.goal(Goal::AtLeast(0.6)).note(spread(&ratios)));
        }
        if !seen.crowded.is_empty() {
            let (rates, ratios) = (rates(&seen.crowded), ratios(&seen.crowded, &seen.both));
            let name = format!("2 and 2 beside {} mandates, {} rule sets", self.mandates, self.rule_sets());
            report.add(Figure::new(name, median(&rates), "decided/s").note(spread(&rates)));
            let ratio = Figure::new("many / few", median(&ratios), "×").goal(Goal::AtLeast(0.9));
            report.add(ratio.note(spread(&ratios)));
        }
        report.add(processor("gates off", &seen.off));
        report.add(processor("1 rule set, 1 attestation", &seen.first));
        report.add(processor("2 and 2", &seen.both));
        report
    }
}

/// Turn by turn: off, on, on with both, both in the crowd, so that whatever else the machine does falls on all of them.
async fn measure(servers: [u32; 2], few: Side, crowded: Option<Side>, turns: u32) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut off = few.open.into_iter();
    let (mut first, mut both) = (few.first.into_iter(), few.both.into_iter());
    let (crowd, many) = crowded.map_or((None, Vec::new()), |side| (Some(side.ground), side.both));
    let mut many = many.into_iter();
    for turn in 0..turns {
        let next = |claims: Option<Vec<ClaimDemand>>| claims.unwrap_or_default();
        let decide = async |ground: &Ground, claims| {
            Turn::take(&ground.node, ground.campaign, next(claims), servers).await
        };
        let a = decide(&few.ground, off.next()).await?;
        let b = decide(&few.ground, first.next()).await?;
        let c = decide(&few.ground, both.next()).await?;
        let d = match &crowd {
            Some(ground) => Some(decide(ground, many.next()).await?),
            None => None,
        };
        let crowded = d.map_or(String::new(), |d| format!(", in the crowd {:.0}/s", d.rate));
        eprintln!(
            "gated: turn {turn}: off {:.0}/s, one {:.0}/s, both {:.0}/s{crowded}",
            a.rate, b.rate, c.rate
        );
        if turn > 0 {
            seen.off.push(a);
            seen.first.push(b);
            seen.both.push(c);
            seen.crowded.extend(d);
        }
    }
    for ground in std::iter::once(few.ground).chain(crowd) {
        if let Ok(ground) = Arc::try_unwrap(ground) {
            ground.stop().await;
        }
    }
    Ok(seen)
}
