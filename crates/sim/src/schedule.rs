//! Which faults come when: drawn from the seed alone, so that a seed is the schedule.

use std::fmt;
use std::time::Duration;

use crate::seed::Seed;

/// Which of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// One of the two, drawn.
    Slot(usize),
    /// Whoever leads when the moment has come.
    Leader,
}

/// A kind of statement, as LOG.md §4 tells its commits apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Commit {
    /// The intake group.
    Intake,
    /// An append with decisions of demands.
    Decisions,
    /// An append with a planned batch.
    Batch,
    /// An append with a signed attempt and its bytes.
    Attempt,
    /// An append of what the watcher saw.
    Watcher,
}

impl Commit {
    pub(crate) const ALL: [Self; 5] =
        [Self::Intake, Self::Decisions, Self::Batch, Self::Attempt, Self::Watcher];
}

/// Where in a statement's way the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cut {
    /// The server never hears of it.
    BeforeExecute,
    /// Carried out, and the connection ends before its commit.
    BeforeCommit,
    /// Committed, and the answer never arrives.
    AfterCommit,
    /// Everything is sent, and the client is cut off while the server is still at it.
    Blindly,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] =
        [Self::BeforeExecute, Self::BeforeCommit, Self::AfterCommit, Self::Blindly];
}

/// What becomes of the next `eth_sendRawTransaction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Broadcast {
    /// The chain's node never hears of it.
    LostBefore,
    /// It does, and the answer never arrives.
    LostAfter,
    /// It never hears of it, and an error is answered.
    Refused,
    /// It does, and an error is answered nevertheless.
    RefusedAfter,
}

impl Broadcast {
    pub(crate) const ALL: [Self; 4] = [Self::LostBefore, Self::LostAfter, Self::Refused, Self::RefusedAfter];
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and a new process after a while.
    Kill { which: Which, down: Duration },
    /// SIGKILL of both.
    KillBoth { down: Duration },
    /// SIGTERM, and a new process after a while.
    Terminate { which: Which, down: Duration },
    /// SIGSTOP of the leader for longer than its lease, then SIGCONT.
    Freeze { length: Duration },
    /// The connection is cut at the next statement of this kind, at whichever node it runs.
    CutCommit { commit: Commit, cut: Cut },
    /// Nobody reaches the database.
    DatabaseAway { length: Duration },
    /// The next broadcast goes wrong.
    CutBroadcast { how: Broadcast },
    /// Every request to the chain is answered with an error.
    ChainAway { length: Duration },
    /// Every answer of the chain takes its time.
    ChainSlow { length: Duration },
    /// The last blocks vanish with all that was in them.
    Reorganise { depth: u64 },
    /// The mempool forgets what it holds.
    DropTransactions,
    /// The database's clock goes forward at once.
    ClockForward { by: Duration },
    /// The next block's base fee is this many gwei.
    FeeSpike { gwei: u64 },
}

impl Fault {
    /// The name in the table.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kill { .. } => "SIGKILL".into(),
            Self::KillBoth { .. } => "SIGKILL of both".into(),
            Self::Terminate { .. } => "SIGTERM".into(),
            Self::Freeze { .. } => "SIGSTOP beyond the lease".into(),
            Self::CutCommit { commit, cut } => format!("cut: {commit:?} {cut:?}"),
            Self::DatabaseAway { .. } => "database away".into(),
            Self::CutBroadcast { how } => format!("broadcast: {how:?}"),
            Self::ChainAway { .. } => "chain answers errors".into(),
            Self::ChainSlow { .. } => "chain answers late".into(),
            Self::Reorganise { .. } => "reorganisation".into(),
            Self::DropTransactions => "mempool dropped".into(),
            Self::ClockForward { .. } => "database's clock forward".into(),
            Self::FeeSpike { .. } => "base fee spike".into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { which, down } => write!(f, "SIGKILL {which:?}, down {down:?}"),
            Self::KillBoth { down } => write!(f, "SIGKILL both, down {down:?}"),
            Self::Terminate { which, down } => write!(f, "SIGTERM {which:?}, down {down:?}"),
            Self::Freeze { length } => write!(f, "SIGSTOP the leader for {length:?}"),
            Self::Reorganise { depth } => write!(f, "{depth} blocks vanish"),
            Self::ClockForward { by } => write!(f, "the database's clock goes {by:?} forward"),
            Self::FeeSpike { gwei } => write!(f, "base fee of {gwei} gwei"),
            other => f.write_str(&other.name()),
        }
    }
}

/// A fault, and how long the world then goes on before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) fault: Fault,
    pub(crate) pause: Duration,
}

/// SIGKILLs in a deck besides the two of both nodes.
const KILLS: usize = 32;
/// Un-final blocks a reorganisation may take; the chain is set to be final after eight.
const REORG_MAX: u64 = 6;

/// Every kind of fault at least once, in an order and with lengths that follow from the seed.
fn deck(seed: &mut Seed) -> Vec<Round> {
    let mut faults = Vec::new();
    for n in 0..KILLS {
        let which = if n % 2 == 0 { Which::Leader } else { Which::Slot(seed.slot()) };
        faults.push(Fault::Kill { which, down: ms(seed, 0, 1_500) });
    }
    for commit in Commit::ALL {
        faults.extend(Cut::ALL.map(|cut| Fault::CutCommit { commit, cut }));
    }
    faults.extend(Broadcast::ALL.map(|how| Fault::CutBroadcast { how }));
    for _ in 0..6 {
        faults.push(Fault::Reorganise { depth: seed.between(1, REORG_MAX + 1) });
    }
    for _ in 0..3 {
        faults.push(Fault::DropTransactions);
        faults.push(Fault::ClockForward { by: ms(seed, 2_000, 60_000) });
    }
    for _ in 0..2 {
        faults.push(Fault::KillBoth { down: ms(seed, 0, 1_000) });
        faults.push(Fault::Freeze { length: ms(seed, 3_300, 4_500) });
        faults.push(Fault::Terminate { which: Which::Slot(seed.slot()), down: ms(seed, 0, 500) });
        faults.push(Fault::DatabaseAway { length: ms(seed, 200, 1_500) });
        faults.push(Fault::ChainAway { length: ms(seed, 300, 1_500) });
        faults.push(Fault::ChainSlow { length: ms(seed, 500, 2_000) });
        faults.push(Fault::FeeSpike { gwei: seed.between(20, 200) });
    }
    seed.shuffle(&mut faults);
    faults.into_iter().map(|fault| Round { fault, pause: ms(seed, 150, 1_400) }).collect()
}

fn ms(seed: &mut Seed, from: u64, to: u64) -> Duration {
    Duration::from_millis(seed.between(from, to))
}

/// One whole deck after another: `rounds` faults in all, or exactly one deck.
pub(crate) fn draw(seed: &Seed, rounds: Option<usize>) -> Vec<Round> {
    let mut seed = seed.fork("faults");
    let mut drawn = deck(&mut seed);
    if let Some(rounds) = rounds {
        while drawn.len() < rounds {
            drawn.extend(deck(&mut seed));
        }
        drawn.truncate(rounds);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule_and_a_deck_holds_every_cut_and_thirty_kills() {
        let seed = Seed::new(1);
        let deck = draw(&seed, None);
        assert_eq!(deck, draw(&seed, None));
        assert_ne!(deck, draw(&Seed::new(2), None));
        for commit in Commit::ALL {
            for cut in Cut::ALL {
                assert!(
                    deck.iter().any(|r| r.fault == Fault::CutCommit { commit, cut }),
                    "{commit:?} {cut:?}"
                );
            }
        }
        assert!(deck.iter().filter(|r| matches!(r.fault, Fault::Kill { .. })).count() >= 30);
        assert_eq!(draw(&seed, Some(5)), deck[..5]);
    }
}
