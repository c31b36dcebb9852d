//! The fee policy: a pure function of the previous attempt, how long it has waited, and the market.

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
    /// A floor for the tip, in wei per gas; some chains ignore transactions without one.
    pub priority_fee_min: u128,
    /// Blocks an attempt may wait before it is replaced.
    pub bump_after_blocks: u64,
}

impl Default for FeePolicy {
    fn default() -> Self {
        Self { max_fee_cap: 500_000_000_000, priority_fee_min: 1, bump_after_blocks: 3 }
    }
}

impl FeePolicy {
    /// Fees of a first attempt: twice the base fee rides out six full blocks. `None` when the market is above the cap.
    pub fn first(&self, market: Market) -> Option<Fees> {
        let priority_fee = market.priority_fee.max(self.priority_fee_min);
        let lowest = market.base_fee.saturating_add(priority_fee);
        if lowest > self.max_fee_cap {
            return None;
        }
        let max_fee = market.base_fee.saturating_mul(2).saturating_add(priority_fee).min(self.max_fee_cap);
        Some(Fees { max_fee, priority_fee: priority_fee.min(max_fee) })
    }

    /// Fees that replace `previous`: both fields raised by at least 12.5 % (clients ask 10 %; reth and others round),
    /// and at least the market's. `None` when that is above the cap: the old attempt goes on waiting.
    pub fn replacement(&self, previous: Fees, market: Market) -> Option<Fees> {
        let raised = |fee: u128| fee.saturating_add(fee.div_ceil(8)).max(fee.saturating_add(1));
        let market = self.first(market).unwrap_or(Fees { max_fee: 0, priority_fee: 0 });
        let fees = Fees {
            max_fee: raised(previous.max_fee).max(market.max_fee),
            priority_fee: raised(previous.priority_fee).max(market.priority_fee),
        };
        (fees.max_fee <= self.max_fee_cap).then_some(fees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_raises_both_fields_by_an_eighth() {
        let policy = FeePolicy::default();
        let market = Market { base_fee: 10, priority_fee: 1 };
        let old = Fees { max_fee: 1_000, priority_fee: 7 };
        let new = policy.replacement(old, market).unwrap();
        assert_eq!(new, Fees { max_fee: 1_125, priority_fee: 8 });
        assert!(new.max_fee * 8 >= old.max_fee * 9 && new.priority_fee * 8 >= old.priority_fee * 9);
    }

    #[test]
    fn at_the_cap_the_old_attempt_waits() {
        let policy = FeePolicy { max_fee_cap: 1_100, ..FeePolicy::default() };
        let old = Fees { max_fee: 1_000, priority_fee: 1 };
        assert_eq!(policy.replacement(old, Market { base_fee: 1, priority_fee: 1 }), None);
        assert_eq!(policy.first(Market { base_fee: 1_100, priority_fee: 1 }), None);
    }

    #[test]
    fn a_first_attempt_never_offers_more_tip_than_fee() {
        let policy = FeePolicy { max_fee_cap: 20, ..FeePolicy::default() };
        let fees = policy.first(Market { base_fee: 5, priority_fee: 15 }).unwrap();
        assert!(fees.priority_fee <= fees.max_fee && fees.max_fee <= 20);
    }
}
