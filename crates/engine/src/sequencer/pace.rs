//! How many demands may be decided, where the configuration bounds it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// What an idle moment leaves for the next: a tenth of a second's worth.
const KEPT: Duration = Duration::from_millis(100);

/// A bound on demands decided a second.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time one demand takes; `None` without a bound.
    each: Option<Duration>,
    /// Time up to here is used up.
    used: Instant,
}

impl Pace {
    /// So many a second, or as many as there are.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        let each = per_second.map(|rate| Duration::from_secs(1) / rate.get());
        Self { each, used: Instant::now() }
    }

    /// How many may be decided now.
    pub(super) fn room(&self) -> usize {
        self.room_at(Instant::now())
    }

    /// So many are decided.
    pub(super) fn take(&mut self, count: usize) {
        self.take_at(count, Instant::now());
    }

    fn room_at(&self, now: Instant) -> usize {
        let Some(each) = self.each else { return usize::MAX };
        let unused = now.saturating_duration_since(self.used).min(KEPT.max(each));
        usize::try_from(unused.as_nanos() / each.as_nanos().max(1)).unwrap_or(usize::MAX)
    }

    fn take_at(&mut self, count: usize, now: Instant) {
        let Some(each) = self.each else { return };
        // What was not used in time is lost.
        let earliest = now.checked_sub(KEPT.max(each)).unwrap_or(self.used);
        self.used = self.used.max(earliest) + each * u32::try_from(count).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_decided_as_may_be_and_no_more() {
        let mut pace = Pace::new(NonZeroU32::new(1_000));
        let (begun, mut decided) = (pace.used, 0);
        for step in 1..=2_000_u32 {
            let now = begun + Duration::from_micros(500) * step;
            let room = pace.room_at(now);
            pace.take_at(room, now);
            decided += room;
        }
        assert_eq!(decided, 1_000);
        // An hour of rest is worth a tenth of a second.
        let now = begun + Duration::from_secs(3_600);
        assert_eq!(pace.room_at(now), 100);
        pace.take_at(100, now);
        assert_eq!(pace.room_at(now), 0);
    }

    #[test]
    fn a_slow_pace_still_lets_one_through_and_none_bounds_nothing() {
        let mut pace = Pace::new(NonZeroU32::new(2));
        let later = pace.used + Duration::from_secs(60);
        assert_eq!(pace.room_at(later), 1);
        pace.take_at(1, later);
        assert_eq!(pace.room_at(later + Duration::from_millis(499)), 0);
        assert_eq!(pace.room_at(later + Duration::from_millis(500)), 1);
        assert_eq!(Pace::new(None).room(), usize::MAX);
    }
}
