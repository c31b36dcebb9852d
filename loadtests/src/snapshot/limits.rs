//! What this machine can do at best, and how near the tree comes to it.

use super::Built;
use super::short;
use crate::report::{Figure, Goal, Report};
use alloy_primitives::keccak256;
use anyhow::{Context, ensure};
use p3_keccak::Keccak256Hash;
use p3_symmetric::CryptographicHasher;
use rayon::prelude::*;
use rs_merkle::{Hasher, MerkleTree};
use serde::{Deserialize, Serialize};
use sluice_core::entitlement::Word;
use sluice_snapshot::{Snapshot, tree};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Limits of this machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Batched Keccak-256 hashes a second of 128-byte messages, all cores.
    leaf_rate: f64,
    /// The same of 64-byte messages.
    node_rate: f64,
    /// Bytes a second that this disk makes durable.
    pub sync_rate: f64,
}

/// Bytes that the disk is measured with.
const SYNC_BYTES: usize = 256 << 20;

impl Limits {
    pub(super) fn measure(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { leaf_rate: hash_rate(128), node_rate: hash_rate(64), sync_rate: sync_rate(folder)? })
    }

    pub(super) fn report(&self, report: &mut Report) {
        let hashes =
            |name: &str, rate| Figure::new(format!("batched Keccak-256 here, {name}"), rate, "hashes/s");
        report.add(hashes("128 bytes", self.leaf_rate));
        report.add(hashes("64 bytes", self.node_rate));
        report.add(Figure::new("this disk's sync", self.sync_rate / 1e6, "MB/s"));
    }

    /// The least seconds that a tree over `count` words takes.
    fn tree_seconds(&self, count: u64) -> f64 {
        let leaves = count.div_ceil(tree::BUCKET) as f64;
        leaves / self.leaf_rate + leaves / self.node_rate
    }
}

/// Hashes a second of messages that lie in the cache, on all cores.
fn hash_rate(message: usize) -> f64 {
    let work = |_: rayon::BroadcastContext<'_>| {
        let messages = vec![0x5a; message * 1_024];
        let mut hashes = vec![[0; 32]; 1_024];
        let (begin, mut done) = (Instant::now(), 0u64);
        while begin.elapsed() < Duration::from_millis(700) {
            Keccak256Hash.hash_many(std::hint::black_box(&messages), &mut hashes);
            done += hashes.len() as u64;
        }
        std::hint::black_box(&hashes);
        done as f64 / begin.elapsed().as_secs_f64()
    };
    rayon::broadcast(work).iter().sum()
}

fn sync_rate(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("sync-rate.tmp");
    let failed = || format!("cannot write {}", path.display());
    let mut file = File::create(&path).with_context(failed)?;
    let block: Vec<u8> =
        (0..1 << 20).map(|place: u32| (place.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    for _ in 0..SYNC_BYTES >> 20 {
        file.write_all(&block).with_context(failed)?;
    }
    let begin = Instant::now();
    file.sync_all().with_context(failed)?;
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(&path).with_context(failed)?;
    Ok(SYNC_BYTES as f64 / seconds)
}

/// The tree alone, over words that lie in memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tree {
    seconds: f64,
    /// Of the limit of batched hashing.
    of_limit: f64,
    /// Wallets of the subtree that rs_merkle was given too.
    wallets: u64,
    /// Our seconds for it.
    ours: f64,
    /// The least that this machine's batched hash allows for it.
    least: f64,
    /// rs_merkle's seconds over the same leaves, and with a leaf for each wallet.
    rs_merkle: [f64; 2],
}

impl Tree {
    pub(super) fn report(&self, rows: u64, built: &Built, report: &mut Report) {
        let size = short(rows);
        let rate = rows as f64 / self.seconds;
        report
            .add(Figure::new(format!("tree alone, {size}"), rate, "rows/s").note("words in the page cache"));
        let write = (built.hash - self.seconds).max(f64::MIN_POSITIVE);
        let note = "tree and write, less the tree alone";
        report.add(Figure::new(format!("write, {size}"), rows as f64 / write, "rows/s").note(note));
        let figure = Figure::new(format!("tree against batched Keccak, {size}"), self.of_limit, "×");
        report.add(figure.goal(Goal::AtLeast(0.75)));
        let [same, each] = self.rs_merkle;
        let wallets = short(self.wallets);
        let most = same / self.least;
        let note = format!(
            "the same leaves and root over {wallets} wallets, {same:.2} s; batched Keccak at its limit would be {most:.0} ×"
        );
        let figure = Figure::new(format!("tree against rs_merkle, {size}"), same / self.ours, "×");
        report.add(figure.goal(Goal::AtLeast(30.0)).note(note));
        let note = format!("as its users build it: {wallets} leaves, {each:.2} s");
        let name = format!("tree against rs_merkle with a leaf a wallet, {size}");
        report.add(Figure::new(name, each / self.ours, "×").note(note));
    }
}

/// Levels of the subtree that rs_merkle builds too: 2^19 leaves, 2 million wallets.
const BESIDE_LEVELS: u8 = 19;

pub(super) fn tree_alone(path: &Path, limits: &Limits) -> anyhow::Result<Tree> {
    let snapshot = Snapshot::open(path)?;
    let count = snapshot.count();
    let depth = snapshot.depth();
    // Touches every page of the file.
    std::hint::black_box(snapshot.words(0..count).par_iter().map(|word| u64::from(word.0[31])).sum::<u64>());
    let begin = Instant::now();
    let root = root_of_range(&snapshot, depth);
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(root == snapshot.root().0, "the tree over the snapshot's words has another root");
    let levels = BESIDE_LEVELS.min(depth.saturating_sub(1));
    let wallets = tree::capacity(levels);
    let begin = Instant::now();
    let expected = root_of_range(&snapshot, levels);
    let ours = begin.elapsed().as_secs_f64();
    let words = snapshot.words(0..wallets);
    let (same, found) = rs_merkle(words.as_chunks::<4>().0);
    ensure!(found == expected, "rs_merkle has another root over the same leaves");
    let (each, _) = rs_merkle(words.as_chunks::<1>().0);
    let least = limits.tree_seconds(wallets);
    let of_limit = limits.tree_seconds(count) / seconds;
    Ok(Tree { seconds, of_limit, wallets, ours, least, rs_merkle: [same, each] })
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
struct Keccak;

impl Hasher for Keccak {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        keccak256(data).0
    }
}

/// rs_merkle's seconds and root over leaves of `N` words each.
fn rs_merkle<const N: usize>(leaves: &[[Word; N]]) -> (f64, [u8; 32]) {
    let begin = Instant::now();
    let hash = |leaf: &[Word; N]| Keccak::hash(leaf.map(|word| word.0).as_flattened());
    let hashes: Vec<[u8; 32]> = leaves.iter().map(hash).collect();
    let root = MerkleTree::<Keccak>::from_leaves(&hashes).root();
    (begin.elapsed().as_secs_f64(), root.expect("there are leaves"))
}
