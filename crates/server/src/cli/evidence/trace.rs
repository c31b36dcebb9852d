//! `sluice trace`: from a payment back to the intention.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Args;
use serde_json::Value;
use sluice_core::ids::CampaignId;
use sluice_engine::evidence::trace::{Step, Target, Trace as Traced, trace};

use super::SourceArgs;
use crate::cli::asking::AskArgs;
use crate::cli::block_on;
use crate::cli::time::shown;

/// Tell why a payment was right: transaction, batch, claim, rules, attestations, who ordered it under which mandate.
#[derive(Debug, Args)]
pub struct Trace {
    /// A transaction hash, a claim's id, or ROUND/INDEX.
    what: Target,
    /// The campaign, for ROUND/INDEX where the log has several.
    #[arg(long)]
    campaign: Option<CampaignId>,
    #[command(flatten)]
    source: SourceArgs,
    /// Ask a node instead of reading the log: with --authority, --mandate and --key it tells what the mandate lets the
    /// institution read, else what everybody is told. --authority implies it.
    #[arg(long, conflicts_with_all = ["export", "seal_key", "public"])]
    online: bool,
    #[command(flatten)]
    ask: AskArgs,
    /// Leave out what is about people: ids of persons, reasons, addresses of what was not paid.
    #[arg(long)]
    public: bool,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Trace {
    /// Prints the story.
    ///
    /// # Errors
    /// When the log cannot be read or does not know it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.online || self.ask.authority.is_some() {
            return block_on(self.ask_node());
        }
        ensure!(self.ask.keys.key.is_empty(), "--key proves an office to a node; it takes --authority");
        let target = match self.what {
            Target::Entitlement(None, id) => Target::Entitlement(self.campaign, id),
            other => other,
        };
        let told = block_on(async {
            let (source, steps) = self.source.open().await?;
            let told = trace(&source, target).await;
            steps.done();
            Ok(told?)
        })?;
        let told = if self.public { told.without_personal_data() } else { told };
        let text = if self.json { serde_json::to_string(&told)? + "\n" } else { words(&told) };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Trace {
    async fn ask_node(self) -> anyhow::Result<ExitCode> {
        let id = match self.what {
            Target::Transaction(hash) => hash.to_string(),
            Target::Claim(id) => id.to_string(),
            Target::Entitlement(..) => {
                bail!("a node tells the story of a transaction or of a claim; ROUND/INDEX takes the log")
            }
        };
        let story = self.ask.client().await?.look_up(&format!("/v1/trace/{id}")).await?;
        let text = if self.json { format!("{story}\n") } else { told(&story) };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A node's story as text: every field of a step that says more than when and what.
fn told(story: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut told = format!(
        "Campaign {} ({}), as of position {}\n",
        text(&story["campaign"]),
        text(&story["name"]),
        story["as_of"]
    );
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for traced in list(&story["entitlements"]) {
        told += &format!("  {}/{}", traced["round"], traced["index"]);
        list(&traced["paid_by"]).iter().for_each(|hash| told += &format!(", paid by {}", text(hash)));
        told.push('\n');
    }
    for step in list(&story["steps"]) {
        let at = shown(step["recorded_at"].as_u64().unwrap_or_default());
        told += &format!("\n{:>8}  {at}  {}\n", step["seq"], text(&step["kind"]));
        told += &format!("          {}\n", text(&step["says"]));
        let known = ["seq", "recorded_at", "epoch", "kind", "says"];
        let more = step.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
        more.for_each(|(name, value)| told += &format!("          {name}: {}\n", text(value)));
    }
    told
}

/// The story as text, newest first.
pub(crate) fn words(trace: &Traced) -> String {
    let mut text = format!("Campaign {} ({}), as of position {}\n", trace.campaign, trace.name, trace.as_of);
    for traced in &trace.entitlements {
        text += &format!("  {}/{}", traced.id.round, traced.id.index);
        if let (Some(recipient), Some(amount)) = (traced.recipient, traced.amount) {
            text += &format!(": {amount} base units to {recipient}");
        }
        for hash in &traced.paid_by {
            text += &format!(", paid by {hash}");
        }
        text.push('\n');
    }
    for step in &trace.steps {
        text += &format!("\n{:>8}  {}  {}\n", step.seq, shown(step.recorded_at), step.kind);
        for line in details(step) {
            text += &format!("          {line}\n");
        }
    }
    text
}

fn details(step: &Step) -> Vec<String> {
    let mut lines = vec![step.says.clone()];
    let mut line = |text: String| lines.push(text);
    if let Some(batch) = step.batch {
        line(format!("batch {batch}"));
    }
    if let Some(hash) = step.transaction {
        line(format!("transaction {hash}"));
    }
    if let Some(block) = step.block {
        line(format!("block {} {}", block.number, block.hash));
    }
    if let Some(demand) = step.demand {
        line(format!("demand {demand}"));
    }
    if let Some(signed) = step.signed_by {
        line(format!("signed: {signed}"));
    }
    if let Some(valid_at) = step.valid_at {
        line(format!("valid at {}, recorded at {}", shown(valid_at), shown(step.recorded_at)));
    }
    if let Some(reason) = step.reason.as_ref().filter(|reason| !reason.is_empty()) {
        line(format!("reason: {reason}"));
    }
    for who in &step.by {
        line(format!("by {} {} with key {}", who.authority, who.name, who.signer));
    }
    if let Some(mandate) = &step.mandate {
        line(format!(
            "under mandate {} of {}, granted at {}",
            mandate.mandate, mandate.holder, mandate.granted
        ));
        mandate.says.iter().for_each(|rule| line(format!("  {}: {}", rule.id, rule.sentence)));
    }
    if let Some(delegation) = &step.delegation {
        let actions = delegation.actions.join(", ");
        line(format!("by delegation {} of {} for {actions}", delegation.delegation, delegation.authority));
    }
    for rules in &step.rule_sets {
        line(format!("rule set {} {} ({}) of {}", rules.lineage, rules.version, rules.rules, rules.owner));
        for rule in &rules.says {
            let decided = if step.policies.contains(&rule.id) { " (decided)" } else { "" };
            line(format!("  {}{decided}: {}", rule.id, rule.sentence));
        }
    }
    if !step.policies.is_empty() {
        line(format!("deciding policies: {}", step.policies.join(", ")));
    }
    if let Some(cause) = &step.cause {
        line(format!("refused for {}: {}", cause.code, cause.sentence));
    }
    step.attestations.iter().for_each(|uid| line(format!("attestation {uid}")));
    if let Some(person) = step.person {
        line(format!("person {person}"));
    }
    if let (Some(inputs), Some(facts)) = (step.inputs, step.facts) {
        line(format!("facts {inputs} ({facts})"));
    }
    if let Some(block) = step.looked_at {
        line(format!("looked up at block {} {}", block.number, block.hash));
    }
    lines
}
