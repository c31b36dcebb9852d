//! The feed: intake rows of all nodes into verification and on to the sequencer. One campaign's backlog never stands
//! before another's rows, and a slow look-up never before other claims. This node's own rows are handed over by its
//! writer; where one is missing between what was read and what is handed over, and for all other nodes, the rows are read.

mod shares;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use sluice_core::command::{Accepted, Demand};
use sluice_core::decide::Input;
use sluice_core::ids::{CampaignId, NodeId};
use sluice_core::limits::{CURSOR_WINDOW_MAX, INTAKE_READ_MAX, VERIFY_LATE_MAX, VERIFY_QUEUE_MAX};
use sluice_core::sequencer::fair::Weights;
use sluice_core::state::State;
use sluice_store::{Cursor, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arrivals::Arrivals;
use crate::error::EngineError;
use crate::follower::Follower;
use crate::sequencer::Verified;
use crate::verify::Verifier;
use shares::{due_now, is_read, part, room_for_own, share, share_of, weight_of_all};

/// How often rows of other nodes are looked for; this node's own are handed over.
const POLL: Duration = Duration::from_millis(20);
/// How often the list of nodes is read again.
const NODES_EVERY: Duration = Duration::from_secs(1);
/// A node that was silent for this long, many of its heartbeats, has probably ended.
const SILENT_AFTER: Duration = Duration::from_secs(60);
/// How often the queues of silent nodes are looked at: what they accepted before they fell silent is read at the start
/// of a term, and a node may only have been slow.
const SILENT_EVERY: Duration = Duration::from_secs(10);
/// Demands verified by one task. A task for each costs as much as what it does; many in one leave other cores idle.
const TOGETHER: usize = 16;
/// Before a demand whose look-up failed is verified again.
const LOOKUP_AGAIN: Duration = Duration::from_millis(500);

/// Reads and verifies rows for one term of leadership.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    follower: Follower,
    verifier: Verifier,
    verified: mpsc::Sender<Verified>,
    again: mpsc::UnboundedReceiver<Input>,
    arrivals: Arc<Arrivals>,
    /// Rows read of each queue in this term, or handed over.
    read: HashMap<(CampaignId, NodeId), u64>,
    /// Queues in which rows were found, or are known to be: they are read at every look.
    busy: HashSet<(CampaignId, NodeId)>,
    /// How many of the quiet ones had their turn.
    quiet: usize,
    /// Nodes that live: their queues are read, and those of no others again and again.
    nodes: Vec<NodeId>,
    nodes_read: Option<Instant>,
    /// Queues of silent nodes that may hold rows to be read.
    silent: BTreeSet<(CampaignId, NodeId)>,
    silent_read: Option<Instant>,
    /// When queues were last read; `None` when there is more to be read at once.
    looked: Option<Instant>,
    under_way: Arc<Semaphore>,
    /// What `under_way` is to the others, to rows whose look-up has failed: their chain may be silent for minutes.
    again_under_way: Arc<Semaphore>,
    late: Arc<Late>,
    weights: Weights,
    /// Verifications under way.
    verifying: JoinSet<()>,
}

/// Rows of each campaign whose look-up has failed so far. They do not count toward its share: while a chain is away, its
/// campaign's other claims are decided, and above all its holds.
type Late = Mutex<HashMap<CampaignId, usize>>;

impl Feed {
    /// A feed that starts from the cursors in State.
    pub fn new(
        store: Store,
        follower: Follower,
        verifier: Verifier,
        verified: mpsc::Sender<Verified>,
        again: mpsc::UnboundedReceiver<Input>,
        arrivals: Arc<Arrivals>,
    ) -> Self {
        arrivals.open();
        let weights = follower.room().weights();
        Self {
            store,
            follower,
            verifier,
            verified,
            again,
            arrivals,
            read: HashMap::new(),
            busy: HashSet::new(),
            quiet: 0,
            nodes: Vec::new(),
            nodes_read: None,
            silent: BTreeSet::new(),
            silent_read: None,
            looked: None,
            under_way: Arc::new(Semaphore::new(VERIFY_QUEUE_MAX)),
            again_under_way: Arc::new(Semaphore::new(VERIFY_LATE_MAX)),
            late: Arc::default(),
            weights,
            verifying: JoinSet::new(),
        }
    }

    /// Feeds until the sequencer of this term is gone.
    ///
    /// # Errors
    /// When rows cannot be read for another reason than that the database gives no answer.
    pub async fn run(mut self) -> Result<std::convert::Infallible, EngineError> {
        loop {
            let mut taken = self.take_handed().await?;
            if self.looked.is_none_or(|at| at.elapsed() >= POLL) {
                match self.tick().await {
                    Ok(read) => taken += read,
                    Err(error) if error.is_no_answer() => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "rows are read again later");
                        // A database says nothing when it answers again; the end of the term, which the lease decides, ends this.
                        tokio::time::sleep(LOOKUP_AGAIN).await;
                    }
                    Err(error) => return Err(error),
                }
            }
            if taken == 0 {
                tokio::select! {
                    () = self.arrivals.wait() => {}
                    // Rows of other nodes announce themselves to nobody here.
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    /// Takes up what was handed over, as far as nothing is missing before it; returns how many rows.
    async fn take_handed(&mut self) -> Result<usize, EngineError> {
        let handed = self.arrivals.take();
        if handed.is_empty() {
            return Ok(0);
        }
        let (mut under_way, handed) = self.follower.read(|state| {
            let look = |(campaign, rows): (CampaignId, VecDeque<Accepted>)| {
                let node = rows.front()?.key.node;
                let rows = rows.into_iter().map(|row| (state.is_answered(row.key), row)).collect::<Vec<_>>();
                Some(((campaign, node), low(state, campaign, node), rows))
            };
            (self.under_way_by_campaign(state), handed.into_iter().filter_map(look).collect::<Vec<_>>())
        });
        let mut taken = 0;
        for (queue, low, rows) in handed {
            let own = under_way.get(&queue.0).copied().unwrap_or(0);
            let share = share_of(queue.0, &under_way, &self.weights);
            let room = (room_for_own(share, own), is_read(share, own));
            let next = self.next_of(queue, low, room, rows);
            if !next.is_empty() {
                *under_way.entry(queue.0).or_default() += next.len();
            }
            taken += next.len();
            self.take_up(next).await?;
        }
        Ok(taken)
    }

    /// The rows that follow what was read of a queue and are not answered, as many as there is room for. Of a campaign that has
    /// its share, the others are read when some of it is free again.
    fn next_of(
        &mut self,
        queue: (CampaignId, NodeId),
        low: u64,
        (room, is_read): (usize, bool),
        rows: Vec<(bool, Accepted)>,
    ) -> Vec<Accepted> {
        let read = self.read.entry(queue).or_default();
        *read = low.max(*read);
        let mut next = Vec::with_capacity(rows.len());
        for (answered, row) in rows {
            if row.key.n <= *read {
                continue;
            }
            if *read - low >= CURSOR_WINDOW_MAX as u64 || next.len() >= room {
                break;
            }
            if row.key.n > *read + 1 {
                // The rows between are read, now if there is room for them.
                self.busy.insert(queue);
                if is_read {
                    self.looked = None;
                }
                break;
            }
            *read = row.key.n;
            next.extend((!answered).then_some(row));
        }
        next
    }

    /// One reading of all queues; returns how many rows were taken up.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn tick(&mut self) -> Result<usize, EngineError> {
        while let Some(ended) = self.verifying.try_join_next() {
            // Its row would wait for ever, and with it, one day, every row behind it.
            ended.map_err(|panic| EngineError::Incident(format!("a verification panicked: {panic}")))?;
        }
        while let Ok(input) = self.again.try_recv() {
            self.take_up(vec![back(input)]).await?;
        }
        self.looked = Some(Instant::now());
        self.read_nodes().await?;
        let (queues, each) = self.looked_at();
        let queues = due_now(queues, &self.busy, &mut self.quiet);
        let rows = self.store.read_intake(&queues, each).await?;
        let found: HashSet<_> = rows.iter().map(|row| (row.key.campaign, row.key.node)).collect();
        // A queue that is overtaken by too many rows is not among those asked, and stays.
        for queue in queues.iter().map(|q| (q.campaign, q.node)).filter(|queue| !found.contains(queue)) {
            self.silent.remove(&queue);
            self.busy.remove(&queue);
        }
        self.busy.extend(found);
        let mut of_each = HashMap::<_, i64>::new();
        for row in &rows {
            self.read.insert((row.key.campaign, row.key.node), row.key.n);
            *of_each.entry((row.key.campaign, row.key.node)).or_default() += 1;
        }
        if of_each.values().any(|read| *read >= each) {
            self.looked = None;
        }
        let open = self
            .follower
            .read(|state| rows.into_iter().filter(|row| !state.is_answered(row.key)).collect::<Vec<_>>());
        let taken = open.len();
        self.take_up(open.iter().map(sluice_store::IntakeRow::accepted).collect::<Result<_, _>>()?).await?;
        Ok(taken)
    }

    /// Reads which nodes live and, more rarely, which queues the silent ones left.
    async fn read_nodes(&mut self) -> Result<(), EngineError> {
        let due = |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
        if !due(self.nodes_read, NODES_EVERY) {
            return Ok(());
        }
        let nodes = self.store.nodes().await?;
        self.nodes_read = Some(Instant::now());
        // By the database's clock: this node reported a moment ago.
        let latest = nodes.iter().map(|node| node.last_seen).max().unwrap_or(0);
        let silent_after = u64::try_from(SILENT_AFTER.as_millis()).unwrap_or(u64::MAX);
        let lives = |seen: u64| latest.saturating_sub(seen) < silent_after;
        self.nodes = nodes.iter().filter(|node| lives(node.last_seen)).map(|node| node.id).collect();
        if due(self.silent_read, SILENT_EVERY) {
            let wanted = self.follower.read(|state| queues(state).collect::<Vec<_>>());
            let sources = self.store.intake_sources(&wanted).await?;
            let lives: HashSet<_> = self.nodes.iter().copied().collect();
            self.silent.extend(sources.into_iter().filter(|(_, node)| !lives.contains(node)));
            self.silent_read = Some(Instant::now());
        }
        Ok(())
    }

    /// The queues that are read by turns, each with the row after which to read: every one of a node that lives, and those of
    /// silent nodes that may hold rows. Left out are those with too many rows overtaken, and all of a campaign that has its
    /// share of what is read and not decided.
    pub fn queues(&self) -> Vec<Cursor> {
        self.looked_at().0
    }

    /// These queues, and how many rows are read of each.
    fn looked_at(&self) -> (Vec<Cursor>, i64) {
        self.follower.read(|state| {
            let under_way = self.under_way_by_campaign(state);
            let has_room = |queue| {
                let share = share_of(queue, &under_way, &self.weights);
                under_way.get(&queue).is_none_or(|count| is_read(share, *count))
            };
            // What weighs more is read as often as it has room for as much.
            let part = part(share(1, weight_of_all(&under_way, &self.weights)));
            let living = queues(state).flat_map(|c| self.nodes.iter().map(move |node| (c, *node)));
            let silent = self.silent.iter().copied().filter(|(_, node)| !self.nodes.contains(node));
            let cursor = |(campaign, node)| {
                let low = low(state, campaign, node);
                let read = self.read.get(&(campaign, node)).copied().unwrap_or(0).max(low);
                let ahead = usize::try_from(read - low).unwrap_or(usize::MAX);
                (ahead < CURSOR_WINDOW_MAX).then_some(Cursor { campaign, node, after: read })
            };
            let queues = living.chain(silent).filter(|(campaign, _)| has_room(*campaign));
            let each = i64::try_from(part).unwrap_or(INTAKE_READ_MAX).min(INTAKE_READ_MAX);
            (queues.filter_map(cursor).collect(), each)
        })
    }

    fn under_way_by_campaign(&self, state: &State) -> HashMap<CampaignId, usize> {
        under_way(&self.read, &self.late.lock().expect("no panic inside"), state)
    }

    /// Verifies demands in the pool and hands them on.
    async fn take_up(&mut self, rows: Vec<Accepted>) -> Result<(), EngineError> {
        let mut rows = rows.into_iter().peekable();
        while let Some(campaign) = rows.peek().map(|row| row.key.campaign) {
            let mut some = Vec::with_capacity(TOGETHER);
            while some.len() < TOGETHER
                && let Some(row) = rows.next_if(|row| row.key.campaign == campaign)
            {
                some.push(row);
            }
            let Ok(count) = u32::try_from(some.len()) else { unreachable!("at most {TOGETHER}") };
            let permits = Arc::clone(&self.under_way).acquire_many_owned(count).await;
            let mut permits = permits.map_err(|_| EngineError::Stopping)?;
            let verifying = Verifying {
                verifier: self.verifier.clone(),
                verified: self.verified.clone(),
                again_under_way: Arc::clone(&self.again_under_way),
                late: Arc::clone(&self.late),
            };
            self.verifying.spawn(async move {
                // Whoever waits for a chain does not hold up the others of its task.
                let each = some.into_iter().map(|row| verifying.hand_on(row, permits.split(1)));
                let all = join_all(each.collect::<Vec<_>>());
                verifying.verifier.workers().run(campaign, all).await;
            });
        }
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.arrivals.close();
    }
}

/// What a task that verifies needs.
struct Verifying {
    verifier: Verifier,
    verified: mpsc::Sender<Verified>,
    again_under_way: Arc<Semaphore>,
    late: Arc<Late>,
}

/// A row whose look-up has failed so far.
struct LateRow<'a> {
    late: &'a Late,
    campaign: CampaignId,
}

impl<'a> LateRow<'a> {
    fn new(late: &'a Late, campaign: CampaignId) -> Self {
        *late.lock().expect("no panic inside").entry(campaign).or_default() += 1;
        Self { late, campaign }
    }
}

impl Drop for LateRow<'_> {
    fn drop(&mut self) {
        let mut late = self.late.lock().expect("no panic inside");
        if let Entry::Occupied(mut count) = late.entry(self.campaign) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Verifying {
    /// Verifies one demand, however often it takes, and hands it on.
    async fn hand_on(&self, row: Accepted, mut permit: Option<OwnedSemaphorePermit>) {
        let mut late = None;
        let input = loop {
            match self.verifier.verify(&row).await {
                Ok(input) => break input,
                Err(error) => {
                    tracing::warn!(campaign = %row.key.campaign, node = row.key.node, n = row.key.n, error = %error,
                        "a demand could not be verified now; it is tried again");
                    // Others are verified while this one waits for its chain.
                    late.get_or_insert_with(|| LateRow::new(&self.late, row.key.campaign));
                    drop(permit.take());
                    // A chain or a database that failed says nothing when it is back; the end of the term ends this.
                    tokio::time::sleep(LOOKUP_AGAIN).await;
                }
            }
            if self.verified.is_closed() {
                return;
            }
            permit = Arc::clone(&self.again_under_way).acquire_owned().await.ok();
        };
        drop(late);
        // When the term is over the next one reads the row again.
        let _ = self.verified.send((row.key.campaign, input)).await;
        drop(permit);
    }
}

/// Rows of each campaign that were read in this term and are not decided, of campaigns that have any; without those whose
/// look-up has failed.
fn under_way(
    read: &HashMap<(CampaignId, NodeId), u64>,
    late: &HashMap<CampaignId, usize>,
    state: &State,
) -> HashMap<CampaignId, usize> {
    let mut under_way = HashMap::<_, usize>::new();
    for (queue, read) in read {
        let answered = state.cursors.get(queue).map_or(0, |c| c.low() + c.ahead() as u64);
        let open = usize::try_from(read.saturating_sub(answered)).unwrap_or(usize::MAX);
        *under_way.entry(queue.0).or_default() += open;
    }
    under_way.retain(|campaign, count| {
        *count = count.saturating_sub(late.get(campaign).copied().unwrap_or(0));
        *count > 0
    });
    under_way
}

/// Up to where every row of a queue is answered.
fn low(state: &State, campaign: CampaignId, node: NodeId) -> u64 {
    state.cursors.get(&(campaign, node)).map_or(0, sluice_core::state::cursor::Cursor::low)
}

/// All queues: the stream's own and, of each campaign, that of its claims and that of its commands and masks.
fn queues(state: &State) -> impl Iterator<Item = CampaignId> + '_ {
    let of_campaigns = state.campaigns.keys().flat_map(|campaign| [campaign.orders(), *campaign]);
    std::iter::once(CampaignId::default()).chain(of_campaigns)
}

/// The demand of an input that must be verified again.
fn back(input: Input) -> Accepted {
    match input {
        Input::Claim(c) => {
            Accepted { key: c.key, id: c.id, accepted_at: c.accepted_at, demand: Demand::Claim(c.claim) }
        }
        Input::Command(c) => {
            Accepted { key: c.key, id: c.id, accepted_at: c.accepted_at, demand: Demand::Command(c.command) }
        }
        // When masks were accepted decides nothing.
        Input::Gate(g) => Accepted { key: g.key, id: g.id, accepted_at: 0, demand: Demand::Gate(g.signed) },
        Input::Observed(_) => unreachable!("only demands are verified"),
    }
}

#[cfg(test)]
mod tests;
