//! `sluice erase`: deletes data about somebody, with the keys under which it lies.

use std::process::ExitCode;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::json;

use super::block_on;
use super::reach::{NodeArgs, answer};

/// Erase what is kept about somebody.
///
/// The log stays, and proves the same; what is erased is gone with its keys from the database and its replicas, not from backups made before, nor from exports that were made with the seal key, and what offices wrote as a reason was never sealed.
#[derive(Debug, Args)]
pub struct Erase {
    #[command(subcommand)]
    whom: Whom,
}

#[derive(Debug, Subcommand)]
enum Whom {
    /// A person: what gates' policies saw of their claims, and attestations about them. Takes the operator's key (--api-key-file).
    Person {
        /// The registrar's id of the person.
        person: B256,
        #[command(flatten)]
        how: How,
    },
    /// A recipient whom lists name without a person. Takes the operator's key (--api-key-file).
    Recipient {
        /// The address.
        recipient: Address,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Why, in a few words without personal data; it is kept.
    #[arg(long)]
    reason: String,
    /// Also while decided payments of theirs wait for their gate's word. It may never come then: void them.
    #[arg(long)]
    although_unpaid: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Erase {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (mut whom, how) = match self.whom {
            Whom::Person { person, how } => (json!({ "person": person }), how),
            Whom::Recipient { recipient, how } => (json!({ "recipient": recipient }), how),
        };
        whom["reason"] = json!(how.reason);
        whom["although_unpaid"] = json!(how.although_unpaid);
        let erased = block_on(async { Ok(how.node.client()?.erase(&whom).await?) })?;
        let count = |name: &str| erased[name].to_string();
        let lines = [
            ("facts", format!("{} deleted with their keys", count("facts"))),
            (
                "attestations",
                format!(
                    "{} deleted with their keys, {} of them about others, too",
                    count("attestations"),
                    count("shared")
                ),
            ),
            ("as of position", count("seq")),
        ];
        answer(how.json, &erased, &lines)?;
        Ok(ExitCode::SUCCESS)
    }
}
