//! What this machine can do at best, and how near the tree comes to it.

use super::Built;
use super::disk;
use super::short;
use crate::claims::stats;
use crate::machine::{process_seconds, thread_seconds};
use crate::report::{Figure, Goal, Report};
use alloy_primitives::keccak256;
use anyhow::ensure;
use p3_keccak::Keccak256Hash;
use p3_symmetric::CryptographicHasher;
use rayon::prelude::*;
use rs_merkle::{Hasher, MerkleTree};
use serde::{Deserialize, Serialize};
use sluice_core::entitlement::Word;
use sluice_snapshot::{Snapshot, tree};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long something took, all threads together.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Took {
    /// By the clock.
    seconds: f64,
    /// Of one processor.
    processor: f64,
}

impl Took {
    fn measure<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let (begin, processor) = (Instant::now(), process_seconds());
        let done = work();
        (Self { seconds: begin.elapsed().as_secs_f64(), processor: process_seconds() - processor }, done)
    }
}

/// Batched Keccak-256 hashes a second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Keccak {
    /// Of all cores, by the clock: what others take of the machine is missing.
    clock: f64,
    /// Of one core, by its processor time.
    core: f64,
}

/// Limits of this machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Of 128-byte messages.
    leaf: Keccak,
    /// Of 64-byte messages.
    node: Keccak,
    /// Bytes a second that this disk makes durable, written as a build writes them.
    pub disk_rate: f64,
}

impl Limits {
    pub(super) fn measure(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { leaf: hash_rate(128), node: hash_rate(64), disk_rate: disk::rate(folder)? })
    }

    pub(super) fn report(&self, report: &mut Report) {
        for (name, rate) in [("128 bytes", self.leaf), ("64 bytes", self.node)] {
            let name = format!("batched Keccak-256 here, {name}");
            report.add(Figure::new(&name, rate.clock, "hashes/s"));
            report.add(Figure::new(format!("{name}, a second of processor time"), rate.core, "hashes/s"));
        }
        let figure = Figure::new("this disk, written and synced", self.disk_rate / 1e6, "MB/s");
        report.add(
            figure.note(
                "past the page cache where it can, in parts of 2 MiB from all cores, as a build writes",
            ),
        );
    }
}

/// The least that batched hashing allows for a tree over `count` words.
fn least(leaf: Keccak, node: Keccak, count: u64) -> Took {
    let leaves = count.div_ceil(tree::BUCKET) as f64;
    Took {
        seconds: leaves / leaf.clock + leaves / node.clock,
        processor: leaves / leaf.core + leaves / node.core,
    }
}

/// How long a rate of hashing is measured.
const HASHING: Duration = Duration::from_millis(300);

/// Hashes a second of messages that lie in the cache.
fn hash_rate(message: usize) -> Keccak {
    let work = |_: rayon::BroadcastContext<'_>| {
        let messages = vec![0x5a; message * 1_024];
        let mut hashes = vec![[0; 32]; 1_024];
        let (begin, processor, mut done) = (Instant::now(), thread_seconds(), 0u64);
        while begin.elapsed() < HASHING {
            Keccak256Hash.hash_many(std::hint::black_box(&messages), &mut hashes);
            done += hashes.len() as u64;
        }
        std::hint::black_box(&hashes);
        (done as f64 / begin.elapsed().as_secs_f64(), done as f64 / (thread_seconds() - processor))
    };
    let rates = rayon::broadcast(work);
    let cores = rates.len() as f64;
    Keccak {
        clock: rates.iter().map(|rate| rate.0).sum(),
        core: rates.iter().map(|rate| rate.1).sum::<f64>() / cores,
    }
}

/// The tree alone, over words that lie in memory. Every figure is the median of several turns, in each of which the
/// hashes' limit is measured beside it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tree {
    took: Took,
    /// Of the limit of batched hashing, by the clock and by processor time.
    of_limit: [f64; 2],
    /// Wallets of the subtree that rs_merkle was given too.
    wallets: u64,
    /// rs_merkle's seconds over the same leaves, and with a leaf for each wallet.
    rs_merkle: [f64; 2],
    /// How many times our time they are.
    times: [f64; 2],
    /// The same by processor time, if all cores had worked for the tree alone.
    times_by_processor: [f64; 2],
    /// How many times its own time rs_merkle over the same leaves would take against batched hashing at its limit.
    most: f64,
}

impl Tree {
    /// Seconds of the whole tree, by the clock.
    pub(super) fn seconds(&self) -> f64 {
        self.took.seconds
    }

    pub(super) fn report(&self, rows: u64, built: &Built, report: &mut Report) {
        let size = short(rows);
        let rate = rows as f64 / self.took.seconds;
        report
            .add(Figure::new(format!("tree alone, {size}"), rate, "rows/s").note("words in the page cache"));
        let write = (built.hash - self.took.seconds).max(f64::MIN_POSITIVE);
        let note = "tree and write, less the tree alone";
        report.add(Figure::new(format!("write, {size}"), rows as f64 / write, "rows/s").note(note));
        let [clock, processor] = self.of_limit;
        let name = format!("tree against batched Keccak, {size}");
        report.add(Figure::new(&name, clock, "×").goal(Goal::AtLeast(0.75)));
        let figure = Figure::new(format!("{name}, by processor time"), processor, "×");
        report.add(figure.goal(Goal::AtLeast(0.75)).note("whatever else the machine does"));
        let [same, each] = self.rs_merkle;
        let (wallets, most) = (short(self.wallets), self.most);
        let note = format!(
            "the same leaves and root over {wallets} wallets, {same:.2} s; batched Keccak at its limit would be {most:.0} ×"
        );
        let name = format!("tree against rs_merkle, {size}");
        report.add(Figure::new(&name, self.times[0], "×").goal(Goal::AtLeast(30.0)).note(note));
        report.add(Figure::new(format!("{name}, by processor time"), self.times_by_processor[0], "×"));
        let note = format!("as its users build it: {wallets} leaves, {each:.2} s");
        let name = format!("tree against rs_merkle with a leaf a wallet, {size}");
        report.add(Figure::new(&name, self.times[1], "×").goal(Goal::AtLeast(30.0)).note(note));
        report.add(Figure::new(format!("{name}, by processor time"), self.times_by_processor[1], "×"));
    }
}

/// Levels of the subtree that rs_merkle builds too: 2^19 leaves, 2 million wallets.
const BESIDE_LEVELS: u8 = 19;

/// Turns of each measurement.
const TURNS: usize = 5;

pub(super) fn tree_alone(path: &Path) -> anyhow::Result<Tree> {
    let snapshot = Snapshot::open(path)?;
    let count = snapshot.count();
    let depth = snapshot.depth();
    // Touches every page of the file.
    std::hint::black_box(snapshot.words(0..count).par_iter().map(|word| u64::from(word.0[31])).sum::<u64>());
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let least = least(hash_rate(128), hash_rate(64), count);
        let (took, root) = Took::measure(|| root_of_range(&snapshot, depth));
        ensure!(root == snapshot.root().0, "the tree over the snapshot's words has another root");
        turns.push((took, [least.seconds / took.seconds, least.processor / took.processor]));
    }
    let of_limit = [0, 1].map(|by| median(turns.iter().map(|turn| turn.1[by])));
    let took = Took {
        seconds: median(turns.iter().map(|turn| turn.0.seconds)),
        processor: median(turns.iter().map(|turn| turn.0.processor)),
    };
    let beside = beside_rs_merkle(&snapshot, BESIDE_LEVELS.min(depth.saturating_sub(1)))?;
    Ok(Tree { took, of_limit, ..beside })
}

/// Our tree and rs_merkle's by turns, over the first entitlements.
fn beside_rs_merkle(snapshot: &Snapshot, levels: u8) -> anyhow::Result<Tree> {
    let wallets = tree::capacity(levels);
    let words = snapshot.words(0..wallets);
    let cores = rayon::current_num_threads() as f64;
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let least = least(hash_rate(128), hash_rate(64), wallets);
        let (ours, expected) = Took::measure(|| root_of_range(snapshot, levels));
        let (same, found) = Took::measure(|| rs_merkle(words.as_chunks::<4>().0));
        ensure!(found == expected, "rs_merkle has another root over the same leaves");
        let (each, _) = Took::measure(|| rs_merkle(words.as_chunks::<1>().0));
        turns.push((ours, [same, each], same.processor * cores / least.processor));
    }
    let of = |take: &dyn Fn(Took, Took) -> f64| {
        [0, 1].map(|which| median(turns.iter().map(|(ours, theirs, _)| take(*ours, theirs[which]))))
    };
    Ok(Tree {
        took: Took { seconds: 0.0, processor: 0.0 },
        of_limit: [0.0; 2],
        wallets,
        rs_merkle: of(&|_, theirs| theirs.seconds),
        times: of(&|ours, theirs| theirs.seconds / ours.seconds),
        times_by_processor: of(&|ours, theirs| theirs.processor * cores / ours.processor),
        most: median(turns.iter().map(|turn| turn.2)),
    })
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    stats::median(&figures.collect::<Vec<_>>())
}

/// The root over the first entitlements, computed as a build does: shards on all cores, then the few hashes above
/// them.
fn root_of_range(snapshot: &Snapshot, levels: u8) -> [u8; 32] {
    let below = levels.min(tree::SHARD_LEVELS);
    let size = tree::capacity(below);
    let shards = 1u64 << (levels - below);
    let mut nodes: Vec<[u8; 32]> = (0..shards)
        .into_par_iter()
        .map(|shard| tree::subtree_root(snapshot.words(shard * size..(shard + 1) * size), below).0)
        .collect();
    while nodes.len() > 1 {
        nodes = nodes.as_chunks::<2>().0.iter().map(|pair| keccak256(pair.as_flattened()).0).collect();
    }
    nodes[0]
}

/// Keccak-256 as rs_merkle's users plug it in.
#[derive(Clone)]
struct Plugged;

impl Hasher for Plugged {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        keccak256(data).0
    }
}

/// rs_merkle's root over leaves of `N` words each.
fn rs_merkle<const N: usize>(leaves: &[[Word; N]]) -> [u8; 32] {
    let hash = |leaf: &[Word; N]| Plugged::hash(leaf.map(|word| word.0).as_flattened());
    let hashes: Vec<[u8; 32]> = leaves.iter().map(hash).collect();
    MerkleTree::<Plugged>::from_leaves(&hashes).root().expect("there are leaves")
}
