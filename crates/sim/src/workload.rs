//! What clients do: who claims how and when, drawn from the seed, and the doing of it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, keccak256};
use anyhow::Context;
use futures::future::try_join_all;
use sluice_core::ids::DemandId;
use sluice_server::api_client::ApiClient;
use tokio::sync::watch;

use crate::client::{Claim, Client};
use crate::ground::{Field, Servers};
use crate::on_chain::Wanted;
use crate::records::{Handed, Verdict};
use crate::seed::Seed;

/// How a claim on an entitlement that authorities may annul ends.
const ENDS: [&str; 2] = ["final", "voided"];

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
    /// A signed claim to a recipient that the token refuses for good.
    Barred,
    /// The same, until a transfer has failed.
    BarredThenLifted,
    /// Annulled, and claimed afterwards.
    AnnulledFirst,
    /// A signed claim and a void at once.
    AnnulledAtOnce,
    /// A signed claim, and a void so many milliseconds later, when a batch may be planned, sent or mined.
    AnnulledLater(u64),
    /// A wallet's own transaction and a void at once.
    AnnulledSelfPaid,
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
            let role = role(&mut seed);
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

fn role(seed: &mut Seed) -> Role {
    match seed.below(100) {
        0..32 => Role::Plain,
        32..45 => Role::Redirected,
        45..52 => Role::SameIdTwice,
        52..57 => Role::OneIdTwoBodies,
        57..64 => Role::TwoIds,
        64..70 => Role::SelfPaid,
        70..77 => Role::Raced,
        77..80 => Role::Barred,
        80..83 => Role::BarredThenLifted,
        83..85 => Role::AnnulledFirst,
        85..88 => Role::AnnulledAtOnce,
        88..93 => Role::AnnulledLater(seed.between(100, 4_000)),
        93..95 => Role::AnnulledSelfPaid,
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
            What::Push { from, to } => self.push(field, task.slot, from, to).await,
            What::Claim { index, role } => self.claim(field, &task, index, role).await,
        }
    }

    async fn claim(&self, field: &Field, task: &Task, index: u64, role: Role) -> anyhow::Result<()> {
        let [one, other] = task.ids;
        let (here, there) = (task.slot, 1 - task.slot);
        let elsewhere = Some(elsewhere(field, index));
        match role {
            Role::Idle => Ok(()),
            Role::Plain => self.hand_in(field, one, index, None, here, &ENDS).await,
            Role::Redirected => self.hand_in(field, one, index, elsewhere, here, &ENDS).await,
            Role::SameIdTwice => self.both(field, index, (one, None, here), (one, None, there)).await,
            Role::OneIdTwoBodies => self.both(field, index, (one, None, here), (one, elsewhere, there)).await,
            Role::TwoIds => self.both(field, index, (one, None, here), (other, elsewhere, there)).await,
            // A contract's owner signs; it sends nothing.
            Role::SelfPaid | Role::AnnulledSelfPaid if field.is_contract(index) => {
                self.hand_in(field, one, index, None, here, &ENDS).await
            }
            Role::Raced if field.is_contract(index) => {
                self.hand_in(field, one, index, elsewhere, here, &ENDS).await
            }
            Role::SelfPaid => self.pay_itself(field, index).await,
            Role::Raced => {
                let relayed = self.hand_in(field, one, index, None, here, &ENDS);
                tokio::try_join!(relayed, self.pay_itself(field, index)).map(|_| ())
            }
            Role::Barred => self.barred(field, task, index, false).await,
            Role::BarredThenLifted => self.barred(field, task, index, true).await,
            Role::AnnulledFirst => {
                self.annul(field, there, index).await?;
                self.hand_in(field, one, index, None, here, &ENDS).await
            }
            Role::AnnulledAtOnce => self.annulled(field, task, index, Duration::ZERO).await,
            Role::AnnulledLater(millis) => {
                self.annulled(field, task, index, Duration::from_millis(millis)).await
            }
            Role::AnnulledSelfPaid => {
                tokio::try_join!(self.pay_itself(field, index), self.annul(field, here, index)).map(|_| ())
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
        try_join_all([one, other].map(|(id, to, slot)| self.hand_in(field, id, index, to, slot, &ENDS)))
            .await?;
        Ok(())
    }

    async fn hand_in(
        &self,
        field: &Field,
        id: DemandId,
        index: u64,
        to: Option<Address>,
        slot: usize,
        ends: &[&str],
    ) -> anyhow::Result<()> {
        let demand = field.claim(index, to)?;
        let claim = Claim { campaign: field.campaign, id, demand };
        let (acknowledged, verdict) = self.client.hand_in(&claim, slot).await?;
        if matches!(verdict, Verdict::Decided(_)) {
            self.client.fetch_receipt(&claim, 1 - slot).await?;
            if self.client.follow(&claim, slot, ends).await?.is_none() {
                let what =
                    format!("claim {id} of entitlement {index} was decided and became none of {ends:?}");
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

    /// The wallet's own claim on chain, until the payment, by whomever, or a void is final there.
    async fn pay_itself(&self, field: &Field, index: u64) -> anyhow::Result<()> {
        self.client.records().self_paid.lock().expect("no panic inside").insert((field.campaign, index));
        let (sending, wanted) = (field.own_claim(index)?, Wanted::VoidOrPaid(index));
        self.servers.until_final(field, field.key(index), sending, wanted, self.client.end()).await
    }

    /// A claim to a recipient whom the token refuses; if `lifted`, only until a transfer has failed.
    async fn barred(&self, field: &Field, task: &Task, index: u64, lifted: bool) -> anyhow::Result<()> {
        self.bar(field, index, true).await?;
        let [one, other] = task.ids;
        self.hand_in(field, one, index, None, task.slot, &["skipped", "final"]).await?;
        if lifted {
            self.bar(field, index, false).await?;
            let block = self.latest_block().await?;
            let id = (field.campaign, index);
            self.client.records().let_in.lock().expect("no panic inside").insert(id, block);
        }
        // A second claim finds it decided, whatever became of the first payment.
        self.hand_in(field, other, index, None, 1 - task.slot, &ENDS).await
    }

    /// A void at the same time as a claim, or so much later.
    async fn annulled(&self, field: &Field, task: &Task, index: u64, later: Duration) -> anyhow::Result<()> {
        let claim = self.hand_in(field, task.ids[0], index, None, task.slot, &ENDS);
        let void = async {
            tokio::time::sleep(later).await;
            self.annul(field, 1 - task.slot, index).await
        };
        tokio::try_join!(claim, void).map(|_| ())
    }
}

/// Where a wallet redirects to: an address of its own, that nobody else is paid at.
fn elsewhere(field: &Field, index: u64) -> Address {
    let wallet = field.key(index).address();
    Address::from_word(keccak256([b"chaos payee".as_slice(), wallet.as_slice()].concat()))
}
