//! Many campaigns at once: sizes by Zipf's law, tokens of 6, 8 and 18 decimals, money that adds up.

use super::dirty::Dirt;
use super::keys::BLOCK;
use super::list::Plan;

/// What all campaigns pay together, in dollars: what TokenTable says it has paid out.
pub(crate) const DOLLARS: u128 = 4_000_000_000;

/// The decimals that campaigns' tokens have, by turns.
const DECIMALS: [u8; 3] = [18, 6, 8];

/// The plans of `campaigns` lists of `rows` wallets and `dollars` in all; every token is worth a dollar. Campaign n has
/// 1/n of the wallets and of the money of the first. No wallet is in two.
pub(crate) fn plans(seed: u64, campaigns: u64, rows: u64, dollars: u128, checksummed: bool) -> Vec<Plan> {
    let shares: Vec<u128> = (1..=u128::from(campaigns)).map(|rank| (1 << 40) / rank).collect();
    let sizes = split(u128::from(rows), &shares);
    // In millionths of a dollar, so that the least decimals lose nothing.
    let parts = split(dollars * 1_000_000, &shares);
    let mut first_wallet = 0;
    let each = sizes.iter().zip(parts).enumerate().map(|(place, (&size, millionths))| {
        let decimals = DECIMALS[place % DECIMALS.len()];
        let plan = Plan {
            seed,
            first_wallet,
            rows: u64::try_from(size).expect("a part of 64 bits"),
            decimals,
            total: millionths * 10u128.pow(u32::from(decimals) - 6),
            checksummed,
            dirt: Dirt::default(),
        };
        first_wallet += plan.rows.next_multiple_of(BLOCK);
        plan
    });
    each.filter(|plan| plan.rows > 0).collect()
}

/// Splits `whole` by shares; what rounding leaves goes to the first.
fn split(whole: u128, shares: &[u128]) -> Vec<u128> {
    let all: u128 = shares.iter().sum();
    let mut parts: Vec<u128> = shares.iter().map(|share| whole * share / all).collect();
    parts[0] += whole - parts.iter().sum::<u128>();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_campaigns_add_up() {
        let plans = plans(1, 200, 40_000_000, DOLLARS, false);
        assert_eq!(plans.len(), 200);
        assert_eq!(plans.iter().map(|plan| plan.rows).sum::<u64>(), 40_000_000);
        let dollars = |plan: &Plan| plan.total * 10u128.pow(18 - u32::from(plan.decimals));
        assert_eq!(plans.iter().map(dollars).sum::<u128>(), DOLLARS * 10u128.pow(18));
        assert!(plans[0].rows.abs_diff(2 * plans[1].rows) < 1_000, "Zipf: the second is half the first");
        for pair in plans.windows(2) {
            assert!(pair[0].first_wallet + pair[0].rows <= pair[1].first_wallet, "no wallet is in two");
            assert!(pair[1].first_wallet.is_multiple_of(BLOCK));
        }
        for decimals in DECIMALS {
            assert!(plans.iter().any(|plan| plan.decimals == decimals));
        }
    }
}
