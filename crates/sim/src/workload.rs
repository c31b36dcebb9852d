//! What clients do: who claims how and when, drawn from the seed, and the doing of it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, keccak256};
use anyhow::Context;
use futures::future::try_join_all;
use serde_json::json;
use sluice_chain::At;
use sluice_core::command::Action;
use sluice_core::ids::DemandId;
use sluice_server::api_client::{ApiClient, ApiError};
use sluice_server::cli::sign::papers::Papers;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{Claim, Client};
use crate::ground::{Field, ROUND, Servers};
use crate::records::{Handed, Pushed, Verdict};
use crate::seed::Seed;

/// Coin a wallet is given before it pays itself, wei: far more than one claim costs at any base fee that is drawn.
const COIN: &str = "0xde0b6b3a7640000";
/// How long a wallet's transaction may take before it is tried again.
const OWN_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks of a wallet at its own payment.
const OWN_LOOK: Duration = Duration::from_millis(400);
/// How long a push waits before it is tried again.
const PUSH_AGAIN: Duration = Duration::from_millis(400);
/// How long one try to push may take.
const PUSH_WITHIN: Duration = Duration::from_secs(20);

/// What happens with an entitlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Nobody asks for it; it may lie in a pushed range.
    Idle,
    /// A signed claim.
    Plain,
    /// A signed claim to another address.
    Redirected,
    /// The same claim to both nodes at once, under one id.
    SameIdTwice,
    /// Two different claims to both nodes at once, under one id.
    OneIdTwoBodies,
    /// Two claims with ids of their own, to both nodes at once.
    TwoIds,
    /// The wallet's own transaction.
    SelfPaid,
    /// A signed claim and the wallet's own transaction at once.
    Raced,
}

/// One thing that clients do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Which campaign.
    pub(crate) field: usize,
    pub(crate) when: When,
    /// So much later.
    pub(crate) after: Duration,
    /// The node that is asked first.
    pub(crate) slot: usize,
    pub(crate) ids: [DemandId; 2],
    pub(crate) what: What,
}

/// When a task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// In this round of faults.
    Round(usize),
    /// When so many claims were called for, because a fault waits for a statement that nobody makes.
    Called(usize),
}

/// How far the run has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The round of faults.
    pub(crate) round: usize,
    /// Claims called for.
    pub(crate) called: usize,
}

impl Progress {
    fn reaches(&self, when: When) -> bool {
        match when {
            When::Round(round) => self.round >= round,
            When::Called(number) => self.called > number,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Claim { index: u64, role: Role },
    Push { from: u64, to: u64 },
}

/// The whole workload, from the seed: about two thirds of each list are claimed one way or another, most of the rest
/// is pushed in ranges that also cover claimed entitlements, some are claimed when a fault calls for it, and some are
/// never asked for.
pub(crate) fn draw(seed: &Seed, counts: &[u64], rounds: usize) -> Vec<Task> {
    let mut seed = seed.fork("workload");
    let mut tasks = Vec::new();
    for (field, count) in counts.iter().enumerate() {
        let claimed = count * 2 / 3;
        for index in 0..claimed {
            let role = role(seed.below(100));
            if role != Role::Idle {
                tasks.push(task(&mut seed, field, rounds, What::Claim { index, role }));
            }
        }
        // Of the claimed part a fifth is pushed, the last eighth is not.
        let (mut from, end) = (claimed * 4 / 5, count - count / 8);
        while from < end {
            let to = (from + seed.between(8, count / 8 + 9)).min(end);
            tasks.push(task(&mut seed, field, rounds, What::Push { from, to }));
            from = to;
        }
        for index in end..count - count / 20 {
            let mut called = task(&mut seed, field, rounds, What::Claim { index, role: Role::Plain });
            called.when = When::Called(
                usize::try_from(index - end).expect("a list of this size") * counts.len() + field,
            );
            called.after = Duration::ZERO;
            tasks.push(called);
        }
    }
    tasks
}

fn role(of_hundred: u64) -> Role {
    match of_hundred {
        0..40 => Role::Plain,
        40..55 => Role::Redirected,
        55..63 => Role::SameIdTwice,
        63..69 => Role::OneIdTwoBodies,
        69..77 => Role::TwoIds,
        77..84 => Role::SelfPaid,
        84..93 => Role::Raced,
        _ => Role::Idle,
    }
}

fn task(seed: &mut Seed, field: usize, rounds: usize, what: What) -> Task {
    Task {
        field,
        when: When::Round(usize::try_from(seed.below(rounds as u64)).expect("a number of rounds")),
        after: Duration::from_millis(seed.below(1_500)),
        slot: seed.slot(),
        ids: [DemandId(seed.uuid()), DemandId(seed.uuid())],
        what,
    }
}

/// Where the tasks run.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) servers: Arc<Servers>,
    pub(crate) fields: Arc<Vec<Field>>,
    pub(crate) client: Client,
    pub(crate) apis: [ApiClient; 2],
}

impl Stage {
    /// Does one task when its time comes, to its very end.
    pub(crate) async fn run(
        &self,
        task: Task,
        mut progress: watch::Receiver<Progress>,
    ) -> anyhow::Result<()> {
        progress.wait_for(|now| now.reaches(task.when)).await.context("the test was given up")?;
        tokio::time::sleep(task.after).await;
        let field = &self.fields[task.field];
        match task.what {
            What::Push { from, to } => self.push(field, &task, from, to).await,
            What::Claim { index, role } => self.claim(field, &task, index, role).await,
        }
    }

    async fn claim(&self, field: &Field, task: &Task, index: u64, role: Role) -> anyhow::Result<()> {
        let [one, other] = task.ids;
        let (here, there) = (task.slot, 1 - task.slot);
        let elsewhere = Some(elsewhere(field, index));
        match role {
            Role::Idle => Ok(()),
            Role::Plain => self.hand_in(field, one, index, None, here).await,
            Role::Redirected => self.hand_in(field, one, index, elsewhere, here).await,
            Role::SameIdTwice => self.both(field, index, (one, None, here), (one, None, there)).await,
            Role::OneIdTwoBodies => self.both(field, index, (one, None, here), (one, elsewhere, there)).await,
            Role::TwoIds => self.both(field, index, (one, None, here), (other, elsewhere, there)).await,
            Role::SelfPaid => self.pay_itself(field, index).await,
            Role::Raced => {
                let relayed = self.hand_in(field, one, index, None, here);
                tokio::try_join!(relayed, self.pay_itself(field, index)).map(|_| ())
            }
        }
    }

    async fn both(
        &self,
        field: &Field,
        index: u64,
        one: (DemandId, Option<Address>, usize),
        other: (DemandId, Option<Address>, usize),
    ) -> anyhow::Result<()> {
        try_join_all([one, other].map(|(id, to, slot)| self.hand_in(field, id, index, to, slot))).await?;
        Ok(())
    }

    async fn hand_in(
        &self,
        field: &Field,
        id: DemandId,
        index: u64,
        to: Option<Address>,
        slot: usize,
    ) -> anyhow::Result<()> {
        let demand = field.claim(index, to)?;
        let claim = Claim { campaign: field.campaign, id, demand };
        let (acknowledged, verdict) = self.client.hand_in(&claim, slot).await?;
        if matches!(verdict, Verdict::Decided(_)) {
            self.client.fetch_receipt(&claim, 1 - slot).await?;
            if !self.client.follow(&claim, slot).await? {
                let what = format!("claim {id} of entitlement {index} was decided and did not become final");
                self.client.records().wrong(what);
            }
        }
        let redirected = to.is_some();
        let to = claim.demand.to;
        let campaign = field.campaign;
        let handed = Handed { campaign, index, id, to, redirected, acknowledged, verdict };
        self.client.records().handed.lock().expect("no panic inside").push(handed);
        Ok(())
    }

    /// The wallet's own claim on chain, until the payment, by whomever, is final there.
    async fn pay_itself(&self, field: &Field, index: u64) -> anyhow::Result<()> {
        self.client.records().self_paid.lock().expect("no panic inside").insert((field.campaign, index));
        let operator = &self.servers.prepared.operator;
        let wallet = field.wallet(index).address();
        while Instant::now() < self.client.end() {
            // While blocks vanish the chain's node does not always have a head.
            if let Ok(head) = operator.chain.head().await
                && self.is_paid(field, index, At::Block(head.finalized)).await?
            {
                return Ok(());
            }
            if !self.is_paid(field, index, At::Latest).await? {
                // A reorganisation may have taken the coin given before.
                self.servers.anvil("anvil_setBalance", json!([wallet, COIN])).await?;
                let sending = field.claim_on_chain(operator, index);
                // Whatever came of it, the bitmap tells.
                let _ = tokio::time::timeout(OWN_WITHIN, sending).await;
            }
            tokio::time::sleep(OWN_LOOK).await;
        }
        anyhow::bail!("wallet {wallet} could not pay itself entitlement {index}")
    }

    async fn is_paid(&self, field: &Field, index: u64, at: At) -> anyhow::Result<bool> {
        let chain = &self.servers.prepared.chain;
        match chain.paid_words(field.distributor.address, ROUND, [index / 256], at).await {
            Ok(words) => {
                let bit = usize::try_from(index % 256)?;
                Ok(words.first().is_some_and(|word| word[bit / 64] >> (bit % 64) & 1 == 1))
            }
            // The block just vanished.
            Err(error) => {
                tracing::debug!(error = %error, "the bitmap could not be read");
                Ok(false)
            }
        }
    }

    /// A push, under the same id until it is answered, and under a new one when it was signed for an older version.
    async fn push(&self, field: &Field, task: &Task, from: u64, to: u64) -> anyhow::Result<()> {
        let mut slot = task.slot;
        let mut papers: Option<Papers> = None;
        while Instant::now() < self.client.end() {
            let tried =
                tokio::time::timeout(PUSH_WITHIN, self.try_push(field, (from, to), slot, &mut papers));
            let done = match tried.await {
                Ok(Ok(done)) => done,
                Ok(Err(error)) => {
                    tracing::debug!(error = format!("{error:#}"), "a push was not answered");
                    false
                }
                Err(_) => false,
            };
            if done {
                let pushed = Pushed { campaign: field.campaign, from, to };
                self.client.records().pushed.lock().expect("no panic inside").push(pushed);
                return Ok(());
            }
            slot = 1 - slot;
            tokio::time::sleep(PUSH_AGAIN).await;
        }
        anyhow::bail!("the push of {from} to {to} was never answered")
    }

    /// One try; says whether it was answered for good.
    async fn try_push(
        &self,
        field: &Field,
        (from, to): (u64, u64),
        slot: usize,
        papers: &mut Option<Papers>,
    ) -> anyhow::Result<bool> {
        let api = &self.apis[slot];
        if papers.is_none() {
            let round = api.round(field.campaign, ROUND).await?;
            let action = Action::Push { campaign: field.campaign, round: ROUND, from, to };
            let now = self.servers.prepared.chain.timestamp().await?;
            let command = Some((action, round.head.version, "chaos".to_owned()));
            let drawn = Papers::new("push", &api.charter().await?, 1, now, command, vec![]);
            *papers = Some(self.servers.signed(drawn)?);
        }
        let command = papers.as_ref().and_then(|p| p.command.as_ref()).context("a signed command")?;
        match api.command(command.id, &command.command).await {
            Ok(info) => Ok(info.state == "done"),
            Err(ApiError::Refused(refused)) => match refused.code.as_str() {
                "already_decided" => Ok(true),
                // Signed for a version that has passed: a new command, under a new id.
                "stale" => {
                    *papers = None;
                    Ok(false)
                }
                other => anyhow::bail!("a push was refused: {other}"),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Where a wallet redirects to: an address of its own, that nobody else is paid at.
fn elsewhere(field: &Field, index: u64) -> Address {
    let wallet = field.wallet(index).address();
    Address::from_word(keccak256([b"chaos payee".as_slice(), wallet.as_slice()].concat()))
}
