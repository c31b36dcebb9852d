//! `sluice person`: which address receives for a person.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{Address, B256};
use anyhow::Context;
use clap::{Args, Subcommand};
use sluice_core::command::Action;

use super::block_on;
use super::order::{Order, OrderArgs, give_as_person, listed_actions};
use super::words;

/// Bind persons to the addresses that receive for them, and change those.
#[derive(Debug, Args)]
pub struct Person {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say which address receives for a person. A registrar signs, under its mandate.
    Bind(Bind),
    /// Move to another address. The address that receives now signs; or a registrar with --mandate.
    Payee(Payee),
}

#[derive(Debug, Args)]
struct Bind {
    /// The registrar's id of the person.
    #[arg(required_unless_present = "list", requires = "payee", value_parser = words::id)]
    person: Option<B256>,
    /// Where the person is paid.
    #[arg(value_parser = words::address)]
    payee: Option<Address>,
    /// Bind many under one signature: a CSV file with the columns person and payee.
    #[arg(long, value_name = "FILE", conflicts_with = "person")]
    list: Option<PathBuf>,
    /// The jurisdiction the person belongs to, as mandates name it: DE, or DE-BE, which lies in DE.
    #[arg(long, value_name = "TAG", default_value = "", value_parser = super::reach::jurisdiction)]
    jurisdiction: String,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Payee {
    /// The person.
    #[arg(value_parser = words::id)]
    person: B256,
    /// Where the person is paid from now on.
    #[arg(value_parser = words::address)]
    payee: Address,
    #[command(flatten)]
    order: OrderArgs,
}

impl Person {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Bind(bind) => bind.run().await,
                What::Payee(payee) => payee.run().await,
            }
        })
    }
}

impl Bind {
    async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(list) = &self.list {
            let actions = listed_actions(list, &["person", "payee"], |row| {
                let (person, payee) = (row.get("person", words::id)?, row.get("payee", words::address)?);
                Ok(Action::BindPerson { person, payee, jurisdiction: self.jurisdiction.clone() })
            })?;
            return self.order.give_list(actions).await;
        }
        let person = self.person.context("PERSON and PAYEE, or --list FILE")?;
        let payee = self.payee.context("PAYEE says where the person is paid")?;
        let bind = Action::BindPerson { person, payee, jurisdiction: self.jurisdiction.clone() };
        let order = Order::to_log(format!("pay {person} at {payee}"), bind);
        self.order.give(order, |_| Vec::new()).await
    }
}

impl Payee {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let action = Action::ChangePayee { person: self.person, payee: self.payee };
        let order = Order::to_log(format!("pay {} at {} from now on", self.person, self.payee), action);
        match self.order.mandate {
            Some(_) => self.order.give(order, |_| Vec::new()).await,
            None => give_as_person(&self.order, order, |_| Vec::new()).await,
        }
    }
}
