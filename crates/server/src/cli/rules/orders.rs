//! `sluice rules propose`, `approve`, `activate` and `retire`: a rule set on its way into force and out of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::B256;
use anyhow::{Context, ensure};
use clap::Args;
use sluice_core::command::{Action, RulesTerms};
use sluice_core::limits::RULES_BYTES_MAX;

use super::source;
use crate::cli::block_on;
use crate::cli::order::{Order, OrderArgs};

/// Propose a rule set; its owner signs. Nobody is paid by it before others approved it and it was activated.
#[derive(Debug, Args)]
pub(super) struct Propose {
    /// A folder with rules.toml and policies.cedar or table.csv, or a built file.
    rules: PathBuf,
    #[command(flatten)]
    order: OrderArgs,
}

impl Propose {
    pub(super) fn run(mut self) -> anyhow::Result<ExitCode> {
        let read = source::right(&self.rules)?;
        if let Some(failure) = source::never_permitted(&read).first() {
            anyhow::bail!("{}: {failure}; it could not be activated", self.rules.display());
        }
        let manifest = read.compiled.manifest();
        let text = read.set.encode();
        ensure!(
            text.len() <= RULES_BYTES_MAX,
            "{}: {} bytes; the log takes rule sets of up to {RULES_BYTES_MAX}",
            self.rules.display(),
            text.len()
        );
        let terms =
            RulesTerms { owner: manifest.owner, lineage: manifest.lineage.clone(), text: text.into() };
        // Only its owner may propose it, so nobody has to say in whose name.
        self.order.authority.get_or_insert(manifest.owner);
        let (name, lineage) = (terms.hash(), terms.lineage_id());
        let purpose = format!("propose rules {name}: {} {}", manifest.lineage, manifest.version);
        let order = Order::to_log(purpose, Action::ProposeRules(terms));
        let more = |_: &_| vec![("rules", name.to_string()), ("lineage", lineage.to_string())];
        block_on(self.order.give(order, more))
    }
}

/// Approve a proposed rule set. The proposer does not approve; each institution counts once.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The rule set's name (64 hexadecimal digits), or its folder or built file.
    rules: PathBuf,
    #[command(flatten)]
    order: OrderArgs,
}

impl Approve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let rules = name_of(&self.rules)?;
        give(&self.order, rules, "approve", Action::ApproveRules { rules })
    }
}

/// Put an approved rule set into force, in place of its lineage's last. Its owner signs, or M institutions.
#[derive(Debug, Args)]
pub(super) struct Activate {
    /// The rule set's name (64 hexadecimal digits), or its folder or built file.
    rules: PathBuf,
    /// When, Unix seconds; at the command's own position by default.
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
    #[command(flatten)]
    order: OrderArgs,
}

impl Activate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let rules = name_of(&self.rules)?;
        let at = self.at.unwrap_or(0).saturating_mul(1_000);
        give(&self.order, rules, "activate", Action::ActivateRules { rules, at })
    }
}

/// Take a rule set out of force without another in its place: its gates then permit nothing.
#[derive(Debug, Args)]
pub(super) struct Retire {
    /// The rule set's name (64 hexadecimal digits), or its folder or built file.
    rules: PathBuf,
    #[command(flatten)]
    order: OrderArgs,
}

impl Retire {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let rules = name_of(&self.rules)?;
        give(&self.order, rules, "retire", Action::RetireRules { rules })
    }
}

fn give(order: &OrderArgs, rules: B256, verb: &str, action: Action) -> anyhow::Result<ExitCode> {
    let purpose = format!("{verb} rules {rules}");
    block_on(order.give(Order::to_log(purpose, action), |_| vec![("rules", rules.to_string())]))
}

/// A rule set's name, given as such or by the texts it names.
fn name_of(rules: &Path) -> anyhow::Result<B256> {
    if let Some(name) = rules.to_str().and_then(|text| text.parse().ok())
        && !rules.exists()
    {
        return Ok(name);
    }
    let read = source::right(rules)
        .with_context(|| format!("{} is no rule set's name (64 hexadecimal digits)", rules.display()))?;
    Ok(read.compiled.hash().0.into())
}
