//! `sluice-load size`: what a claim leaves on disk, table by table, and in the write-ahead log: without a gate, before one
//! that asks one attestation and before one that asks two, one that comes alone, one that is settled; what an attestation
//! leaves; and whether any of it is garbage that must be vacuumed away.

mod tables;

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::EntitlementId;
use sluice_core::state::dump::DumpSize;
use sluice_core::state::status::ClaimState;
use sluice_server::dev;

use crate::claims::cluster;
use crate::claims::ground::{Ground, Round, Servers, eventually};
use crate::claims::run;
use crate::claims::wallets::{self, Wallet};
use crate::estimate::Needs;
use crate::gated::{offices, turns};
use crate::report::{Figure, Goal, Report, Show};
use tables::{Sizes, Tables};

/// Claims that come one after another, each the only one of its group: as on a quiet day.
const ALONE: u32 = 300;
/// Wei for the settlement account: far more than all of it costs.
const COIN: &str = "0xd3c21bcecceda1000000";
/// Parts of a table smaller than this are told within the sum only, bytes a claim.
const WORTH_A_LINE: f64 = 1.0;

/// `sluice-load size`.
#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// Claims of each kind. Tables grow by pages and indexes by splits, so a few thousand tell little.
    #[arg(long, default_value_t = 20_000)]
    claims: u32,
    #[command(flatten)]
    show: Show,
}

impl SizeArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(self.claims >= 1_000, "--claims {}: at least 1000", self.claims);
        let claims = u64::from(self.claims);
        let needs = Needs {
            time: Duration::from_secs(60 + claims / 400),
            disk: cluster::DISK + claims * 40_000,
            memory: (1 << 29) + claims * 12_000,
        };
        needs.announce("size", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let servers = Servers::start().await?;
        let count = self.claims + ALONE;
        let wallets = tokio::task::spawn_blocking(move || wallets::wallets(count)).await??;
        let ground = Ground::start(&servers, "size").await?;
        let rounds = open(&servers, &ground, &wallets).await?;
        let mut tables = Tables::connect(&ground.prepared.database_url).await?;
        let mut report = Report::new("size");

        let issuer = offices::issuer()?;
        let texts = wallets.par_iter().map(|wallet| offices::attested(&issuer, wallet.address, 0));
        let texts = texts.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        let (before, handed_in) = (tables.sizes().await?, texts.len());
        offices::hand_in(ground.node.attestations(), texts).await?;
        add(&mut report, "an attestation", &tables.sizes().await?.since(&before), handed_in);

        let names = ["a claim", "a claim, 1 rule set, 1 attestation", "a claim, 2 rule sets, 2 attestations"];
        for (name, round) in names.into_iter().zip(&rounds) {
            let claims = wallets::signed(
                &wallets[..self.claims as usize],
                &round.snapshot,
                round.number,
                ground.distributor,
            )?;
            let before = tables.sizes().await?;
            turns::decide_all(&ground.node, ground.campaign, claims).await?;
            add(&mut report, name, &tables.sizes().await?.since(&before), self.claims as usize);
            eprintln!("size: {name}: done");
        }
        self.alone(&ground, &rounds[0], &wallets, &mut tables, &mut report).await?;
        self.settled(&servers, &ground, &mut tables, &mut report).await?;
        add_state(&mut report, &ground, u64::from(count) * rounds.len() as u64)?;
        ground.stop().await;
        add_garbage(&mut report, &mut tables, u64::from(self.claims) * 3 + u64::from(ALONE)).await?;
        tables.close().await?;
        report.print(self.show)?;
        servers.stop().await;
        Ok(())
    }

    /// Claims each of which has a group, a signature and postings of its own.
    async fn alone(
        &self,
        ground: &Ground,
        round: &Round,
        wallets: &[Wallet],
        tables: &mut Tables,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let last = &wallets[self.claims as usize..];
        let claims: Vec<ClaimDemand> =
            wallets::signed(last, &round.snapshot, round.number, ground.distributor)?;
        let before = tables.sizes().await?;
        for claim in claims {
            turns::decide_all(&ground.node, ground.campaign, vec![claim]).await?;
        }
        add(report, "a claim that comes alone", &tables.sizes().await?.since(&before), last.len());
        Ok(())
    }

    /// The claims without a gate are paid, finally; those before gates wait for a gate's word that nobody gives here.
    async fn settled(
        &self,
        servers: &Servers,
        ground: &Ground,
        tables: &mut Tables,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let before = tables.sizes().await?;
        let count = u64::from(self.claims + ALONE);
        servers.anvil("anvil_setBalance", json!([dev::lane(1, 0)?.address(), COIN])).await?;
        eventually("every claim is finally paid", || async {
            let is_final = |campaign: &sluice_core::state::campaign::Campaign, index| {
                matches!(campaign.status(EntitlementId { round: 1, index }), Some(ClaimState::Final))
            };
            Ok(ground.node.follower().read(|state| {
                let campaign = state.campaign(ground.campaign)?;
                (0..count).all(|index| is_final(campaign, index)).then_some(())
            }))
        })
        .await?;
        add(report, "a claim settled", &tables.sizes().await?.since(&before), usize::try_from(count)?);
        Ok(())
    }
}

/// A round without a gate, one whose gate asks one attestation, one whose gate asks two, all of the same list.
async fn open(servers: &Servers, ground: &Ground, wallets: &[Wallet]) -> anyhow::Result<[Round; 3]> {
    let [both, first] = offices::set_up(servers, ground).await?;
    let list = ground.prepared.dir.join("list.csv");
    wallets::write_list(wallets, &list)?;
    let stored = ground.snapshot(&list).await?;
    let none = ground.open_round(1, stored.clone(), None).await?;
    let first = ground.open_round(2, stored.clone(), Some((first.version, first.hash))).await?;
    let both = ground.open_round(3, stored, Some((both.version, both.hash))).await?;
    Ok([none, first, both])
}

/// The sum, then its parts.
fn add(report: &mut Report, name: &str, grown: &Sizes, count: usize) {
    let each = |bytes: i64| bytes as f64 / count as f64;
    let figure = Figure::new(name, each(grown.table() + grown.indexes()), "B");
    report.add(figure.note(format!(
        "tables {:.0}, indexes {:.0}",
        each(grown.table()),
        each(grown.indexes())
    )));
    for (table, bytes) in &grown.tables {
        let (rows, indexes) = (each(bytes.table), each(bytes.indexes));
        if rows + indexes >= WORTH_A_LINE {
            let figure = Figure::new(format!("  {table}"), rows + indexes, "B");
            report.add(figure.note(format!("table {rows:.0}, indexes {indexes:.0}")));
        }
    }
    report.add(
        Figure::new("  write-ahead log", each(grown.wal), "B")
            .note("kept until the next checkpoint, or archived"),
    );
}

fn add_state(report: &mut Report, ground: &Ground, listed: u64) -> anyhow::Result<()> {
    let (follower, mut size) = (ground.node.follower(), DumpSize::default());
    let tree = follower.tree();
    follower.read(|state| state.dump(&tree, &mut size)).context("the State could not be written")?;
    let figure = Figure::new("State, an entitlement", size.0 as f64 / listed as f64, "B");
    report.add(figure.note(format!("as dumped: {} bytes for {listed}", size.0)));
    Ok(())
}

/// Rows changed or gone, which leave dead ones behind for vacuum to find.
async fn add_garbage(report: &mut Report, tables: &mut Tables, claims: u64) -> anyhow::Result<()> {
    let garbage = tables.garbage().await?;
    let growing = garbage.iter().filter(|found| !tables::BOUNDED.contains(&found.table.as_str()));
    let dead: i64 = growing.map(|found| found.changed + found.gone + found.dead).sum();
    let figure = Figure::new("rows that died where claims lie", dead as f64, "rows").goal(Goal::AtMost(0.0));
    report.add(figure.note(format!("of {claims} claims; all tables but {}", tables::BOUNDED.join(", "))));
    for found in garbage {
        let figure = Figure::new(format!("  {}", found.table), (found.changed + found.gone) as f64, "rows");
        report.add(figure.note(format!(
            "{} changed, {} of them in place; {} deleted; {} dead now; {} inserted",
            found.changed, found.in_place, found.gone, found.dead, found.inserted
        )));
    }
    Ok(())
}
