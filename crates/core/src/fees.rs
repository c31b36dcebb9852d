//! The fee policy: a pure function of the previous attempt, how long it has waited, and the market. What a campaign's
//! settlement may wait and spend; and what chains of other kinds charge for calldata beside its gas.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::CampaignId;

/// What the chain asks now, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// The next block's base fee.
    pub base_fee: u128,
    /// What recent blocks paid on top.
    pub priority_fee: u128,
}

/// EIP-1559 fees of a transaction, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// At most this in all.
    pub max_fee: u128,
    /// Of it, at most this to the proposer.
    pub priority_fee: u128,
}

/// Bounds on what is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// Never more than this, in wei per gas: at the cap the transaction waits, its nonce is not given up.
    pub max_fee_cap: u128,
    /// No transaction may cost more than this, in wei: its gas limit times its fee per gas. Nodes refuse to pass on
    /// what costs more than their own cap (geth's `--rpc.txfeecap`, one ether unless told otherwise).
    pub max_transaction_fee: u128,
    /// A floor for the tip, in wei per gas; some chains ignore transactions without one.
    pub priority_fee_min: u128,
    /// Blocks an attempt may wait before it is replaced.
    pub bump_after_blocks: u64,
}

impl Default for FeePolicy {
    fn default() -> Self {
        Self {
            max_fee_cap: 500_000_000_000,
            // A tenth below the cap that geth has by default.
            max_transaction_fee: 900_000_000_000_000_000,
            priority_fee_min: 1,
            bump_after_blocks: 3,
        }
    }
}

impl FeePolicy {
    /// The most that a transaction of this gas limit may offer, wei per gas.
    pub fn cap(&self, gas: u64) -> u128 {
        self.max_fee_cap.min(self.max_transaction_fee / u128::from(gas.max(1)))
    }

    /// The least that is mined now, wei per gas.
    pub fn lowest(&self, market: Market) -> u128 {
        market.base_fee.saturating_add(market.priority_fee.max(self.priority_fee_min))
    }

    /// What a first attempt offers where no cap is in the way: twice the base fee rides out six full blocks.
    fn wanted(&self, market: Market) -> u128 {
        market.base_fee.saturating_add(self.lowest(market))
    }

    /// The gas limit with which a first attempt offers what it should, and yet stays below
    /// [`Self::max_transaction_fee`].
    pub fn gas_that_fits(&self, market: Market) -> u64 {
        let wanted = self.wanted(market).min(self.max_fee_cap).max(1);
        u64::try_from(self.max_transaction_fee / wanted).unwrap_or(u64::MAX)
    }

    /// Fees of a first attempt with this gas limit. `None` when the market is above the cap.
    pub fn first(&self, market: Market, gas: u64) -> Option<Fees> {
        let cap = self.cap(gas);
        if self.lowest(market) > cap {
            return None;
        }
        let max_fee = self.wanted(market).min(cap);
        let priority_fee = market.priority_fee.max(self.priority_fee_min);
        Some(Fees { max_fee, priority_fee: priority_fee.min(max_fee) })
    }

    /// Fees that replace `previous`: both fields raised by at least 12.5 % (clients ask 10 %; reth and others round),
    /// and at least the market's. `None` when that is above the cap: the old attempt goes on waiting.
    pub fn replacement(&self, previous: Fees, market: Market, gas: u64) -> Option<Fees> {
        let raised = |fee: u128| fee.saturating_add(fee.div_ceil(8)).max(fee.saturating_add(1));
        let market = self.first(market, gas).unwrap_or(Fees { max_fee: 0, priority_fee: 0 });
        let fees = Fees {
            max_fee: raised(previous.max_fee).max(market.max_fee),
            priority_fee: raised(previous.priority_fee).max(market.priority_fee),
        };
        (fees.max_fee <= self.cap(gas)).then_some(fees)
    }
}

/// How long decided claims may wait for company, and what their settlement may cost. It concerns relayed settlement alone:
/// never whether a claim is decided, never what wallets do by themselves, never the exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementTerms {
    /// A batch that is not full waits this long for more; then everything payable goes. Zero: nothing waits.
    pub window: Duration,
    /// What may be spent on gas; `None` for no limit.
    pub spend: Option<SpendLimit>,
}

/// A bound on what a campaign's transactions cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendLimit {
    /// Wei in any stretch of this length. What is under way counts with the most it may cost.
    pub wei: u128,
    /// The stretch.
    pub period: Duration,
}

/// The terms of a chain's campaigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettlementPolicy {
    /// Of every campaign that has none of its own.
    pub usual: SettlementTerms,
    /// Of single campaigns.
    pub campaigns: BTreeMap<CampaignId, SettlementTerms>,
}

impl SettlementPolicy {
    /// A campaign's terms.
    pub fn of(&self, campaign: CampaignId) -> SettlementTerms {
        self.campaigns.get(&campaign).copied().unwrap_or(self.usual)
    }
}

/// What a chain charges for bringing a transaction's bytes to another chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataCost {
    /// Bytes it was asked for.
    pub bytes: u64,
    /// Wei taken from the sender beside the gas: chains of Optimism's kind.
    pub wei: u128,
    /// Gas counted beside that of the execution: chains of Arbitrum's kind.
    pub gas: u64,
}

impl DataCost {
    /// What a byte of calldata costs beside the gas, at what the chain asks for gas: by this calls are compared.
    pub fn worth_per_byte(&self, market: Market) -> u64 {
        let price = market.base_fee.saturating_add(market.priority_fee).max(1);
        u64::try_from(self.wei / price / u128::from(self.bytes.max(1))).unwrap_or(u64::MAX).min(BYTE_GAS_MAX)
    }

    /// The gas that a byte of calldata uses up, with what it may rise by until its transaction is mined.
    pub fn gas_per_byte(&self) -> u64 {
        let reserve = calldata_reserve(self.gas);
        self.gas.saturating_add(reserve).div_ceil(self.bytes.max(1)).min(BYTE_GAS_MAX)
    }

    /// What another number of bytes costs.
    pub fn of(&self, bytes: u64) -> Self {
        let by = u128::from(self.bytes.max(1));
        let gas = u128::from(self.gas) * u128::from(bytes) / by;
        Self {
            bytes,
            wei: self.wei.saturating_mul(bytes.into()) / by,
            gas: u64::try_from(gas).unwrap_or(u64::MAX),
        }
    }
}

/// What the chain counts for calldata may rise until the batch is mined.
pub const fn calldata_reserve(gas: u64) -> u64 {
    gas / 4
}

/// More is not believed: a call of a hundred kilobytes must still be worth a number that can be added up.
const BYTE_GAS_MAX: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calldata_is_compared_at_the_price_of_gas() {
        let market = Market { base_fee: 900, priority_fee: 100 };
        let op = DataCost { bytes: 1_000, wei: 50_000_000, gas: 0 };
        assert_eq!((op.worth_per_byte(market), op.gas_per_byte()), (50, 0));
        let arbitrum = DataCost { bytes: 1_000, wei: 0, gas: 16_000 };
        assert_eq!((arbitrum.worth_per_byte(market), arbitrum.gas_per_byte()), (0, 20));
        let none = DataCost::default();
        assert_eq!(
            (none.worth_per_byte(Market { base_fee: 0, priority_fee: 0 }), none.gas_per_byte()),
            (0, 0)
        );
        let absurd = DataCost { bytes: 1, wei: u128::MAX, gas: u64::MAX };
        assert_eq!((absurd.worth_per_byte(market), absurd.gas_per_byte()), (BYTE_GAS_MAX, BYTE_GAS_MAX));
        assert_eq!(op.of(10).wei, 500_000);
        assert_eq!(arbitrum.of(10).gas, 160);
    }

    #[test]
    fn a_campaign_without_terms_of_its_own_has_the_usual_ones() {
        let own = SettlementTerms { window: Duration::from_secs(60), spend: None };
        let policy = SettlementPolicy {
            campaigns: [(CampaignId::default(), own)].into(),
            ..SettlementPolicy::default()
        };
        assert_eq!(policy.of(CampaignId::default()), own);
        assert_eq!(policy.of(CampaignId(uuid::Uuid::from_u128(1))), SettlementTerms::default());
    }

    const GAS: u64 = 1_000_000;

    #[test]
    fn no_transaction_costs_more_than_its_cap_and_smaller_ones_may_offer_more() {
        let policy = FeePolicy { max_transaction_fee: 900 * u128::from(GAS), ..FeePolicy::default() };
        let market = Market { base_fee: 600, priority_fee: 10 };
        assert_eq!(policy.first(market, GAS), Some(Fees { max_fee: 900, priority_fee: 10 }));
        assert_eq!(policy.first(market, GAS / 2).map(|fees| fees.max_fee), Some(1_210));
        assert_eq!(policy.first(market, GAS * 2), None, "450 wei a gas are below the base fee");
        assert_eq!(policy.replacement(Fees { max_fee: 801, priority_fee: 10 }, market, GAS), None);
        let gas = policy.gas_that_fits(market);
        assert_eq!(policy.first(market, gas).map(|fees| fees.max_fee), Some(1_210));
        assert!(policy.cap(gas + 1) < 1_210);
    }

    #[test]
    fn a_replacement_raises_both_fields_by_an_eighth() {
        let policy = FeePolicy::default();
        let market = Market { base_fee: 10, priority_fee: 1 };
        let old = Fees { max_fee: 1_000, priority_fee: 7 };
        let new = policy.replacement(old, market, GAS).unwrap();
        assert_eq!(new, Fees { max_fee: 1_125, priority_fee: 8 });
        assert!(new.max_fee * 8 >= old.max_fee * 9 && new.priority_fee * 8 >= old.priority_fee * 9);
    }

    #[test]
    fn at_the_cap_the_old_attempt_waits() {
        let policy = FeePolicy { max_fee_cap: 1_100, ..FeePolicy::default() };
        let old = Fees { max_fee: 1_000, priority_fee: 1 };
        assert_eq!(policy.replacement(old, Market { base_fee: 1, priority_fee: 1 }, GAS), None);
        assert_eq!(policy.first(Market { base_fee: 1_100, priority_fee: 1 }, GAS), None);
    }

    #[test]
    fn a_first_attempt_never_offers_more_tip_than_fee() {
        let policy = FeePolicy { max_fee_cap: 20, ..FeePolicy::default() };
        let fees = policy.first(Market { base_fee: 5, priority_fee: 15 }, GAS).unwrap();
        assert!(fees.priority_fee <= fees.max_fee && fees.max_fee <= 20);
    }
}
