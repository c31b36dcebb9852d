//! `sluice authority`: institutions with their keys, what they may do, and who acts for them.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{B256, Bytes};
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use sluice_core::amount::Total;
use sluice_core::command::{Action, AuthorityTerms, DelegationTerms, MandateTerms};
use sluice_core::ids::CampaignId;
use sluice_gate::mandate::{Mandate as Text, explain_mandate};

use super::block_on;
use super::order::{Given, Order, OrderArgs, authority_id};
use super::reach::answer;
use super::words;

mod shown;

/// Register institutions and their keys, grant mandates, delegate.
#[derive(Debug, Args)]
pub struct Authority {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an institution outside the Charter known. Takes M institutions of the Charter.
    Register(Register),
    /// Add and revoke keys. An institution signs with a key of its own, or M institutions do.
    Keys(Keys),
    /// Grant and revoke mandates. Takes M institutions.
    #[command(subcommand)]
    Mandate(Mandate),
    /// Let a vendor's key act in the institution's name.
    Delegate(Delegate),
    /// End a delegation.
    Undelegate(Undelegate),
    List(shown::List),
    Show(shown::Show),
}

#[derive(Debug, Args)]
struct Register {
    /// Its name; its id is derived from it as the Charter derives ids, unless --id-of is given.
    name: String,
    /// A key, ERC-7913 signer bytes; an address for an account. May be repeated.
    #[arg(long = "add", value_name = "KEY", required = true, value_parser = words::signer)]
    keys: Vec<Bytes>,
    /// Its id, where it is not derived from the name.
    #[arg(long, value_name = "ID", value_parser = words::id)]
    id_of: Option<B256>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Keys {
    /// Whose: an id or a name.
    #[arg(value_parser = authority_id)]
    institution: B256,
    /// A key to add. May be repeated.
    #[arg(long, value_name = "KEY", value_parser = words::signer)]
    add: Vec<Bytes>,
    /// A key to revoke, for good. May be repeated.
    #[arg(long, value_name = "KEY", value_parser = words::signer)]
    revoke: Vec<Bytes>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Subcommand)]
enum Mandate {
    /// Grant a mandate.
    Grant(Grant),
    /// End a mandate.
    Revoke(Revoke),
    /// Check a mandate's files and say each of its rules as a sentence.
    Explain(Explain),
}

#[derive(Debug, Args)]
struct Grant {
    #[command(flatten)]
    files: MandateFiles,
    #[command(flatten)]
    order: OrderArgs,
}

/// A mandate's two files.
#[derive(Clone, Debug, Args)]
struct MandateFiles {
    /// Who holds it, as TOML: holder, name, version (see sample-data/rules/mandates).
    file: PathBuf,
    /// What it allows, as Cedar; by default the file of the same name with the ending .cedar.
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Who holds it, in place of the file's holder: an id or a name.
    #[arg(long, value_name = "ID|NAME", value_parser = authority_id)]
    holder: Option<B256>,
}

#[derive(Debug, Args)]
struct Explain {
    #[command(flatten)]
    files: MandateFiles,
    /// Print the sentences as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The mandate's id, as `grant` printed it.
    #[arg(value_name = "MANDATE", value_parser = words::id)]
    id_of: B256,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Delegate {
    /// Who delegates: an id or a name. It signs with a key of its own.
    #[arg(value_parser = authority_id)]
    institution: B256,
    /// The vendor's key, ERC-7913 signer bytes; an address for an account.
    #[arg(value_parser = words::signer)]
    vendor: Bytes,
    /// What it may do: names of actions as in mandates. May be repeated.
    #[arg(long = "may", value_name = "ACTION", required = true)]
    actions: Vec<String>,
    /// Last second at which the vendor's commands are taken, Unix seconds.
    #[arg(long, value_name = "SECONDS")]
    expires_at: u64,
    /// Under which of the institution's mandates; by the Charter's power where none is named.
    #[arg(long, value_name = "ID", value_parser = words::id)]
    under: Option<B256>,
    /// Only in this campaign.
    #[arg(long, value_name = "ID")]
    campaign: Option<CampaignId>,
    /// In all, base units.
    #[arg(long, value_name = "BASE", value_parser = base_units)]
    amount_max: Option<Total>,
    /// Items in all.
    #[arg(long, value_name = "N")]
    count_max: Option<u64>,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Undelegate {
    /// The delegation's id, as `delegate` printed it.
    #[arg(value_name = "DELEGATION", value_parser = words::id)]
    id_of: B256,
    #[command(flatten)]
    order: OrderArgs,
}

impl Authority {
    /// Does it.
    ///
    /// # Errors
    /// When a file is wrong, or the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Register(register) => register.run().await,
                What::Keys(keys) => keys.run().await,
                What::Mandate(Mandate::Grant(grant)) => grant.run().await,
                What::Mandate(Mandate::Revoke(revoke)) => revoke.run().await,
                What::Mandate(Mandate::Explain(explain)) => explain.run(),
                What::Delegate(delegate) => delegate.run().await,
                What::Undelegate(undelegate) => undelegate.run().await,
                What::List(list) => list.run().await,
                What::Show(show) => show.run().await,
            }
        })
    }
}

impl Register {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let authority = match self.id_of {
            Some(id) => id,
            None => authority_id(&self.name).map_err(anyhow::Error::msg)?,
        };
        let terms = AuthorityTerms { authority, name: self.name.clone(), signers: self.keys };
        let purpose = format!("register {} as {authority}", self.name);
        let order = Order::to_log(purpose, Action::RegisterAuthority(terms));
        self.order.give(order, |_| vec![("authority", authority.to_string())]).await
    }
}

impl Keys {
    async fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            !self.add.is_empty() || !self.revoke.is_empty(),
            "--add KEY and --revoke KEY say what changes; give one of them"
        );
        let purpose =
            format!("change keys of {}: add {:?}, revoke {:?}", self.institution, self.add, self.revoke);
        let action = Action::ChangeKeys { authority: self.institution, add: self.add, revoke: self.revoke };
        self.order.give(Order::to_log(purpose, action), |_| Vec::new()).await
    }
}

impl MandateFiles {
    fn read(&self) -> anyhow::Result<(Text, sluice_gate::mandate::CompiledMandate)> {
        let text = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let policies = self.policies.clone().unwrap_or_else(|| self.file.with_extension("cedar"));
        let (mut manifest, policies) = (text(&self.file)?, text(&policies)?);
        if let Some(holder) = self.holder {
            let mut table: toml::Table =
                toml::from_str(&manifest).with_context(|| format!("{} is no TOML", self.file.display()))?;
            table.insert("holder".to_owned(), toml::Value::String(holder.to_string()));
            manifest = toml::to_string(&table)?;
        }
        Text::build(&manifest, &policies)
            .with_context(|| format!("{} is no mandate that can be granted", self.file.display()))
    }
}

impl Grant {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let (mandate, _) = self.files.read()?;
        let purpose = format!("grant {} the mandate {} {}", mandate.holder, mandate.name, mandate.version);
        let terms = MandateTerms { holder: mandate.holder, text: mandate.encode().into() };
        let order = Order::to_log(purpose, Action::GrantMandate(terms));
        self.order.give(order, named).await
    }
}

impl Explain {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (mandate, compiled) = self.files.read()?;
        let rules = explain_mandate(&compiled);
        let value = serde_json::json!({ "holder": mandate.holder, "name": mandate.name, "rules": rules });
        let facts: Vec<(&str, String)> =
            rules.iter().map(|rule| (rule.id.as_str(), rule.sentence.clone())).collect();
        answer(self.json, &value, &facts)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Revoke {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let order = Order::to_log(
            format!("end mandate {}", self.id_of),
            Action::RevokeMandate { mandate: self.id_of },
        );
        self.order.give(order, |_| Vec::new()).await
    }
}

impl Delegate {
    async fn run(mut self) -> anyhow::Result<ExitCode> {
        for name in &self.actions {
            ensure!(
                Action::NAMES.contains(&name.as_str()),
                "--may {name}: there is no such action; there are {}",
                Action::NAMES.join(", ")
            );
        }
        let terms = DelegationTerms {
            authority: self.institution,
            mandate: self.under.unwrap_or_default(),
            vendor: self.vendor,
            actions: self.actions,
            campaign: self.campaign,
            amount_max: self.amount_max,
            count_max: self.count_max,
            expires_at: self.expires_at.saturating_mul(1_000),
        };
        self.order.authority.get_or_insert(self.institution);
        let purpose = format!("let {} do {:?} for {}", terms.vendor, terms.actions, terms.authority);
        let order = Order::to_log(purpose, Action::Delegate(terms));
        self.order.give(order, named).await
    }
}

impl Undelegate {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let order = Order::to_log(
            format!("end delegation {}", self.id_of),
            Action::RevokeDelegation { delegation: self.id_of },
        );
        self.order.give(order, |_| Vec::new()).await
    }
}

/// The id that a mandate or a delegation has from now on.
fn named(given: &Given) -> Vec<(&'static str, String)> {
    match &given.command.action {
        Action::GrantMandate(terms) => vec![("mandate", terms.id(given.id).to_string())],
        Action::Delegate(terms) => vec![("delegation", terms.id(given.id).to_string())],
        _ => Vec::new(),
    }
}

fn base_units(text: &str) -> Result<Total, String> {
    Total::parse_base(text).map_err(|error| error.to_string())
}
