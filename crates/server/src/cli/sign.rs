//! `sluice sign`: adds an institution's signatures to papers, offline.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_chain::signer::Account;

use crate::cli::reach::{KeyArgs, answer};

pub mod papers;

use papers::Papers;

/// The exit code of a command whose papers are not signed by enough institutions yet.
pub const INCOMPLETE: u8 = 3;

/// Sign papers: a file with a command and the actions on chain that belong to it.
#[derive(Debug, Args)]
pub struct Sign {
    /// The papers, as `--papers` of another command wrote them.
    file: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Only check the signatures and show who has signed.
    #[arg(long)]
    check: bool,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Sign {
    /// Does it.
    ///
    /// # Errors
    /// When the file is no papers, a signature in it is wrong, or a key speaks for no institution.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut papers = Papers::read(&self.file)?;
        papers.check()?;
        if !self.check {
            for account in self.keys.open()? {
                papers.sign(&account)?;
            }
            papers.write(&self.file)?;
        }
        let signed = papers.signed();
        let value = json!({ "purpose": papers.purpose, "signed": signed, "needed": papers.needed, "missing": papers.missing() });
        let by: Vec<String> = signed.iter().map(ToString::to_string).collect();
        let facts = [
            ("purpose", papers.purpose.clone()),
            ("signed by", by.join(", ")),
            ("needed", format!("{} institutions, {} missing", papers.needed, papers.missing())),
        ];
        answer(self.json, &value, &facts)?;
        Ok(if papers.missing() == 0 { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
    }
}

/// Where signatures come from.
#[derive(Clone, Debug, Default, Args)]
pub struct Signing {
    /// Institutions' keys at hand.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Collect signatures in this file: it is written when more are needed, and read again by the next run.
    #[arg(long, value_name = "FILE")]
    pub papers: Option<PathBuf>,
}

/// Papers ready to be handed in, or not yet.
#[derive(Debug)]
pub enum Collected {
    /// Enough institutions signed.
    Ready(Box<Papers>),
    /// More must sign; the file waits for them.
    Waiting(Box<Papers>),
}

impl Signing {
    /// Signs what `draft` prepares, or goes on with papers begun before.
    ///
    /// # Errors
    /// When a key or file is wrong, or more signatures are needed and no file is named to collect them in.
    pub async fn collect(
        &self,
        draft: impl Future<Output = anyhow::Result<Papers>>,
    ) -> anyhow::Result<Collected> {
        let begun = self.papers.as_deref().filter(|path| path.exists());
        let mut papers = match begun {
            Some(path) => Papers::read(path)?,
            None => draft.await?,
        };
        papers.check()?;
        for account in self.keys.open()? {
            papers.sign(&account)?;
        }
        if papers.missing() == 0 {
            return Ok(Collected::Ready(Box::new(papers)));
        }
        let Some(path) = &self.papers else {
            anyhow::bail!(
                "{} of {} institutions signed; give more --key, or --papers FILE to collect signatures",
                papers.signed().len(),
                papers.needed
            );
        };
        papers.write(path)?;
        Ok(Collected::Waiting(Box::new(papers)))
    }
}

/// Papers signed by accounts at hand.
///
/// # Errors
/// When an account speaks for no institution.
pub fn signed_by(mut papers: Papers, accounts: &[Account]) -> anyhow::Result<Papers> {
    for account in accounts {
        papers.sign(account)?;
    }
    Ok(papers)
}

/// Says that signatures are missing.
///
/// # Errors
/// When the answer cannot be written.
pub fn waiting(papers: &Papers, path: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let file = path.map(|p| p.display().to_string()).unwrap_or_default();
    let value = json!({ "state": "unsigned", "missing": papers.missing(), "papers": file });
    let next = format!("sluice sign {file} --key …, then run this command again");
    answer(json, &value, &[("missing", format!("{} institutions", papers.missing())), ("next", next)])?;
    Ok(ExitCode::from(INCOMPLETE))
}
