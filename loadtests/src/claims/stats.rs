//! Medians and spreads of turns.

/// The median of some figures; of none it is no number, and reaches no goal.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 50)
}

/// The figure below which so many in a hundred of them lie, by the nearest rank.
pub(crate) fn quantile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * percent + 50) / 100).copied().unwrap_or(f64::NAN)
}

/// `quartile to quartile`, as a note beside a median.
pub(crate) fn spread(figures: &[f64]) -> String {
    let number = crate::report::number;
    format!(
        "median of {}; quartiles {} to {}",
        figures.len(),
        number(quantile(figures, 25)),
        number(quantile(figures, 75))
    )
}

/// How many whole ones a rate comes to.
#[allow(clippy::cast_possible_truncation, reason = "rates and times of load tests, far below 2^53")]
pub(crate) fn whole(count: f64) -> u64 {
    count.floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[5.0, 1.0, 2.0, 3.0, 4.0], 25), 2.0);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[1.0, 2.0, 3.0]), "median of 3; quartiles 2.00 to 3.00");
    }
}
