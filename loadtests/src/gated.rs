//! `sluice-load gated`: what gates cost. Durable decisions a second of claims that a gate judges (two rule sets, two
//! attestations each, both signed and looked up) beside the same claims without one, in turns on one node; then both again
//! beside a node whose log knows thousands of mandates and rule sets.

pub(crate) mod crowd;
pub(crate) mod offices;
pub(crate) mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rayon::prelude::*;
use sluice_core::command::ClaimDemand;

use crate::claims::ground::{Ground, Round, Servers};
use crate::claims::run;
use crate::claims::stats::{median, spread};
use crate::claims::wallets::{self, Wallet};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};

/// `sluice-load gated`.
#[derive(Debug, Args)]
pub(crate) struct GatedArgs {
    /// Claims in each turn.
    #[arg(long, default_value_t = 4_000)]
    claims: u32,
    /// Turns of each kind.
    #[arg(long, default_value_t = 7)]
    turns: u32,
    /// Mandates in force on the crowded node; 0 leaves that node out.
    #[arg(long, default_value_t = 5_000)]
    mandates: usize,
    /// Rule sets in force on the crowded node.
    #[arg(long, default_value_t = 1_000)]
    rule_sets: usize,
    #[command(flatten)]
    show: Show,
}

/// A node with its claims, turn by turn.
struct Side {
    ground: Arc<Ground>,
    open: Vec<Vec<ClaimDemand>>,
    gated: Vec<Vec<ClaimDemand>>,
}

/// What was measured, a figure per turn.
#[derive(Default)]
struct Seen {
    off: Vec<f64>,
    on: Vec<f64>,
    crowded: Vec<f64>,
}

impl GatedArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // The first turn of each kind warms up and does not count.
        let turns = self.turns + 1;
        let wallets = self.claims * turns;
        let sides = if self.crowd() { 2 } else { 1 };
        let needs = Needs {
            time: Duration::from_secs(u64::from(wallets) * sides / 800 + (self.mandates as u64) / 60 + 30),
            disk: u64::from(wallets) * sides * 8_000 + (1 << 30),
            memory: u64::from(wallets) * sides * 4_000 + (1 << 29),
        };
        needs.announce("gated", &PathBuf::from("/tmp"))?;
        run::to_the_end(self.measure(turns, wallets))
    }

    fn crowd(&self) -> bool {
        self.mandates > 0
    }

    async fn measure(&self, turns: u32, count: u32) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        eprintln!("gated: setting up the node with few mandates and rule sets");
        let few = self.side(&servers, "few", &wallets, None).await?;
        let crowded = match self.crowd() {
            true => {
                let (mandates, rule_sets) = (self.mandates, self.rule_sets);
                eprintln!("gated: setting up the node with {mandates} mandates and {rule_sets} rule sets");
                Some(self.side(&servers, "many", &wallets, Some((mandates, rule_sets))).await?)
            }
            false => None,
        };
        let seen = measure(few, crowded, turns).await?;
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
        let ground = Arc::new(Ground::start(servers, name).await?);
        let gate = offices::set_up(servers, &ground).await?;
        let list = ground.prepared.dir.join("list.csv");
        wallets::write_list(wallets, &list)?;
        let stored = ground.snapshot(&list).await?;
        let open = ground.open_round(1, stored.clone(), None).await?;
        let gated = ground.open_round(2, stored, Some((gate.version, gate.hash))).await?;
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
        let claims = |round: &Round| -> anyhow::Result<Vec<Vec<ClaimDemand>>> {
            let signed = wallets::signed(wallets, &round.snapshot, round.number, ground.distributor)?;
            Ok(signed.chunks(self.claims as usize).map(<[_]>::to_vec).collect())
        };
        let (open, gated) = (claims(&open)?, claims(&gated)?);
        Ok(Side { ground, open, gated })
    }

    fn report(&self, seen: &Seen) -> Report {
        let mut report = Report::new("gated");
        let ratios: Vec<f64> = seen.on.iter().zip(&seen.off).map(|(on, off)| on / off).collect();
        report.add(Figure::new("gates off", median(&seen.off), "decided/s").note(spread(&seen.off)));
        report.add(Figure::new("gates on", median(&seen.on), "decided/s").note(spread(&seen.on)));
        report.add(
            Figure::new("on / off", median(&ratios), "×").goal(Goal::AtLeast(0.6)).note(spread(&ratios)),
        );
        if !seen.crowded.is_empty() {
            let ratios: Vec<f64> = seen.crowded.iter().zip(&seen.on).map(|(many, few)| many / few).collect();
            let name = format!("gates on, {} mandates, {} rule sets", self.mandates, self.rule_sets);
            report.add(Figure::new(name, median(&seen.crowded), "decided/s").note(spread(&seen.crowded)));
            let ratio = Figure::new("many / few", median(&ratios), "×").goal(Goal::AtLeast(0.9));
            report.add(ratio.note(spread(&ratios)));
        }
        report
    }
}

/// Turn by turn: off, on, on in the crowd, so that whatever else the machine does falls on all of them.
async fn measure(few: Side, crowded: Option<Side>, turns: u32) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut off = few.open.into_iter();
    let mut on = few.gated.into_iter();
    let (crowd, many) = crowded.map_or((None, Vec::new()), |side| (Some(side.ground), side.gated));
    let mut many = many.into_iter();
    for turn in 0..turns {
        let ground = &few.ground;
        let next = |claims: Option<Vec<ClaimDemand>>| claims.unwrap_or_default();
        let a = turns::decide_all(&ground.node, ground.campaign, next(off.next())).await?;
        let b = turns::decide_all(&ground.node, ground.campaign, next(on.next())).await?;
        let c = match &crowd {
            Some(ground) => Some(turns::decide_all(&ground.node, ground.campaign, next(many.next())).await?),
            None => None,
        };
        eprintln!("gated: turn {turn}: off {a:.0}/s, on {b:.0}/s, crowded {:.0}/s", c.unwrap_or(0.0));
        if turn > 0 {
            seen.off.push(a);
            seen.on.push(b);
            seen.crowded.extend(c);
        }
    }
    for ground in std::iter::once(few.ground).chain(crowd) {
        if let Ok(ground) = Arc::try_unwrap(ground) {
            ground.stop().await;
        }
    }
    Ok(seen)
}
