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
    /// When it said so here.
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
        Self { last: Mutex::new(Known { said, at: Instant::now(), floor: said }) }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.last.lock().expect("no panic inside").now()
    }

    /// Takes what the database just said as it is, at the beginning of a term: another database may have another
    /// clock. What it lies behind is waited out.
    pub fn reset(&self, said: Millis) {
        let mut last = self.last.lock().expect("no panic inside");
        *last = Known { said, at: Instant::now(), floor: last.now() };
    }

    /// Takes what the database just said.
    ///
    /// # Errors
    /// When the two clocks went apart by more than [`CLOCK_DRIFT_MAX`] since the database last spoke: a leader must
    /// resign.
    pub fn set(&self, said: Millis) -> Result<(), Drifted> {
        let last = *self.last.lock().expect("no panic inside");
        // What the database said may have been under way for a while: only a clock that runs ahead of this one, or
        // went back, is wrong.
        let by = said.saturating_sub(last.said + elapsed(last.at)).max(last.said.saturating_sub(said));
        self.reset(said);
        if u128::from(by) > CLOCK_DRIFT_MAX.as_millis() { Err(Drifted { by }) } else { Ok(()) }
    }
}

fn elapsed(since: Instant) -> Millis {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_noticed_and_time_never_runs_backwards() {
        let clock = DatabaseClock::new(1_000_000);
        assert!(clock.set(1_000_500).is_ok());
        let before = clock.now();
        assert!(clock.set(1_000_400).is_ok(), "an answer that was slow is no drift");
        assert!(clock.now() >= before);
        assert!(clock.set(1_010_000).is_err());
        assert!(clock.set(900_000).is_err());
        let after = clock.now();
        assert!(after >= before);
        assert!(clock.set(900_100).is_ok(), "a database that is behind, and stays so, is only behind once");
    }
}
