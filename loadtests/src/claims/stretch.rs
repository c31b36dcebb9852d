//! Stretches of time by the database's clock, by which the log says when it decided what.

use std::time::Duration;

use sluice_core::ids::Millis;

/// From one moment until before another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) from: Millis,
    pub(crate) to: Millis,
}

impl Stretch {
    /// What ended at a moment and took so long.
    pub(crate) fn ending(to: Millis, took: Duration) -> Self {
        let took = Millis::try_from(took.as_millis()).unwrap_or(Millis::MAX);
        Self { from: to.saturating_sub(took), to }
    }

    /// Whether it was in it.
    pub(crate) fn contains(self, at: Millis) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// How long it is, seconds; at least a millisecond.
    pub(crate) fn seconds(self) -> f64 {
        self.to.saturating_sub(self.from).max(1) as f64 / 1_000.0
    }

    /// How many of these were in it, a second.
    pub(crate) fn rate(self, moments: &[Millis]) -> f64 {
        moments.iter().filter(|at| self.contains(**at)).count() as f64 / self.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_what_was_in_it() {
        let stretch = Stretch { from: 1_000, to: 3_000 };
        assert_eq!(stretch.rate(&[999, 1_000, 1_001, 2_999, 3_000]), 1.5);
        assert_eq!(Stretch { from: 5, to: 5 }.rate(&[5]), 0.0);
        let ending = Stretch::ending(3_000, Duration::from_millis(2_000));
        assert_eq!((ending.from, ending.to), (stretch.from, stretch.to));
    }
}
