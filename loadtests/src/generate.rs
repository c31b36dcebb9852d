//! `sluice-load generate`: lists of any size, the same for the same seed.

use crate::estimate::Needs;
use crate::machine::Machine;
use crate::report::{Figure, Report, Show};
use crate::resume::Journal;
use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod amounts;
mod arrivals;
mod campaigns;
mod dirty;
pub(crate) mod keys;
mod list;
mod part;

pub(crate) use amounts::mix as random;
pub(crate) use dirty::Dirt;
pub(crate) use list::Plan;
pub(crate) use part::{Written, write};

/// Write lists with realistic amounts, of wallets whose keys are known.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Rows, of all lists together. Underscores and the endings k and M are understood.
    #[arg(long, value_parser = count)]
    rows: u64,
    /// The list; with --campaigns the folder of lists.
    #[arg(long)]
    out: PathBuf,
    /// Chooses keys and amounts; the same seed makes the same lists.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Decimals of the token.
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u8).range(0..=18))]
    decimals: u8,
    /// The sum of the list in whole tokens [default: 80 a row].
    #[arg(long, value_parser = count)]
    total: Option<u64>,
    /// Split into so many campaigns: sizes by Zipf's law, decimals 6, 8 and 18, tokens of a dollar each, 4 billion in
    /// all unless --total says otherwise.
    #[arg(long, value_parser = count, conflicts_with = "decimals")]
    campaigns: Option<u64>,
    /// Write addresses with the letter case of EIP-55, which a build then checks.
    #[arg(long)]
    checksummed: bool,
    /// Of a million rows, those that repeat the address of the row before.
    #[arg(long, default_value_t = 0, conflicts_with = "campaigns", value_parser = clap::value_parser!(u32).range(0..=200_000))]
    duplicates_per_million: u32,
    /// Of a million rows, those that cannot be read, in ten ways.
    #[arg(long, default_value_t = 0, conflicts_with = "campaigns", value_parser = clap::value_parser!(u32).range(0..=200_000))]
    bad_per_million: u32,
    /// Also write when claims arrive, as `milliseconds,wallet`, to this file: a crowd after the launch, then days and
    /// nights, each quieter than the last.
    #[arg(long)]
    arrivals: Option<PathBuf>,
    /// Claims of --arrivals [default: every row].
    #[arg(long, value_parser = count, requires = "arrivals")]
    claims: Option<u64>,
    /// Days of --arrivals.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_650))]
    days: u64,
    #[command(flatten)]
    show: Show,
}

/// A number of rows: `50_000_000`, `50M`, `100k`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number
        .filter(|&number| number > 0)
        .ok_or_else(|| format!("{text:?} is not a number such as 50M or 50_000_000"))
}

/// What stands in `campaigns.json` for each list.
#[derive(Debug, Serialize)]
struct Campaign {
    list: String,
    #[serde(flatten)]
    plan: Plan,
}

impl GenerateArgs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = match (&self.campaigns, self.out.parent()) {
            (Some(_), _) => self.out.as_path(),
            (None, Some(parent)) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if self.campaigns.is_some() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let claims = self.claims.unwrap_or(self.rows);
        ensure!(
            claims <= self.rows,
            "--claims {claims}: {} rows are listed, and no wallet claims twice",
            self.rows
        );
        needs(self.rows).announce("generate", folder)?;
        let begin = Instant::now();
        let (written, plans) = match self.campaigns {
            Some(campaigns) => self.write_campaigns(campaigns)?,
            None => self.write_one()?,
        };
        if let Some(out) = &self.arrivals {
            let arrivals =
                arrivals::Arrivals { seed: self.seed, claims, wallets: self.rows, days: self.days };
            arrivals.write(&plans, out)?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        let mut report = Report::new("generate");
        report.add(Figure::new("rows", self.rows as f64, "").note(self.out.display().to_string()));
        report.add(Figure::new("rows a second", self.rows as f64 / seconds, "rows/s"));
        report.add(Figure::new("bytes", written.bytes as f64, "B"));
        if written.bad + written.duplicates > 0 {
            report.add(
                Figure::new("rows that cannot be read", written.bad as f64, "")
                    .note("a build must refuse these"),
            );
            report.add(Figure::new("repeated addresses", written.duplicates as f64, "").note("and these"));
        }
        report.print(self.show)
    }

    fn write_one(&self) -> anyhow::Result<(Written, Vec<Plan>)> {
        let tokens = u128::from(self.total.unwrap_or(self.rows.saturating_mul(80)));
        let dirt = Dirt {
            duplicates_per_million: self.duplicates_per_million,
            bad_per_million: self.bad_per_million,
        };
        let plan = Plan { dirt, ..plan(self.seed, self.rows, self.decimals, tokens, self.checksummed)? };
        let written = write(&plan, &self.out)?;
        if plan.dirt.is_none() {
            eprintln!("the sum is {} tokens: --expect-count {} --expect-total {}", tokens, plan.rows, tokens);
        }
        Ok((written, vec![plan]))
    }

    fn write_campaigns(&self, campaigns: u64) -> anyhow::Result<(Written, Vec<Plan>)> {
        ensure!(
            campaigns <= 1_000 && campaigns * 100 <= self.rows,
            "{campaigns} campaigns of {} rows in all are too many; a thousand at most, of a hundred rows on average",
            self.rows
        );
        let dollars = self.total.map_or(campaigns::DOLLARS, u128::from);
        let plans = campaigns::plans(self.seed, campaigns, self.rows, dollars, self.checksummed);
        let journal = self.out.join("campaigns.journal");
        let mut journal =
            Journal::open(&journal, &(self.seed, self.rows, campaigns, dollars, self.checksummed))?;
        let (mut all, mut listed) = (Written::default(), Vec::new());
        for (number, plan) in plans.into_iter().enumerate() {
            check(&plan)?;
            let list = format!("campaign-{:03}.csv", number + 1);
            let out = self.out.join(&list);
            all.bytes += journal.step(&list, || Ok(write(&plan, &out)?.bytes))?;
            listed.push(Campaign { list, plan });
        }
        let manifest = self.out.join("campaigns.json");
        std::fs::write(&manifest, serde_json::to_vec_pretty(&listed)?)
            .with_context(|| format!("cannot write {}", manifest.display()))?;
        journal.finish()?;
        Ok((all, listed.into_iter().map(|campaign| campaign.plan).collect()))
    }
}

/// The plan of one clean list.
pub(crate) fn plan(
    seed: u64,
    rows: u64,
    decimals: u8,
    tokens: u128,
    checksummed: bool,
) -> anyhow::Result<Plan> {
    let total = tokens * 10u128.pow(u32::from(decimals));
    let plan = Plan { seed, first_wallet: 0, rows, decimals, total, checksummed, dirt: Dirt::default() };
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &Plan) -> anyhow::Result<()> {
    let Plan { rows, decimals, total, .. } = *plan;
    ensure!(
        total < amounts::TOTAL_MAX && total >= u128::from(rows) * 1_000,
        "a sum of {total} base units for {rows} rows of {decimals} decimals cannot be split: it needs a thousand base \
         units a row, and at most 2^93",
    );
    ensure!(rows <= u64::from(u32::MAX), "{rows} rows are more than a snapshot holds");
    Ok(())
}

/// The plans of lists of several campaigns: sizes by Zipf's law, tokens of 18, 6 and 8 decimals worth a dollar each.
pub(crate) fn campaigns(seed: u64, campaigns: u64, rows: u64, dollars: u128) -> Vec<Plan> {
    campaigns::plans(seed, campaigns, rows, dollars, false)
}

/// What writing so many rows takes here.
pub(crate) fn needs(rows: u64) -> Needs {
    let cores = Machine::here().cores as u64;
    // Measured: about 500 ns of one core a row.
    let time = Duration::from_nanos(500 * rows / cores);
    Needs { time, disk: rows * list::ROW_BYTES_MAX, memory: 256 << 20 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows() {
        assert_eq!([count("50M"), count("1_000"), count("7k")], [Ok(50_000_000), Ok(1_000), Ok(7_000)]);
        for text in ["", "M", "0", "1.5M", "-1", "99999999999999999M"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_sum_that_cannot_be_split_is_refused() {
        assert!(plan(1, 1_000_000, 18, 80_000_000, false).is_ok());
        assert!(plan(1, 1_000_000, 0, 80, false).is_err());
        assert!(plan(1, 1, 18, u128::from(u64::MAX), false).is_err());
    }
}
