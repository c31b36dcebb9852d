//! Verify workers: how many demands a node may be computing about at once, at its door and, while it leads, behind it. A
//! worker is held only while something is computed: whoever waits for a chain or the database holds none, so a slow look-up
//! takes nobody else's turn. There may be more or fewer of them at any moment; what is under way just goes on.
//!
//! Campaigns take turns: whoever comes to a campaign of which nobody waits stands behind one of each other campaign, however
//! many of those wait (start-time fair queueing, Goyal, Vin and Cheng 1996, every turn of one length, divided by its campaign's
//! weight).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use sluice_core::ids::CampaignId;
use sluice_core::sequencer::fair::Weights;

/// More than any machine has cores.
const WORKERS_MAX: usize = 1_024;
/// The door and those behind it compute on threads of their own. Were there one worker for both, each would wait, on one core,
/// until the system lets the other's thread go on.
const WORKERS_LEAST: usize = 2;
/// How many may be quicker at a free worker than somebody who was woken for it. To keep each worker for whoever was woken would
/// leave it idle until the system lets his thread go on, and all the more the busier the machine is; never to keep one would
/// let him be overtaken for ever.
const OVERTAKES_MAX: u32 = 16;
/// The length of a turn of a campaign that weighs one; every weight divides it well enough.
const TURN: u64 = 1_000_000;

/// The verify workers of a node.
#[derive(Debug)]
pub struct Workers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wanted: usize,
    weights: Weights,
    /// Who has nothing to do; the one that rested longest works next, so that all work alike.
    free: VecDeque<u64>,
    /// What each has computed for so far.
    busy: BTreeMap<u64, Duration>,
    /// Who waits for a worker, in the order of their turns.
    waiting: BTreeMap<Turn, Waker>,
    /// Who was woken and has not looked yet.
    woken: BTreeSet<Turn>,
    /// How many were quicker at a worker than those since one of them got his.
    overtakes: u32,
    /// Campaigns of which anybody waits.
    lines: HashMap<CampaignId, Line>,
    /// The latest turn that anybody got who had to wait.
    turn: u64,
    named: u64,
    came: u64,
}

/// Whose turn it is: the number of the turn and, of those who share it, the order in which they came.
type Turn = (u64, u64);

/// Those of one campaign who wait.
#[derive(Debug, Default)]
struct Line {
    /// The turn of the last of them.
    last: u64,
    count: usize,
}

impl Default for Workers {
    /// As many as there are cores, and two on one core.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(NonZeroUsize::new(cores.max(WORKERS_LEAST)).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Workers {
    /// So many.
    pub fn new(count: NonZeroUsize) -> Self {
        let workers = Self { inner: Mutex::default() };
        workers.set(count);
        workers
    }

    /// From now on so many, at most 1,024. One that is to go finishes what it computes.
    pub fn set(&self, count: NonZeroUsize) {
        let mut inner = self.inner.lock().expect("no panic inside");
        inner.wanted = count.get().min(WORKERS_MAX);
        while inner.busy.len() < inner.wanted {
            inner.named += 1;
            let name = inner.named;
            inner.busy.insert(name, Duration::ZERO);
            inner.free.push_back(name);
            inner.wake_one();
        }
        while inner.busy.len() > inner.wanted
            && let Some(name) = inner.free.pop_front()
        {
            inner.busy.remove(&name);
        }
    }

    /// From now on campaigns have these turns.
    pub(crate) fn weigh(&self, weights: Weights) {
        self.inner.lock().expect("no panic inside").weights = weights;
    }

    /// How long each of them has computed, by its name; names are never used again.
    pub fn busy(&self) -> BTreeMap<u64, Duration> {
        self.inner.lock().expect("no panic inside").busy.clone()
    }

    /// Runs what verifies for a campaign, each step of it by a worker.
    pub(crate) async fn run<F: Future>(&self, campaign: CampaignId, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut place = Place { workers: self, campaign, turn: None };
        std::future::poll_fn(|context| match place.worker(context) {
            Some(_worker) => work.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await
    }
}

impl Inner {
    fn wake_one(&mut self) {
        if let Some((turn, waker)) = self.waiting.pop_first() {
            self.woken.insert(turn);
            waker.wake();
        }
    }

    /// The turn of one more of a campaign.
    fn line_up(&mut self, campaign: CampaignId) -> Turn {
        let line = self.lines.entry(campaign).or_default();
        line.last = line.last.max(self.turn) + TURN / u64::from(self.weights.of(campaign));
        line.count += 1;
        self.came += 1;
        (line.last, self.came)
    }

    /// One of a campaign waits no more.
    fn step_out(&mut self, campaign: CampaignId) {
        if let Entry::Occupied(mut line) = self.lines.entry(campaign) {
            line.get_mut().count -= 1;
            if line.get().count == 0 {
                line.remove();
            }
        }
    }
}

/// Whoever wants something computed.
///
/// While a worker is free and somebody waits, somebody was woken who has not looked yet: he takes the worker, or finds that
/// another was quicker and waits on in his old place, or goes away and wakes the next.
struct Place<'a> {
    workers: &'a Workers,
    campaign: CampaignId,
    /// His place in the queue, from when he found no worker until he gets one.
    turn: Option<Turn>,
}

impl<'a> Place<'a> {
    fn worker(&mut self, context: &Context<'_>) -> Option<Working<'a>> {
        let mut inner = self.workers.inner.lock().expect("no panic inside");
        let was_woken = self.turn.is_some_and(|turn| inner.woken.remove(&turn));
        let overtakes = !was_woken && !inner.woken.is_empty();
        let kept = if overtakes && inner.overtakes >= OVERTAKES_MAX { inner.woken.len() } else { 0 };
        let name = if inner.free.len() > kept { inner.free.pop_front() } else { None };
        let Some(name) = name else {
            let turn = *self.turn.get_or_insert_with(|| inner.line_up(self.campaign));
            inner.waiting.insert(turn, context.waker().clone());
            return None;
        };
        inner.overtakes = if was_woken { 0 } else { inner.overtakes + u32::from(overtakes) };
        if let Some(turn) = self.turn.take() {
            inner.waiting.remove(&turn);
            inner.turn = inner.turn.max(turn.0);
            inner.step_out(self.campaign);
        }
        Some(Working { workers: self.workers, name, begun: Instant::now() })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(turn) = self.turn else { return };
        let mut inner = self.workers.inner.lock().expect("no panic inside");
        inner.step_out(self.campaign);
        // Whoever was woken and goes away gives his turn to the next.
        inner.waiting.remove(&turn);
        if inner.woken.remove(&turn) {
            inner.wake_one();
        }
    }
}

/// A worker that computes.
struct Working<'a> {
    workers: &'a Workers,
    name: u64,
    begun: Instant,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut inner = self.workers.inner.lock().expect("no panic inside");
        let took = self.begun.elapsed();
        if inner.busy.len() > inner.wanted {
            inner.busy.remove(&self.name);
            return;
        }
        if let Some(busy) = inner.busy.get_mut(&self.name) {
            *busy += took;
        }
        inner.free.push_back(self.name);
        inner.wake_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Wake;
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    const ONE: CampaignId = CampaignId(Uuid::from_u128(1));
    const OTHER: CampaignId = CampaignId(Uuid::from_u128(2));

    fn count(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    /// Computes in steps, and says how many do so at once.
    async fn compute(now: Arc<AtomicUsize>, most: Arc<AtomicUsize>) {
        for _ in 0..50 {
            let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(at_once, Ordering::SeqCst);
            std::hint::black_box((0..2_000_u64).fold(0, u64::wrapping_add));
            now.fetch_sub(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_compute_at_once_than_there_are_and_all_work_alike() {
        let (now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let workers = Arc::new(Workers::new(count(2)));
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let (workers, now, most) = (Arc::clone(&workers), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move { workers.run(ONE, compute(now, most)).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(workers.busy().len(), 2);
        assert!(workers.busy().values().all(|busy| !busy.is_zero()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn workers_come_and_go_and_everything_is_finished() {
        let (now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let workers = Arc::new(Workers::new(count(1)));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (workers, now, most) = (Arc::clone(&workers), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move { workers.run(ONE, compute(now, most)).await })
            })
            .collect();
        for n in (1..=8).chain((1..8).rev()) {
            workers.set(count(n));
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(workers.busy().len(), 1);
        assert_eq!(workers.inner.lock().unwrap().free.len(), 1);
    }

    /// Somebody who wants something computed, polled by hand.
    struct Waiter<'a> {
        work: Pin<Box<dyn Future<Output = ()> + 'a>>,
        woken: Arc<Woken>,
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl<'a> Waiter<'a> {
        fn new(workers: &'a Workers) -> Self {
            Self::of(workers, ONE)
        }

        fn of(workers: &'a Workers, campaign: CampaignId) -> Self {
            Self { work: Box::pin(workers.run(campaign, async {})), woken: Arc::default() }
        }

        fn poll(&mut self) -> Poll<()> {
            self.woken.0.store(false, Ordering::SeqCst);
            self.work.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.woken))))
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    /// A worker that is out until this is dropped.
    fn taken(workers: &Workers) -> Working<'_> {
        Place { workers, campaign: ONE, turn: None }.worker(&Context::from_waker(Waker::noop())).unwrap()
    }

    #[tokio::test]
    async fn nobody_sleeps_beside_a_free_worker_whoever_else_goes_away() {
        // Each of three who wait goes away, before the worker comes back or after he was woken.
        for gone in 0..3 {
            for woken in [false, true] {
                let workers = Workers::new(count(1));
                let mut out = Some(taken(&workers));
                let mut waiting: Vec<_> = (0..3).map(|_| Some(Waiter::new(&workers))).collect();
                for place in waiting.iter_mut().flatten() {
                    assert!(place.poll().is_pending());
                    assert!(place.poll().is_pending(), "looked at twice, he waits once");
                }
                assert_eq!(workers.inner.lock().unwrap().waiting.len(), 3);
                if woken {
                    drop(out.take());
                }
                waiting[gone] = None;
                drop(out.take());
                // Whoever is woken finishes and wakes the next: nobody is polled who was not woken.
                while let Some(place) = waiting.iter_mut().find(|p| p.as_ref().is_some_and(|p| p.is_woken()))
                {
                    assert!(place.take().unwrap().poll().is_ready());
                }
                assert_eq!(waiting.iter().flatten().count(), 0, "{gone} went away, woken: {woken}");
                assert!(workers.inner.lock().unwrap().waiting.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn who_is_overtaken_keeps_his_place_and_who_overtakes_leaves_none_behind() {
        let workers = Workers::new(count(1));
        let out = taken(&workers);
        let (mut first, mut second) = (Waiter::new(&workers), Waiter::new(&workers));
        assert!(first.poll().is_pending() && second.poll().is_pending());
        drop(out);
        assert!(first.is_woken() && !second.is_woken());
        // The second looks for a reason of its own, and is quicker.
        assert!(second.poll().is_ready());
        assert_eq!(workers.inner.lock().unwrap().waiting.len(), 0);
        let out = taken(&workers);
        assert!(first.poll().is_pending());
        let mut third = Waiter::new(&workers);
        assert!(third.poll().is_pending());
        drop(out);
        assert!(first.is_woken() && !third.is_woken(), "the first came before the third");
    }

    #[tokio::test]
    async fn nobody_is_overtaken_for_ever() {
        let workers = Workers::new(count(1));
        let out = taken(&workers);
        let mut first = Waiter::new(&workers);
        assert!(first.poll().is_pending());
        drop(out);
        let quicker = (0..100).take_while(|_| Waiter::new(&workers).poll().is_ready()).count();
        assert_eq!(quicker, OVERTAKES_MAX as usize);
        assert!(first.is_woken() && first.poll().is_ready());
        assert!(Waiter::new(&workers).poll().is_ready());
        let inner = workers.inner.lock().unwrap();
        assert!(inner.waiting.is_empty() && inner.woken.is_empty() && inner.lines.is_empty());
    }

    #[tokio::test]
    async fn who_comes_to_another_campaign_stands_behind_one_of_the_crowd() {
        let workers = Workers::new(count(1));
        let out = taken(&workers);
        let mut waiting: Vec<_> = (0..20).map(|_| Waiter::new(&workers)).collect();
        waiting.extend((0..2).map(|_| Waiter::of(&workers, OTHER)));
        assert!(waiting.iter_mut().all(|place| place.poll().is_pending()));
        drop(out);
        let mut order = Vec::new();
        while let Some(at) = waiting.iter().position(Waiter::is_woken) {
            assert!(waiting[at].poll().is_ready());
            order.push(at);
        }
        assert_eq!(order[..6], [0, 20, 1, 21, 2, 3]);
        assert_eq!(order.len(), 22);
        drop(waiting);
        assert!(workers.inner.lock().unwrap().lines.is_empty());
    }

    #[tokio::test]
    async fn who_weighs_more_has_more_turns() {
        let workers = Workers::new(count(1));
        workers.weigh(Weights::new([(OTHER, 3)]));
        let out = taken(&workers);
        let mut waiting: Vec<_> = (0..20).map(|_| Waiter::new(&workers)).collect();
        waiting.extend((0..9).map(|_| Waiter::of(&workers, OTHER)));
        assert!(waiting.iter_mut().all(|place| place.poll().is_pending()));
        drop(out);
        let mut order = Vec::new();
        while let Some(at) = waiting.iter().position(Waiter::is_woken) {
            assert!(waiting[at].poll().is_ready());
            order.push(at);
        }
        assert_eq!(order[..12].iter().filter(|at| **at >= 20).count(), 9, "{order:?}");
    }

    #[tokio::test]
    async fn whoever_waits_for_something_else_holds_no_worker_and_whoever_leaves_takes_no_turn() {
        let workers = Arc::new(Workers::new(count(1)));
        let gate = Arc::new(Semaphore::new(0));
        let slow = tokio::spawn({
            let (workers, gate) = (Arc::clone(&workers), Arc::clone(&gate));
            async move { workers.run(ONE, async { gate.acquire().await.map(|_| ()).is_ok() }).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(workers.run(ONE, async { 7 }).await, 7, "beside the slow one");
        // Two wait while the worker is out; the first is woken and gone before it looks.
        let out = taken(&workers);
        let mut first = Box::pin(workers.run(ONE, async { 1 }));
        assert!(futures::poll!(&mut first).is_pending());
        let second = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(ONE, async { 2 }).await }
        });
        tokio::task::yield_now().await;
        drop(out);
        drop(first);
        assert_eq!(second.await.unwrap(), 2);
        gate.add_permits(1);
        assert!(slow.await.unwrap());
    }
}
