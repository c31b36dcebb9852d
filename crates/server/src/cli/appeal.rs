//! `sluice appeal`: asking that another authority look at a decision, and its answer.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use sluice_core::command::{Action, AppealAbout};
use sluice_core::ids::{CampaignId, EntitlementId, RoundNo, Seq};

use super::block_on;
use super::order::{Order, OrderArgs, give_as_person};

/// File and answer appeals.
#[derive(Debug, Args)]
pub struct Appeal {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Appeal against a decision. The listed address signs, or the person's; or an office with --mandate.
    #[command(subcommand)]
    File(File),
    /// Answer an appeal. Another authority than the one appealed against signs.
    Answer(Answer),
}

#[derive(Debug, Subcommand)]
enum File {
    /// Against a hold, by the position of the entry that placed it.
    Hold {
        /// The position.
        hold: Seq,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Against the annulment of an entitlement.
    Void(Entitlement),
    /// Against the refusal of claims on an entitlement.
    Refusal(Entitlement),
}

#[derive(Debug, Args)]
struct Entitlement {
    /// The campaign.
    campaign: CampaignId,
    /// The round.
    round: RoundNo,
    /// The entitlement's index.
    index: u64,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
struct Answer {
    /// The position of the entry that filed it.
    appeal: Seq,
    /// Whether the appeal is right. One that is upheld against a hold ends the hold.
    #[arg(value_enum)]
    answer: Upheld,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Upheld {
    Upheld,
    Rejected,
}

impl Appeal {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::File(File::Hold { hold, order }) => file(&order, AppealAbout::Hold { hold }).await,
                What::File(File::Void(of)) => {
                    file(&of.order, AppealAbout::Void { campaign: of.campaign, entitlement: of.id() }).await
                }
                What::File(File::Refusal(of)) => {
                    let about = AppealAbout::Refusal { campaign: of.campaign, entitlement: of.id() };
                    file(&of.order, about).await
                }
                What::Answer(answer) => answer.run().await,
            }
        })
    }
}

impl Entitlement {
    const fn id(&self) -> EntitlementId {
        EntitlementId { round: self.round, index: self.index }
    }
}

impl Answer {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let upheld = self.answer == Upheld::Upheld;
        let word = if upheld { "uphold" } else { "reject" };
        let action = Action::AnswerAppeal { appeal: self.appeal, upheld };
        let order = Order::to_log(format!("{word} appeal {}", self.appeal), action);
        self.order.give(order, |_| Vec::new()).await
    }
}

async fn file(args: &OrderArgs, about: AppealAbout) -> anyhow::Result<ExitCode> {
    let order = Order::to_log(format!("appeal against {about:?}"), Action::FileAppeal { about });
    let named = |given: &super::order::Given| vec![("appeal", given.seq.to_string())];
    match args.mandate {
        Some(_) => args.give(order, named).await,
        None => give_as_person(args, order, named).await,
    }
}
