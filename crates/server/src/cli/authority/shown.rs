//! `sluice authority list` and `show`: who the institutions are, and what they may do.

use std::process::ExitCode;

use alloy_primitives::B256;
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::api_client::{AuthorityInfo, DelegationInfo, MandateInfo};
use crate::cli::order::authority_id;
use crate::cli::reach::{NodeArgs, answer};
use crate::cli::time::shown;

/// Show the institutions and their keys: the Charter's, and those registered in the log.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

/// Show one institution: its keys, its mandates in words with what was done under them, its delegations.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which: an id or a name.
    #[arg(value_parser = authority_id)]
    institution: B256,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let (charter, all) = (api.charter().await?, api.authorities().await?);
        let value = json!({ "threshold": charter.threshold, "institutions": all });
        let chartered = all.iter().filter(|institution| institution.chartered).count();
        let mut facts =
            vec![("needed", format!("{} of the Charter's {chartered} institutions", charter.threshold))];
        for institution in &all {
            let keys: Vec<String> = institution.in_force().map(ToString::to_string).collect();
            facts.push(("institution", format!("{}: {}", called(institution), keys.join(", "))));
        }
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let api = self.node.client()?;
        let all = api.authorities().await?;
        let found = all.into_iter().find(|known| known.authority == self.institution).with_context(|| {
            format!("no institution has the id {}; `sluice authority list` shows them", self.institution)
        })?;
        let mut mandates = api.mandates().await?;
        mandates.retain(|mandate| mandate.holder == found.authority);
        let mut delegations = api.delegations().await?;
        delegations.retain(|delegation| delegation.authority == found.authority);
        let mut facts = vec![("institution", called(&found))];
        facts.extend(found.in_force().map(|key| ("key", key.to_string())));
        facts.extend(found.revoked.iter().map(|(key, at)| ("revoked", format!("{key} at position {at}"))));
        mandates.iter().for_each(|mandate| facts.extend(mandate_words(mandate)));
        facts.extend(delegations.iter().map(|delegation| ("delegation", delegation_words(delegation))));
        let mut value: Value = serde_json::to_value(&found)?;
        value["mandates"] = json!(mandates);
        value["delegations"] = json!(delegations);
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn called(institution: &AuthorityInfo) -> String {
    let AuthorityInfo { authority, name, chartered, .. } = institution;
    let place = if *chartered { "in the Charter" } else { "registered in the log" };
    if name.is_empty() { format!("{authority}, {place}") } else { format!("{authority} ({name}), {place}") }
}

fn mandate_words(mandate: &MandateInfo) -> Vec<(&'static str, String)> {
    let MandateInfo { mandate: id, ended, spent, rules, .. } = mandate;
    let ended = if *ended { ", ended" } else { "" };
    let done = format!("{id}{ended}; done under it: {} items, {} base units", spent.count, spent.amount);
    let rule = |rule: &crate::api_client::RuleInfo| ("", format!("{}: {}", rule.id, rule.sentence));
    [("mandate", done)].into_iter().chain(rules.iter().map(rule)).collect()
}

fn delegation_words(delegation: &DelegationInfo) -> String {
    let DelegationInfo { delegation: id, vendor, actions, expires_at, ended, spent, .. } = delegation;
    let until = if *ended { "ended".to_owned() } else { format!("until {}", shown(*expires_at)) };
    let mut text = format!("{id}: key {vendor} may {}, {until}", actions.join(", "));
    if let Some(campaign) = delegation.campaign {
        text += &format!(", in campaign {campaign}");
    }
    if let Some(most) = &delegation.amount_max {
        text += &format!(", at most {most} base units");
    }
    if let Some(most) = delegation.count_max {
        text += &format!(", at most {most} items");
    }
    text + &format!("; done under it: {} items, {} base units", spent.count, spent.amount)
}
