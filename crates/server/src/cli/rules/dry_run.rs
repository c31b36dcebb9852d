//! `sluice rules simulate`: who would pass, who would fail and why, and what it would cost. Nothing is asked of anybody:
//! what only a chain could answer (a contract's signature, a revocation) is said to be open.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, RoundNo};
use sluice_gate::rules::{ClaimFacts, Compiled, Simulation, Verdict, simulate};
use sluice_snapshot::Snapshot;
use tempfile::NamedTempFile;

use super::facts::Claims;
use super::source;
use crate::cli::progress::Steps;
use crate::cli::reach::{answer, client_now};

mod listed;

/// Try rule sets: who would pass, who would fail and why, what it would cost.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// The rule sets, folders or built files; all must permit.
    #[arg(required = true)]
    rules: Vec<PathBuf>,
    /// Claims to try, one in each line as JSON (see sample-data/rules/claims.ndjson).
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot", required_unless_present = "snapshot")]
    claims: Option<PathBuf>,
    /// Try a claim of everybody in this snapshot.
    #[arg(long, value_name = "FILE", requires = "gate")]
    snapshot: Option<PathBuf>,
    /// With --snapshot: the gate's file, which says which attestations count (see `sluice gate`).
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// With --snapshot: attestations, one in each line as the systems' programs write them.
    #[arg(long, value_name = "FILE", requires = "snapshot")]
    attestations: Option<PathBuf>,
    /// With --snapshot: the campaign that rules see.
    #[arg(long, value_name = "ID", requires = "snapshot")]
    campaign: Option<CampaignId>,
    /// With --snapshot: the round that rules see.
    #[arg(long, requires = "snapshot", default_value_t = 1)]
    round: RoundNo,
    /// With --snapshot: when everybody claims, Unix seconds; now by default.
    #[arg(long, value_name = "SECONDS", requires = "snapshot")]
    at: Option<u64>,
    /// What there is to pay from, in tokens.
    #[arg(long, value_name = "TOKENS")]
    funds: Option<String>,
    /// Write every claim with its outcome to this file, as CSV. It names causes, so it is not for claimants.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let read: Vec<_> =
            self.rules.iter().map(|path| source::right(path)).collect::<anyhow::Result<_>>()?;
        let rules: Vec<&Compiled> = read.iter().map(|read| &read.compiled).collect();
        let mut rows = Rows::open(self.out.as_deref())?;
        let count = |snapshot: &PathBuf| Snapshot::open(snapshot).map(|snapshot| snapshot.count());
        let steps = Steps::new("claims tried", self.snapshot.as_ref().map(count).transpose()?);
        let mut tried = 0;
        let mut each = |facts: &ClaimFacts, verdict: &Verdict| {
            tried += 1;
            steps.at(tried);
            rows.write(facts, verdict);
        };
        let (result, decimals, unread) = match (&self.claims, &self.snapshot) {
            (Some(path), _) => {
                let mut claims = Claims::open(path)?;
                let decimals = claims.decimals();
                let funds = self.funds(decimals)?;
                let result = simulate(&rules, &mut claims, funds, &mut each);
                claims.end()?;
                (result, decimals, None)
            }
            (None, Some(path)) => {
                let snapshot = Snapshot::open(path)?;
                let decimals = snapshot.decimals();
                let funds = self.funds(decimals)?;
                let listed = listed::Listed::read(&self, &snapshot)?;
                let claims = listed.claims(&snapshot);
                let result = simulate(&rules, claims, funds, &mut each);
                (result, decimals, Some(listed.unread()))
            }
            (None, None) => bail!("--claims FILE or --snapshot FILE says whose claims to try"),
        };
        steps.done();
        rows.end()?;
        self.tell(&result, decimals, unread)
    }

    fn funds(&self, decimals: u8) -> anyhow::Result<Option<Total>> {
        let parse = |text: &String| {
            let parsed = Total::parse_decimal(text, decimals);
            parsed
                .map_err(|error| anyhow::anyhow!("--funds {text}: {error} (a token of {decimals} decimals)"))
        };
        self.funds.as_ref().map(parse).transpose()
    }

    fn at(&self) -> u64 {
        self.at.unwrap_or_else(client_now)
    }

    fn tell(
        &self,
        result: &Simulation,
        decimals: u8,
        unread: Option<listed::Unread>,
    ) -> anyhow::Result<ExitCode> {
        let mut value = serde_json::to_value(result)?;
        if let Some(unread) = &unread {
            value["attestations"] = serde_json::to_value(unread)?;
        }
        let tokens = |total: Total| total.to_decimal_string(decimals);
        let count = |count: &sluice_gate::rules::Count| {
            format!("{} claims, {} tokens", count.claims, tokens(count.total))
        };
        let mut facts = vec![
            ("evaluated", count(&result.evaluated)),
            ("permitted", count(&result.permitted)),
            ("refused", count(&result.refused)),
        ];
        for (reason, these) in &result.reasons {
            facts.push(("", format!("{reason}: {}", count(these))));
        }
        if let Some(funds) = result.funds {
            facts.push(("funds", format!("{} tokens", tokens(funds))));
            let enough = "enough".to_owned();
            facts.push(("short by", result.short_by.map_or(enough, |by| format!("{} tokens", tokens(by)))));
        }
        if let Some(unread) = unread {
            facts.push(("attestations", unread.to_string()));
        }
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The table of outcomes, if one is wanted: written aside and renamed at its end, where what went wrong is told too.
struct Rows(Option<(PathBuf, BufWriter<NamedTempFile>, std::io::Result<()>)>);

impl Rows {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or_else(|| ".".as_ref()));
        let mut out = BufWriter::new(file.with_context(|| format!("cannot write {}", path.display()))?);
        let begun = writeln!(out, "round,index,recipient,person,amount,outcome,reason,policies");
        Ok(Self(Some((path.to_owned(), out, begun))))
    }

    fn write(&mut self, facts: &ClaimFacts, verdict: &Verdict) {
        let Some((_, out, written)) = &mut self.0 else { return };
        if written.is_err() {
            return;
        }
        let outcome = if verdict.is_permitted() { "permitted" } else { "refused" };
        let reason = verdict.refusal.as_ref().map_or("", |refusal| refusal.cause.code.as_str());
        let policies: Vec<&str> =
            verdict.decisions.iter().flat_map(|d| d.policies.iter().map(String::as_str)).collect();
        let person = facts.person.map(|person| person.to_string()).unwrap_or_default();
        *written = writeln!(
            out,
            "{},{},{},{person},{},{outcome},{reason},{}",
            facts.round,
            facts.index,
            facts.recipient,
            facts.amount.to_decimal_string(facts.decimals),
            policies.join(" ")
        );
    }

    fn end(self) -> anyhow::Result<()> {
        let Some((path, out, written)) = self.0 else { return Ok(()) };
        let file = written.and_then(|()| out.into_inner().map_err(std::io::IntoInnerError::into_error));
        let kept = file.and_then(|file| file.persist(&path).map_err(|error| error.error));
        kept.map(drop).with_context(|| format!("cannot write {}", path.display()))
    }
}
