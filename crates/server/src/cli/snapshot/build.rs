//! `sluice snapshot build`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use sluice_core::amount::Total;
use sluice_snapshot::build::Duplicates;
use sluice_snapshot::list::{Columns, Input, Unit};
use sluice_snapshot::{BuildOptions, Format, Report, build};

use super::progress::Shown;
use super::{answer, tokens};

#[derive(Debug, Args)]
pub(super) struct Build {
    /// The list: CSV with a header, plain or compressed (.gz, .xz, .zst); `-` is standard input. In builds with the
    /// features of these names also an object (s3://bucket/list.csv, gs://, az:// (feature azure), https:// (feature
    /// http)) or a Parquet file (feature parquet).
    list: PathBuf,
    /// The tree. Only native snapshots can be paid by the Distributor.
    #[arg(long, value_enum, default_value_t = FormatName::Native)]
    format: FormatName,
    /// Decimals of the token.
    #[arg(long, default_value_t = 18)]
    decimals: u8,
    /// How the list writes amounts.
    #[arg(long, value_enum, default_value_t = UnitName::Token)]
    unit: UnitName,
    /// Names of the columns read, such as `address=wallet,amount=tokens,person=id`.
    #[arg(long, value_name = "COLUMN=NAME,…", default_value = "")]
    columns: ColumnNames,
    /// What becomes of several rows with one address. `keep` needs a person column.
    #[arg(long, value_enum, default_value_t = DuplicatesName::Refuse)]
    duplicates: DuplicatesName,
    /// What becomes of rows that name the zero address. Foreign formats hold them unless they are dropped.
    #[arg(long, value_enum, default_value_t = ZeroName::Refuse)]
    zero_address: ZeroName,
    /// An address that must not be listed: the token, the Distributor, the Charter. May be repeated.
    #[arg(long, value_name = "ADDRESS")]
    refuse: Vec<Address>,
    /// Build only if there are so many entitlements.
    #[arg(long, value_name = "N")]
    expect_count: Option<u64>,
    /// Build only if the entitlements add up to this (tokens, or base units with --unit base or hex).
    #[arg(long, value_name = "TOTAL")]
    expect_total: Option<String>,
    /// Build only if this is the root: checks a published list.
    #[arg(long, value_name = "ROOT")]
    expect_root: Option<B256>,
    /// The snapshot file. By default the list's name with the ending .snapshot, beside the list or, where that lies in a
    /// store, here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Threads to work with. The result does not depend on them.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Native,
    #[value(name = "openzeppelin")]
    OpenZeppelin,
    Uniswap,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnitName {
    /// Decimal numbers of tokens.
    Token,
    /// Whole decimal numbers of base units.
    Base,
    /// Hexadecimal numbers of base units.
    Hex,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DuplicatesName {
    Refuse,
    Sum,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ZeroName {
    Refuse,
    Drop,
}

/// The value of `--columns`.
#[derive(Clone, Debug)]
struct ColumnNames(Columns);

impl FromStr for ColumnNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = Columns::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let Some((column, name)) = pair.split_once('=') else {
                return Err(format!("{pair:?} is not COLUMN=NAME"));
            };
            match column {
                "address" => columns.address = name.to_owned(),
                "amount" => columns.amount = name.to_owned(),
                "person" => columns.person = Some(name.to_owned()),
                _ => return Err(format!("{column:?} is no column; there are address, amount and person")),
            }
        }
        Ok(Self(columns))
    }
}

/// The answer of a build. The first five fields are what others read; they keep their names.
#[derive(Serialize)]
struct Built<'a> {
    root: B256,
    format: Format,
    recipients: u64,
    total: Total,
    seconds: f64,
    depth: u8,
    persons: bool,
    merged: u64,
    dropped: u64,
    dropped_total: Total,
    file: &'a Path,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (input, out) = self.places()?;
        let options = self.options()?;
        let shown = Shown::new();
        let began = Instant::now();
        let report = build(&options, &input, &out, &|progress| shown.tell(progress));
        shown.done();
        let seconds = began.elapsed().as_secs_f64();
        let report = report.with_context(|| format!("cannot build a snapshot from {input}"))?;
        self.tell(&report, seconds, &out)
    }

    fn places(&self) -> anyhow::Result<(Input, PathBuf)> {
        let input = Input::parse(self.list.as_os_str())?;
        let out = match (&self.out, &input) {
            (Some(out), _) => out.clone(),
            (None, Input::File(list)) => default_out(list),
            (None, Input::Stdin) => bail!("reading standard input, --out FILE must be given"),
            (None, Input::Remote(url)) => {
                let name = input.file_name();
                default_out(name.with_context(|| format!("{url} names no file; --out FILE must be given"))?)
            }
        };
        if matches!(&input, Input::File(list) if *list == out) {
            bail!("--out names the list itself, which would be overwritten");
        }
        Ok((input, out))
    }

    fn options(&self) -> anyhow::Result<BuildOptions> {
        let unit = match self.unit {
            UnitName::Token => Unit::Token,
            UnitName::Base => Unit::Base,
            UnitName::Hex => Unit::Hex,
        };
        let expect_total = match &self.expect_total {
            None => None,
            Some(text) if unit == Unit::Token => Some(Total::parse_decimal(text, self.decimals)),
            Some(text) => Some(Total::parse_base(text)),
        };
        let expect_total = expect_total.transpose().map_err(|error| {
            anyhow::anyhow!("--expect-total {:?} {error}", self.expect_total.as_deref().unwrap_or_default())
        })?;
        Ok(BuildOptions {
            format: match self.format {
                FormatName::Native => Format::Native,
                FormatName::OpenZeppelin => Format::OpenZeppelin,
                FormatName::Uniswap => Format::Uniswap,
            },
            decimals: self.decimals,
            unit,
            columns: self.columns.0.clone(),
            duplicates: match self.duplicates {
                DuplicatesName::Refuse => Duplicates::Refuse,
                DuplicatesName::Sum => Duplicates::Sum,
                DuplicatesName::Keep => Duplicates::Keep,
            },
            drop_zero_address: self.zero_address == ZeroName::Drop,
            refused: self.refuse.clone(),
            expect_count: self.expect_count,
            expect_total,
            expect_root: self.expect_root,
            threads: self.threads,
        })
    }

    fn tell(&self, report: &Report, seconds: f64, out: &Path) -> anyhow::Result<()> {
        let dropped = &report.dropped;
        for (row, amount) in &dropped.listed {
            eprintln!("dropped row {row}: the zero address, {}", tokens(*amount, self.decimals));
        }
        let built = Built {
            root: report.root,
            format: report.format,
            recipients: report.count,
            total: report.total,
            seconds,
            depth: report.depth,
            persons: report.persons,
            merged: report.merged,
            dropped: dropped.count,
            dropped_total: dropped.total,
            file: out,
        };
        let mut facts = vec![
            ("root", report.root.to_string()),
            ("format", report.format.to_string()),
            ("recipients", report.count.to_string()),
            ("total", tokens(report.total, self.decimals)),
        ];
        if report.merged > 0 {
            facts.push(("merged", format!("{} rows added to others", report.merged)));
        }
        if dropped.count > 0 {
            let total = tokens(dropped.total, self.decimals);
            facts.push(("dropped", format!("{} rows naming the zero address, {total}", dropped.count)));
        }
        facts.push(("file", out.display().to_string()));
        facts.push(("seconds", format!("{seconds:.2}")));
        answer(self.json, &built, &facts)
    }
}

/// `airdrop.csv.xz` becomes `airdrop.snapshot`.
fn default_out(list: &Path) -> PathBuf {
    let mut out = list.to_owned();
    for ending in ["gz", "xz", "zst", "csv", "parquet"] {
        if out.extension().is_some_and(|extension| extension == ending) {
            out.set_extension("");
        }
    }
    out.as_mut_os_string().push(".snapshot");
    out
}
