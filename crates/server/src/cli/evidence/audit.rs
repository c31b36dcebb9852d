//! `sluice audit`: what stood at a position, claims decided again, and payments that later knowledge made wrong.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_core::ids::DemandId;
use sluice_engine::evidence::audit::{Again, Redecided, Which, redecide};
use sluice_engine::evidence::late::{LatePayment, late};
use sluice_engine::evidence::standing::{Standing, Until, standing};

use super::SourceArgs;
use crate::cli::block_on;
use crate::cli::time::{shown, until};

/// Replay the log: see what stood at a position or time, decide claims again, find what was wrong as known now.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["at", "claim", "all", "every", "late"])))]
pub struct Audit {
    /// Show State and the rules in force at a position or a time (2026-03-01T12:00:00Z).
    #[arg(long, value_name = "SEQ|TIME", value_parser = until)]
    at: Option<Until>,
    /// Decide this claim again.
    #[arg(long, value_name = "ID")]
    claim: Option<DemandId>,
    /// Decide every claim again that asked a gate.
    #[arg(long)]
    all: bool,
    /// Decide every claim again, gated or not.
    #[arg(long)]
    every: bool,
    /// List payments right as known then and wrong as known now, with the entries that changed it.
    #[arg(long)]
    late: bool,
    #[command(flatten)]
    source: SourceArgs,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Prints what was found. The exit code is not zero when a decision comes out otherwise.
    ///
    /// # Errors
    /// When the log cannot be read, or was changed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let (source, steps) = self.source.open().await?;
            if let Some(at) = self.at {
                let standing = standing(&source, at).await;
                steps.done();
                let standing = standing?;
                let text =
                    if self.json { serde_json::to_string(&standing)? + "\n" } else { words(&standing) };
                std::io::stdout().lock().write_all(text.as_bytes())?;
                return Ok(ExitCode::SUCCESS);
            }
            if self.late {
                let found = late(&source).await;
                steps.done();
                for payment in found? {
                    let text =
                        if self.json { serde_json::to_string(&payment)? } else { late_words(&payment) };
                    println!("{text}");
                }
                return Ok(ExitCode::SUCCESS);
            }
            let which = match (self.claim, self.every) {
                (Some(id), _) => Which::Claim(id),
                (None, true) => Which::All,
                (None, false) => Which::Gated,
            };
            let tally = redecide(&source, which, |claim| {
                // Of many, those that agree are counted.
                if self.json || self.claim.is_some() || claim.again != Again::Equal {
                    let line = if self.json { json!(claim).to_string() } else { again_words(claim) };
                    steps.aside(|| println!("{line}"));
                }
            })
            .await;
            steps.done();
            let tally = tally?;
            match self.json {
                true => println!("{}", json!({ "tally": tally })),
                false => println!(
                    "{} equal, {} different, {} erased, {} sealed, {} by what is not in the log",
                    tally.equal, tally.different, tally.erased, tally.sealed, tally.outside
                ),
            }
            Ok(if tally.different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

fn again_words(claim: &Redecided) -> String {
    let again = match &claim.again {
        Again::Equal => "equal".to_owned(),
        Again::Different { what } => format!("DIFFERENT: {}", what.join("; ")),
        Again::Sealed => format!("sealed: the facts {} are there, and take --seal-key", claim.inputs),
        Again::Erased => format!("erased: the facts {} are gone, their hash stands", claim.inputs),
        Again::Outside => "rests on the signature or the list, which are not in the log".to_owned(),
    };
    let mut text = format!(
        "{:>8}  claim {} on {}/{}: {} (accepted {}, recorded {}): {again}",
        claim.seq,
        claim.claim,
        claim.entitlement.round,
        claim.entitlement.index,
        claim.decision,
        shown(claim.accepted_at),
        shown(claim.recorded_at)
    );
    for rules in &claim.rule_sets {
        text += &format!("\n          rule set {rules}");
    }
    if !claim.policies.is_empty() {
        text += &format!("\n          deciding policies: {}", claim.policies.join(", "));
    }
    if let Some(cause) = &claim.cause {
        text += &format!("\n          refused for {}: {}", cause.code, cause.sentence);
    }
    text
}

fn late_words(payment: &LatePayment) -> String {
    let mut text = format!(
        "{}/{} of campaign {}: decided at {} ({}), {}",
        payment.entitlement.round,
        payment.entitlement.index,
        payment.campaign,
        payment.decided,
        shown(payment.recorded_at),
        payment.state
    );
    for change in &payment.changed_by {
        text += &format!(
            "\n  {} at {}: valid at {}, recorded at {}, by {}: {}",
            change.action,
            change.seq,
            shown(change.valid_at),
            shown(change.recorded_at),
            change.by,
            change.reason
        );
    }
    text
}

fn words(standing: &Standing) -> String {
    let mut text = format!(
        "Position {} of epoch {}, recorded at {}\nroot  {}\nstate {}\n",
        standing.seq,
        standing.epoch,
        shown(standing.recorded_at),
        standing.root,
        standing.state_hash
    );
    for campaign in &standing.campaigns {
        text += &format!("\nCampaign {} ({})", campaign.campaign, campaign.name);
        text += &campaign.stopped.map_or(String::new(), |code| format!(", stopped: {code}"));
        text += &format!(
            "\n  base units free {}, reserved {}, paid {}, voided {}; {} entitlements held\n",
            campaign.free, campaign.reserved, campaign.paid, campaign.voided, campaign.held
        );
        for round in &campaign.rounds {
            text += &format!(
                "  round {}: {}, {} entitlements of {} base units, gate {}\n",
                round.round, round.phase, round.count, round.total, round.gate
            );
        }
        for gate in &campaign.gates {
            let rules: Vec<String> = gate.rule_sets.iter().map(ToString::to_string).collect();
            text += &format!("  gate {} asks {}\n", gate.version, rules.join(", "));
        }
    }
    text += "\nRule sets\n";
    for rules in &standing.rule_sets {
        text += &format!(
            "  {} {} ({}) of {}: {} since {}\n",
            rules.lineage, rules.version, rules.rules, rules.owner, rules.phase, rules.since
        );
        for rule in &rules.rules_in_words {
            text += &format!("    {}: {}\n", rule.id, rule.sentence);
        }
    }
    for mandate in &standing.mandates {
        text += &format!(
            "Mandate {} of {} since {}: {} items, {} base units done\n",
            mandate.mandate, mandate.holder, mandate.since, mandate.items, mandate.spent
        );
    }
    for delegation in &standing.delegations {
        text += &format!(
            "Delegation {} of {} to {} for {} until {}\n",
            delegation.delegation,
            delegation.authority,
            delegation.vendor,
            delegation.actions.join(", "),
            shown(delegation.expires_at)
        );
    }
    for hold in &standing.holds {
        text += &format!(
            "Hold {} on {} ({} entitlements) by {} until {}\n",
            hold.hold,
            hold.on,
            hold.covers,
            hold.placed_by,
            shown(hold.until)
        );
    }
    text + &format!(
        "{} persons, {} attestations revoked, {} appeals waiting\n",
        standing.persons, standing.revoked, standing.appeals
    )
}
