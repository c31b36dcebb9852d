//! `sluice snapshot export`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use sluice_snapshot::Snapshot;
use sluice_snapshot::export::{export_csv, export_peer};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The snapshot file.
    file: PathBuf,
    /// What to write: the JSON of the snapshot's own format (OpenZeppelin's tree dump, Uniswap's claims), or CSV.
    #[arg(long = "as", value_enum, default_value_t = Kind::Peer)]
    kind: Kind,
    /// The file to write; by default standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Peer,
    Csv,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = Snapshot::open(&self.file)?;
        let out: Box<dyn Write> = match &self.out {
            None => Box::new(std::io::stdout().lock()),
            Some(path) => {
                Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
            }
        };
        let mut out = BufWriter::new(out);
        match self.kind {
            Kind::Peer => export_peer(&snapshot, &mut out)?,
            Kind::Csv => export_csv(&snapshot, &mut out)?,
        }
        out.flush().context("cannot write the export")
    }
}
