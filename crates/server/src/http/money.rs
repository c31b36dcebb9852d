//! Money in answers: base units as a decimal string, which is exact, and token units for people.

use serde::Serialize;
use sluice_core::amount::{Amount, Total};
use utoipa::ToSchema;

/// A sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Money {
    /// Base units, a whole decimal number.
    #[schema(example = "1500000000000000000")]
    base: String,
    /// The same in tokens.
    #[schema(example = "1.5")]
    tokens: String,
}

impl Money {
    /// A sum of a token with so many decimals.
    pub(crate) fn new(sum: Total, decimals: u8) -> Self {
        Self { base: sum.to_string(), tokens: sum.to_decimal_string(decimals) }
    }

    /// An amount.
    pub(crate) fn of(amount: Amount, decimals: u8) -> Self {
        Self::new(amount.into(), decimals)
    }

    /// An account's balance, which may be negative.
    pub(crate) fn signed(balance: i128, decimals: u8) -> Self {
        let sum = Self::new(Total(balance.unsigned_abs()), decimals);
        let sign = if balance < 0 { "-" } else { "" };
        Self { base: format!("{sign}{}", sum.base), tokens: format!("{sign}{}", sum.tokens) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_say_the_same() {
        let money = |base: &str, tokens: &str| Money { base: base.into(), tokens: tokens.into() };
        assert_eq!(Money::new(Total(1_500), 3), money("1500", "1.5"));
        assert_eq!(Money::of(Amount::new(1).unwrap(), 18), money("1", "0.000000000000000001"));
        assert_eq!(Money::signed(-1_500, 3), money("-1500", "-1.5"));
        assert_eq!(Money::signed(0, 0), money("0", "0"));
        assert_eq!(Money::signed(i128::MIN, 0).base, i128::MIN.to_string());
    }
}
