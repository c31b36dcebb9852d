//! What options of load tests may be: whatever a run would fail at, or be of no use with, after minutes of set-up is
//! refused at once.

use clap::builder::{RangedI64ValueParser, RangedU64ValueParser};
use clap::value_parser;

/// Claims a second, at least and at most. Fewer than one in a quarter of an hour is a slip, and its times would not fit
/// into a clock; more than a million is beyond any generator.
const RATE: std::ops::RangeInclusive<f64> = 0.001..=1e6;
/// Seconds that a stretch lasts at most: a week.
const SECONDS_MAX: u64 = 604_800;
/// Stretches or claims that are multiplied with others: their product stays a count.
const TURNS_MAX: i64 = 1_000;
const TURN_MAX: i64 = 1_000_000;

/// Reads a rate a second, of any fraction.
///
/// # Errors
/// What would be right, when it is none.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    // What is no number lies nowhere.
    match RATE.contains(&rate) {
        true => Ok(rate),
        false => Err(format!("a rate lies between {} and {} a second", RATE.start(), RATE.end())),
    }
}

/// Of a whole rate a second.
pub(crate) fn whole_rate() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=TURN_MAX)
}

/// Of seconds.
pub(crate) fn seconds() -> RangedU64ValueParser<u64> {
    value_parser!(u64).range(1..=SECONDS_MAX)
}

/// Of turns, or of anything that there are a few of.
pub(crate) fn turns() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=TURNS_MAX)
}

/// Of claims in a turn.
pub(crate) fn turn() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=TURN_MAX)
}

/// Of anything there must be one of.
pub(crate) fn some() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_above_nothing() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "1e-300", "many"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
