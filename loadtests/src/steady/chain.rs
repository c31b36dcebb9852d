//! What the log decided beside what the chain paid: every bit, the money that left the Distributor, and what recipients
//! have.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;

use alloy_primitives::Address;
use anyhow::ensure;
use sluice_chain::{At, Chain, ChainConfig};
use sluice_server::dev;
use sluice_snapshot::Snapshot;

use super::Decided;
use crate::claims::ground::eventually;
use crate::report::{Figure, Goal, Report};

/// Recipients whose balance is asked for, spread over all.
const ASKED: usize = 5_000;
/// A private chain may be asked as often as it answers.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");

/// What the comparison came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnChain {
    /// Entitlements the log decided.
    pub(crate) decided: usize,
    /// Bits and balances that are not what they should be.
    pub(crate) differences: u64,
    /// Recipients asked about.
    pub(crate) asked: usize,
}

/// A private chain.
pub(crate) async fn connect(rpc: &str) -> anyhow::Result<Chain> {
    let mut config = ChainConfig::new(dev::CHAIN_ID, rpc.to_owned());
    config.requests_per_second = REQUESTS_PER_SECOND;
    Ok(Chain::connect(config).await?)
}

/// A Distributor that pays.
pub(crate) struct Payer<'a> {
    pub(crate) chain: Chain,
    pub(crate) distributor: Address,
    pub(crate) token: Address,
    /// What it was given, base units.
    pub(crate) funded: u128,
    /// The rounds that are paid, all of this list.
    pub(crate) rounds: Range<u64>,
    pub(crate) snapshot: &'a Snapshot,
}

impl Payer<'_> {
    /// What it has left, base units.
    async fn left(&self) -> anyhow::Result<u128> {
        Ok(self.chain.token_balance(self.token, self.distributor, At::Latest).await?.0)
    }

    /// Waits until all of this has left the Distributor, as long as anything does.
    ///
    /// # Errors
    /// When nothing leaves it for some minutes, or too much has.
    async fn paid(&self, owed: u128) -> anyhow::Result<()> {
        let funded = self.funded;
        let mut before = self.left().await?;
        loop {
            ensure!(
                before + owed >= funded,
                "more was paid than decided: {before} left of {funded}, {owed} decided"
            );
            if before + owed == funded {
                return Ok(());
            }
            before = eventually("more of what was decided is paid", || async {
                let now = self.left().await?;
                anyhow::Ok((now != before).then_some(now))
            })
            .await?;
        }
    }
}

impl OnChain {
    /// Waits until the money of all that was decided has left the Distributor, then compares; where nothing has left it for
    /// minutes, what is paid by then, which shows who is not.
    ///
    /// # Errors
    /// When the chain does not answer, or the money is not what the bits say.
    pub(crate) async fn compare(
        payer: &Payer<'_>,
        decided: &HashMap<(u64, u64), Decided>,
    ) -> anyhow::Result<Self> {
        let Payer { chain, token, .. } = payer;
        let paid = payer.paid(decided.values().map(|claim| claim.amount).sum()).await;
        if let Err(error) = &paid {
            eprintln!("{error:#}; what is paid by now is compared");
        }
        // Anvil shows what a block changed before it says that there is such a block, and in between "latest" is either
        // of the two: under load one of them missed the last batch.
        let shown = chain.latest().await?.number;
        eventually("that block is behind another", || async {
            Ok((chain.latest().await?.number > shown + 1).then_some(()))
        })
        .await?;
        let mut differences = 0;
        for round in payer.rounds.clone() {
            let indexes = decided.keys().filter(|(of, _)| *of == round).map(|(_, index)| *index);
            differences += differing_bits(payer, round, indexes).await?;
        }
        let mut owed: HashMap<Address, u128> = HashMap::new();
        for claim in decided.values() {
            *owed.entry(claim.recipient).or_default() += claim.amount;
        }
        let mut asked = 0;
        for (recipient, owed) in owed.iter().step_by((owed.len() / ASKED).max(1)) {
            let balance = chain.token_balance(*token, *recipient, At::Latest).await?.0;
            if balance != *owed {
                differences += 1;
                eprintln!("{recipient} has {balance} base units on chain, {owed} decided");
            }
            asked += 1;
        }
        if differences == 0 {
            paid?;
        }
        Ok(Self { decided: decided.len(), differences, asked })
    }

    /// Adds what it came to.
    pub(crate) fn add(&self, report: &mut Report) {
        let Self { decided, differences, asked } = self;
        let figure = Figure::new("log and chain: differences", *differences as f64, "entitlements");
        report.add(figure.goal(Goal::AtMost(0.0)).note(format!(
            "{decided} decided; every paid bit, the Distributor's balance and the balances of {asked} recipients"
        )));
    }
}

/// The entitlements of a round that are paid and not decided, or decided and not paid.
async fn differing_bits(
    payer: &Payer<'_>,
    round: u64,
    decided: impl Iterator<Item = u64>,
) -> anyhow::Result<u64> {
    let words = payer.snapshot.count().div_ceil(256);
    let paid = payer.chain.paid_words(payer.distributor, round, 0..words, At::Latest).await?;
    let mut expected = vec![[0_u64; 4]; paid.len()];
    for index in decided {
        let at = usize::try_from(index)?;
        expected[at / 256][at % 256 / 64] |= 1 << (at % 64);
    }
    let mut differences = 0;
    for (word, (paid, expected)) in paid.iter().zip(&expected).enumerate() {
        let differing = |(a, b): (&u64, &u64)| u64::from((a ^ b).count_ones());
        let differing: u64 = paid.iter().zip(expected).map(differing).sum();
        if differing > 0 {
            eprintln!("word {word} of round {round} is {paid:x?} on chain, {expected:x?} decided");
        }
        differences += differing;
    }
    Ok(differences)
}
