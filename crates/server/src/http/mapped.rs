//! Reads of mapped files. While their pages are in memory they are done where they are asked for: handing one to another
//! thread and back takes four times as long as a look-up. A read that waits for a disk stops every request that the
//! thread serves, so after one the next are done elsewhere, until none has waited for a while.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::sys::resource::{UsageWho, getrusage};

use super::problem::Problem;

/// Reads elsewhere, one after another, that found all pages in memory before any is done where it is asked for: of reads
/// that wait for a disk at most one in so many holds up others.
const WARM_AFTER: u32 = 64;

/// How often a read lets other requests go first while one is done here, before it is done elsewhere: one that waits for no
/// disk takes microseconds, less than handing another to a thread and back.
const YIELDS_MAX: u32 = 16;

/// Where reads are done: here or elsewhere.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// Reads since one waited for a disk, no further than [`WARM_AFTER`].
    since: AtomicU32,
    /// Whether one is done where it is asked for. No second one is meanwhile, so that however many pages come from a disk
    /// at once, they hold up one thread.
    here: AtomicBool,
}

impl Mapped {
    /// Does a read, here while pages are in memory.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let watched = move || {
            let before = waits();
            let value = read();
            (value, waits() != before)
        };
        for _ in 0..=YIELDS_MAX {
            if !self.is_warm() {
                break;
            }
            if let Some(here) = self.enter() {
                let (value, waited) = watched();
                drop(here);
                self.done(waited);
                return Ok(value);
            }
            tokio::task::yield_now().await;
        }
        let (value, waited) = super::blocking(watched).await?;
        self.done(waited);
        Ok(value)
    }

    /// Begins a read where it is asked for, unless one is under way there.
    fn enter(&self) -> Option<Here<'_>> {
        (!self.here.swap(true, Ordering::Acquire)).then(|| Here(&self.here))
    }

    fn is_warm(&self) -> bool {
        self.since.load(Ordering::Relaxed) >= WARM_AFTER
    }

    fn done(&self, waited: bool) {
        match waited {
            true => self.since.store(0, Ordering::Relaxed),
            false if self.is_warm() => {}
            false => _ = self.since.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The read that is done where it is asked for, until it ends, however it does.
struct Here<'a>(&'a AtomicBool);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How often this thread has waited for a page from a disk; a clock would also count what the system gave to others.
fn waits() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.major_page_faults())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Mapped, WARM_AFTER};

    #[test]
    fn a_read_that_waited_sends_the_next_ones_elsewhere() {
        let mapped = Mapped::default();
        assert!(!mapped.is_warm(), "nobody knows yet what is in memory");
        (0..WARM_AFTER).for_each(|_| mapped.done(false));
        assert!(mapped.is_warm());
        mapped.done(true);
        (1..WARM_AFTER).for_each(|_| mapped.done(false));
        assert!(!mapped.is_warm(), "one read more has to find its pages");
        mapped.done(false);
        assert!(mapped.is_warm());
    }

    #[tokio::test]
    async fn reads_stay_on_the_thread_that_asks_while_pages_are_in_memory() {
        let mapped = Mapped::default();
        let here = std::thread::current().id();
        for read in 0..=WARM_AFTER {
            let there = mapped.read(|| std::thread::current().id()).await.unwrap();
            assert_eq!(there == here, read == WARM_AFTER, "read {read}");
        }
        let under_way = mapped.enter().unwrap();
        let there = mapped.read(|| std::thread::current().id()).await.unwrap();
        assert_ne!(there, here, "another one is done here");
        drop(under_way);
        let there = mapped.read(|| std::thread::current().id()).await.unwrap();
        assert_eq!(there, here, "it has ended");
    }

    #[tokio::test]
    async fn a_read_that_panics_is_over() {
        let mapped = Arc::new(Mapped::default());
        (0..WARM_AFTER).for_each(|_| mapped.done(false));
        let reader = Arc::clone(&mapped);
        let panicked = tokio::spawn(async move { reader.read::<()>(|| panic!("a bad page")).await });
        assert!(panicked.await.is_err());
        assert!(mapped.enter().is_some());
    }
}
