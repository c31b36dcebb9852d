//! The money, computed three ways.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use anyhow::Context;
use serde::Serialize;
use sluice_chain::{At, Chain};
use sluice_core::amount::Total;
use sluice_core::ids::{BlockRef, EntitlementId, Seq};
use sluice_core::state::campaign::Campaign;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;
use sluice_engine::snapshots::Snapshots;
use sluice_store::Store;

use super::replay::Replayed;

/// Sums of the entitlements, base units.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Entitled {
    pub(super) paid: Total,
    pub(super) reserved: Total,
    pub(super) skipped: Total,
    pub(super) voided: Total,
}

/// What the chain says at a block, base units.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OnChain {
    pub(super) block: BlockRef,
    /// By the paid words and the snapshots.
    pub(super) paid: Total,
    /// By the rounds' own counters: total − remaining − voided.
    pub(super) paid_by_counters: Total,
    pub(super) balance: Total,
}

/// All sums, and what differs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sums {
    /// The position they were computed at.
    pub(super) seq: Seq,
    pub(super) entitlements: Entitled,
    pub(super) ledger: BTreeMap<&'static str, String>,
    pub(super) chain: OnChain,
    pub(super) differences: Vec<String>,
    /// funded = paid + reserved + voided + skipped + free + swept, each the same in every way it can be computed.
    pub(super) add_up: bool,
}

/// Computes everything.
pub(super) async fn compute(
    replayed: &Replayed,
    campaign: &Campaign,
    snapshots: &Snapshots,
    store: &Store,
    chain: &Chain,
) -> anyhow::Result<Sums> {
    let entitlements = entitled(campaign, snapshots)?;
    let ledger = store.ledger(campaign.terms.campaign).await?;
    let chain_id = campaign.terms.distributor.chain_id;
    let seen = replayed.state.chains.get(&chain_id).context("the log has not read the chain yet")?;
    let on_chain = on_chain(campaign, snapshots, chain, seen.finalized).await?;
    let differences = differences(&entitlements, &ledger, &on_chain)?;
    Ok(Sums {
        seq: replayed.state.seq,
        entitlements,
        ledger: ledger.iter().map(|(account, balance)| (account.as_str(), balance.to_string())).collect(),
        chain: on_chain,
        add_up: differences.is_empty(),
        differences,
    })
}

/// From the bits and the snapshots.
fn entitled(campaign: &Campaign, snapshots: &Snapshots) -> anyhow::Result<Entitled> {
    let mut sums = Entitled::default();
    for round in campaign.rounds.values() {
        let snapshot = snapshots.get(round.terms.list_hash)?;
        for index in 0..round.terms.count {
            let amount = snapshot.entitlement(index).context("the snapshot ends early")?.amount;
            let (shard, at) = round.shard(index);
            let skipped = || {
                let status = campaign.status(EntitlementId { round: round.terms.round, index });
                matches!(status, Some(ClaimState::Skipped { retry: false, .. }))
            };
            let sum = match (shard.paid.get(at), shard.void.get(at), shard.decided.get(at)) {
                (true, ..) => &mut sums.paid,
                (false, true, _) => &mut sums.voided,
                (false, false, true) if skipped() => &mut sums.skipped,
                (false, false, true) => &mut sums.reserved,
                (false, false, false) => continue,
            };
            *sum = sum.checked_add(amount).context("the entitlements' sum overflows")?;
        }
    }
    Ok(sums)
}

/// From the Distributor, at the block up to which the log takes the chain for final.
async fn on_chain(
    campaign: &Campaign,
    snapshots: &Snapshots,
    chain: &Chain,
    block: BlockRef,
) -> anyhow::Result<OnChain> {
    let (distributor, at) = (campaign.terms.distributor.address, At::Number(block.number));
    let mut sums = OnChain {
        block,
        paid: Total::ZERO,
        paid_by_counters: Total::ZERO,
        balance: chain.token_balance(campaign.terms.token, distributor, at).await?,
    };
    for round in campaign.rounds.values() {
        let Some(told) = chain.round(distributor, round.terms.round, at).await? else { continue };
        let left =
            told.remaining.checked_add_total(told.voided).and_then(|gone| told.total.checked_sub(gone));
        let left = left.context("the Distributor's counters contradict each other")?;
        sums.paid_by_counters = sums.paid_by_counters.checked_add_total(left).context("a sum overflows")?;
        let snapshot = snapshots.get(round.terms.list_hash)?;
        let words = 0..round.terms.count.div_ceil(256);
        let masks = chain.paid_words(distributor, round.terms.round, words, at).await?;
        for (word, mask) in (0..).zip(masks) {
            let paid = snapshot.sum_mask(word, U256::from_limbs(mask));
            sums.paid = sums.paid.checked_add_total(paid).context("a sum overflows")?;
        }
    }
    Ok(sums)
}

/// Every pair that must be equal and is not.
fn differences(
    entitled: &Entitled,
    ledger: &BTreeMap<Account, i128>,
    chain: &OnChain,
) -> anyhow::Result<Vec<String>> {
    let balance = |account: Account| ledger.get(&account).copied().unwrap_or(0);
    let number = |total: Total| i128::try_from(total.get()).context("a sum above 2^127");
    let (funded, swept) = (-balance(Account::Funded), balance(Account::Swept));
    let (paid, free) = (balance(Account::Paid), balance(Account::Free));
    let (reserved, voided) = (balance(Account::Reserved), balance(Account::Voided));
    let decided = number(entitled.reserved)? + number(entitled.skipped)?;
    let mut pairs = vec![
        ("funded and its parts", funded, paid + reserved + voided + free + swept),
        ("paid by entitlements and by ledger", number(entitled.paid)?, paid),
        ("paid by entitlements and by the chain's words", number(entitled.paid)?, number(chain.paid)?),
        (
            "paid by the chain's words and by its counters",
            number(chain.paid)?,
            number(chain.paid_by_counters)?,
        ),
        (
            "the Distributor's balance and what the ledger keeps",
            number(chain.balance)?,
            free + reserved + voided,
        ),
    ];
    if swept == 0 {
        // What a sweep took was reserved or annulled before, entitlement by entitlement.
        pairs.push(("reserved and skipped by entitlements and by ledger", decided, reserved));
        // Annulled money pays corrections once nothing else is free: then less of it is left than was annulled.
        let left = number(entitled.voided)?.min(voided);
        pairs.push(("voided by ledger and what entitlements allow", left, voided));
    }
    let differ =
        |(what, a, b): (&str, i128, i128)| (a != b).then(|| format!("{what}: {a} and {b} base units"));
    Ok(pairs.into_iter().filter_map(differ).collect())
}

impl Sums {
    /// For people.
    pub(super) fn facts(&self, decimals: u8) -> Vec<(&'static str, String)> {
        let tokens = |total: Total| total.to_decimal_string(decimals);
        let mut facts = vec![
            ("position", self.seq.to_string()),
            ("paid", tokens(self.entitlements.paid)),
            ("reserved", tokens(self.entitlements.reserved)),
            ("skipped", tokens(self.entitlements.skipped)),
            ("voided", tokens(self.entitlements.voided)),
        ];
        for name in ["funded", "free", "swept"] {
            let balance = self.ledger.get(name).and_then(|text| text.parse::<i128>().ok()).unwrap_or(0);
            facts.push((name, tokens(Total(balance.unsigned_abs()))));
        }
        facts.push((
            "chain",
            format!(
                "paid {}, balance {}, block {}",
                tokens(self.chain.paid),
                tokens(self.chain.balance),
                self.chain.block.number
            ),
        ));
        facts.extend(self.differences.iter().map(|difference| ("DIFFERENCE", difference.clone())));
        facts.push(("adds up", if self.add_up { "yes" } else { "NO" }.to_owned()));
        facts
    }
}
