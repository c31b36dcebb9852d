//! The database's clock as this process knows it: what the database last said, plus monotonic time since. Only this
//! clock decides; the machine's own wall clock is never asked.

use std::sync::Mutex;
use std::time::Instant;

use sluice_core::ids::Millis;
use sluice_core::limits::CLOCK_DRIFT_MAX;

/// A clock that is set by the database and never runs backwards.
#[derive(Debug)]
pub struct DatabaseClock {
    last: Mutex<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// What the database said last.
    said: Millis,
    /// When it was asked.
    asked: Instant,
    /// When the answer was here.
    at: Instant,
    /// What this clock must not go below, whatever the database says.
    floor: Millis,
}

impl Known {
    fn now(&self) -> Millis {
        (self.said + elapsed(self.at)).max(self.floor)
    }
}

/// The database's clock and this process's monotonic one went apart by more than a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drifted {
    /// By how many milliseconds.
    pub by: Millis,
}

impl DatabaseClock {
    /// A clock set to what the database just said.
    pub fn new(said: Millis) -> Self {
        let now = Instant::now();
        Self { last: Mutex::new(Known { said, asked: now, at: now, floor: said }) }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.last.lock().expect("no panic inside").now()
    }

    /// Takes what the database just said as it is, at the beginning of a term: another database may have another
    /// clock. What it lies behind is waited out.
    pub fn reset(&self, said: Millis, asked: Instant) {
        let mut last = self.last.lock().expect("no panic inside");
        *last = Known { said, asked, at: Instant::now(), floor: last.now() };
    }

    /// Takes what the database just said, and when it was asked.
    ///
    /// # Errors
    /// When the two clocks went apart by more than [`CLOCK_DRIFT_MAX`] since the database last spoke: a leader must
    /// resign.
    pub fn set(&self, said: Millis, asked: Instant) -> Result<(), Drifted> {
        let last = *self.last.lock().expect("no panic inside");
        // What the database says may be under way for a while, both now and the last time: it reads its clock, and then a
        // slow disk keeps the commit. It read it after it was asked, though; so only a clock that is further than since
        // then, or went back, is wrong.
        let by = said.saturating_sub(last.said + elapsed(last.asked)).max(last.said.saturating_sub(said));
        self.reset(said, asked);
        if u128::from(by) > CLOCK_DRIFT_MAX.as_millis() { Err(Drifted { by }) } else { Ok(()) }
    }
}

fn elapsed(since: Instant) -> Millis {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_jumps_is_noticed_and_time_never_runs_backwards() {
        let clock = DatabaseClock::new(1_000_000);
        assert!(clock.set(1_000_500, Instant::now()).is_ok());
        let before = clock.now();
        assert!(clock.set(1_000_400, Instant::now()).is_ok(), "an answer that was slow is no drift");
        assert!(clock.now() >= before);
        assert!(clock.set(1_010_000, Instant::now()).is_err());
        assert!(clock.set(900_000, Instant::now()).is_err());
        let after = clock.now();
        assert!(after >= before);
        assert!(
            clock.set(900_100, Instant::now()).is_ok(),
            "a database that is behind, and stays so, is only behind once"
        );
    }

    #[test]
    fn a_slow_answer_followed_by_a_quick_one_is_no_drift() {
        let clock = DatabaseClock::new(1_000_000);
        // It was said at once, and took five seconds to come.
        let asked = Instant::now().checked_sub(Duration::from_secs(5)).expect("this machine is up");
        assert!(clock.set(1_000_100, asked).is_ok());
        assert!(clock.set(1_005_100, Instant::now()).is_ok());
        assert_eq!(clock.set(1_020_100, Instant::now()).map_err(|drift| drift.by > 14_000), Err(true));
    }
}
