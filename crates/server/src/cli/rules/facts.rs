//! Claims to try rules on, from a file with one in each line.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sluice_gate::rules::ClaimFacts;

/// Claims as a file tells them. The first line that is none ends the claims; [`Self::end`] then says which.
pub(super) struct Claims {
    path: PathBuf,
    first: Option<ClaimFacts>,
    lines: Lines<BufReader<File>>,
    line: u64,
    wrong: Option<anyhow::Error>,
    decimals: u8,
}

impl Claims {
    /// Opens a file and reads its first claim, which tells the token's decimals.
    ///
    /// # Errors
    /// When it cannot be read, or its first line is no claim.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = BufReader::new(file).lines();
        let mut claims =
            Self { path: path.to_owned(), first: None, lines, line: 0, wrong: None, decimals: 0 };
        claims.first = claims.read()?;
        claims.decimals = claims.first.as_ref().map_or(0, |first| first.decimals);
        Ok(claims)
    }

    /// Decimals of the token that the claims are about.
    pub(super) fn decimals(&self) -> u8 {
        self.decimals
    }

    /// Whether all lines were claims.
    ///
    /// # Errors
    /// Naming the line that is none, and why.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.wrong.map_or(Ok(()), Err)
    }

    fn read(&mut self) -> anyhow::Result<Option<ClaimFacts>> {
        loop {
            self.line += 1;
            let at = || format!("{}, line {}", self.path.display(), self.line);
            let Some(text) = self.lines.next().transpose().with_context(at)? else { return Ok(None) };
            if text.trim().is_empty() {
                continue;
            }
            let facts: ClaimFacts =
                serde_json::from_str(&text).with_context(|| format!("{}: no facts of a claim", at()))?;
            return Ok(Some(facts));
        }
    }

    fn of_one_token(&self, facts: ClaimFacts) -> anyhow::Result<ClaimFacts> {
        ensure!(
            facts.decimals == self.decimals,
            "{}, line {}: a token of {} decimals, the first claim's has {}; one token at a time",
            self.path.display(),
            self.line,
            facts.decimals,
            self.decimals
        );
        Ok(facts)
    }
}

impl Iterator for Claims {
    type Item = ClaimFacts;

    fn next(&mut self) -> Option<ClaimFacts> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.wrong.is_some() {
            return None;
        }
        match self.read().and_then(|facts| facts.map(|facts| self.of_one_token(facts)).transpose()) {
            Ok(facts) => facts,
            Err(error) => {
                self.wrong = Some(error);
                None
            }
        }
    }
}
