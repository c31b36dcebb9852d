//! How many requests of a kind are under way at once: as many as do not make each other slow.
//!
//! The bound follows the time that requests take, as in the gradient algorithm of Netflix' concurrency-limits
//! (<https://github.com/Netflix/concurrency-limits>): while they take about as long as they do at the quickest, it grows;
//! as soon as they take more than twice as long, what is under way waits for something that does not get faster by more
//! waiting for it, and the bound shrinks in the same proportion. A database that slows down is asked less, by itself.
//!
//! Only requests that were answered say how long they take. What was refused took no time worth counting, and how long a
//! request was there that its client or a bound cut is the client's word: anybody could narrow the bound with either.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::bounds::{TURN_WAIT, TURNS_LEAST, TURNS_WINDOW};

/// Places for requests, as many as do not make each other slow.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Semaphore,
    bound: Mutex<Bound>,
}

/// A request's place.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    place: Option<SemaphorePermit<'a>>,
    begun: Instant,
    /// Whether the time it took counts.
    counts: bool,
}

/// The bound, and what it follows.
#[derive(Debug)]
struct Bound {
    now: usize,
    most: usize,
    /// Places that are to go as soon as their requests end.
    owed: usize,
    under_way: usize,
    /// What a request takes when there are few, microseconds; 0 until one has ended.
    usual: u64,
    lately: Lately,
}

/// The requests that ended in this window of time.
#[derive(Debug)]
struct Lately {
    since: Instant,
    count: u64,
    micros: u64,
    /// The most under way at once.
    peak: usize,
}

impl Turns {
    /// Places for at most so many.
    pub(crate) fn new(most: usize) -> Self {
        let lately = Lately { since: Instant::now(), count: 0, micros: 0, peak: 0 };
        let now = most.min(TURNS_LEAST * 2);
        let bound = Bound { now, most, owed: 0, under_way: 0, usual: 0, lately };
        Self { places: Semaphore::new(now), bound: Mutex::new(bound) }
    }

    /// Waits a moment for a place.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        let place = tokio::time::timeout(TURN_WAIT, self.places.acquire()).await.ok()?.ok()?;
        let mut bound = self.bound.lock().expect("no panic inside");
        bound.under_way += 1;
        bound.lately.peak = bound.lately.peak.max(bound.under_way);
        Some(Turn { turns: self, place: Some(place), begun: Instant::now(), counts: false })
    }

    /// Whether the time of any request was counted.
    #[cfg(test)]
    pub(crate) fn has_counted(&self) -> bool {
        let bound = self.bound.lock().unwrap();
        bound.usual > 0 || bound.lately.count > 0
    }
}

impl Turn<'_> {
    /// Ends it with an answer: the time it took counts.
    pub(crate) fn answered(mut self) {
        self.counts = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut bound = self.turns.bound.lock().expect("no panic inside");
        bound.under_way -= 1;
        let took = now.saturating_duration_since(self.begun);
        let more = if self.counts { bound.ended(took, now) } else { 0 };
        if bound.owed > 0 {
            bound.owed -= 1;
            if let Some(place) = self.place.take() {
                place.forget();
            }
        }
        self.turns.places.add_permits(more);
    }
}

impl Bound {
    /// A request ended that took so long. Returns how many places are new.
    fn ended(&mut self, took: Duration, now: Instant) -> usize {
        self.lately.count += 1;
        self.lately.micros += u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 2).max(1);
        if now.saturating_duration_since(self.lately.since) < TURNS_WINDOW {
            return 0;
        }
        let before = self.now;
        self.look();
        self.lately = Lately { since: now, count: 0, micros: 0, peak: self.under_way };
        self.owed += before.saturating_sub(self.now);
        let more = self.now.saturating_sub(before);
        // Places that are owed stay, instead of going and coming again.
        let kept = more.min(self.owed);
        self.owed -= kept;
        more - kept
    }

    /// Moves the bound a quarter of the way to where this window's requests say it should be.
    fn look(&mut self) {
        let lately = self.lately.micros / self.lately.count.max(1);
        self.usual = match self.usual {
            0 => lately,
            // The quickest counts; it is forgotten slowly, or a moment of luck would bound us for ever.
            usual if lately < usual => usual.midpoint(lately),
            usual => usual + (usual / 8_192).max(1),
        };
        // In 1,024ths: what is twice the usual time is still good.
        let gradient = (self.usual * 2 * 1_024 / lately.max(1)).clamp(512, 1_024);
        let wide = self.now as u64 * gradient / 1_024;
        let target = usize::try_from(wide).unwrap_or(usize::MAX) + TURNS_LEAST / 4;
        // Requests that do not need their places say nothing of how many more there could be.
        if target > self.now && self.lately.peak * 2 < self.now {
            return;
        }
        let moved = if target > self.now {
            self.now + (target - self.now).div_ceil(4)
        } else {
            self.now - (self.now - target).div_ceil(4)
        };
        self.now = moved.clamp(TURNS_LEAST.min(self.most), self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that keep all places busy for so many windows; each window's take this long.
    fn run(bound: &mut Bound, windows: u32, took: Duration) {
        for _ in 0..windows {
            bound.under_way = bound.now;
            bound.lately.peak = bound.now;
            let now = bound.lately.since + TURNS_WINDOW;
            bound.ended(took, now);
        }
    }

    fn bound(most: usize) -> Bound {
        Turns::new(most).bound.into_inner().unwrap()
    }

    #[test]
    fn the_bound_grows_while_requests_are_quick_and_shrinks_when_they_are_not() {
        let mut bound = bound(256);
        run(&mut bound, 1_000, Duration::from_millis(3));
        assert_eq!(bound.now, 256, "quick requests get all places");
        run(&mut bound, 1, Duration::from_millis(5));
        assert_eq!(bound.now, 256, "less than twice as long is as good");
        run(&mut bound, 200, Duration::from_millis(60));
        assert!(bound.now <= TURNS_LEAST * 2, "{}", bound.now);
        assert!(bound.now >= TURNS_LEAST);
        run(&mut bound, 1_000, Duration::from_millis(3));
        assert_eq!(bound.now, 256, "it comes back");
    }

    #[test]
    fn few_requests_do_not_widen_the_bound() {
        let mut bound = bound(256);
        let begun = bound.now;
        for _ in 0..100 {
            let now = bound.lately.since + TURNS_WINDOW;
            bound.ended(Duration::from_millis(1), now);
        }
        assert_eq!(bound.now, begun);
    }

    #[tokio::test]
    async fn only_what_was_answered_counts() {
        let turns = Turns::new(4);
        drop(turns.turn().await);
        assert!(!turns.has_counted(), "a request that was cut");
        assert_eq!((turns.places.available_permits(), turns.bound.lock().unwrap().under_way), (4, 0));
        turns.turn().await.unwrap().answered();
        assert!(turns.has_counted());
        assert_eq!((turns.places.available_permits(), turns.bound.lock().unwrap().under_way), (4, 0));
    }

    #[tokio::test]
    async fn as_many_are_under_way_as_the_bound_says_and_places_come_back() {
        let turns = Turns::new(4);
        let held: Vec<_> = [turns.turn().await, turns.turn().await, turns.turn().await, turns.turn().await]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(held.len(), 4);
        assert!(futures::poll!(Box::pin(turns.turn())).is_pending(), "a fifth waits");
        drop(held);
        assert!(turns.turn().await.is_some());
        // Two places are taken away while all are in use: only two are left afterwards.
        let held: Vec<_> =
            [turns.turn().await, turns.turn().await, turns.turn().await, turns.turn().await].into();
        turns.bound.lock().unwrap().owed = 2;
        drop(held);
        assert_eq!(turns.places.available_permits(), 2);
    }
}
