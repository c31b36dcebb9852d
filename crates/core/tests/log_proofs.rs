//! A log as nodes and claimants meet it: appended in groups, receipts given at decision time, asked for again much
//! later from tiles, and heads compared by an outsider who keeps nothing but the last one.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::collections::HashMap;

use alloy_primitives::Address;
use sluice_core::ids::{ContractRef, NodeId, Seq, StreamId};
use sluice_core::log::entry::{Body, Entry, EpochBegan};
use sluice_core::log::merkle::{
    Frontier, Hash, TILE_WIDTH, TileId, consistency_proof, consistency_tiles, inclusion_path,
    inclusion_tiles, leaf_hash, verify_consistency,
};
use sluice_core::log::note::{LogKey, LogVerifier, Origin, TreeHead};
use sluice_core::log::receipt::Receipt;

/// A log with everything that a store keeps of it.
struct Log {
    key: LogKey,
    entries: Vec<Vec<u8>>,
    frontier: Frontier,
    tiles: HashMap<TileId, Vec<Hash>>,
}

impl Log {
    fn new() -> Self {
        let charter = ContractRef { chain_id: 1, address: Address::repeat_byte(0xC4) };
        let key = LogKey::new(&Origin::new(charter, StreamId(0)), &[1; 32]);
        Self { key, entries: Vec::new(), frontier: Frontier::default(), tiles: HashMap::new() }
    }

    fn verifiers(&self) -> [LogVerifier; 1] {
        [self.key.verifier()]
    }

    fn head(&self) -> TreeHead {
        let origin = self.key.origin().clone();
        TreeHead { origin, size: self.frontier.size(), root: self.frontier.root(), state_hash: None }
    }

    /// Appends a group of entries that this node's epoch could have; gives each its receipt.
    fn append(&mut self, nodes: impl Iterator<Item = NodeId>) -> Vec<Receipt> {
        let first = self.entries.len();
        for node in nodes {
            let seq = self.entries.len() as Seq + 1;
            let body = Body::EpochBegan(EpochBegan { node, sequencer: 1 });
            self.entries.push(Entry { stream: StreamId(0), seq, epoch: 1, recorded_at: seq, body }.encode());
        }
        let group = &self.entries[first..];
        let leaves: Vec<_> = group.iter().map(|bytes| leaf_hash(bytes)).collect();
        let appended = self.frontier.extend_with_paths(&leaves);
        self.tiles.extend(appended.tiles.into_iter().map(|tile| (tile.id(), tile.hashes)));
        let note = self.key.sign(&self.head());
        let rows = group.iter().zip(appended.paths).zip(first as Seq + 1..);
        rows.map(|((entry, path), seq)| Receipt { entry: entry.clone(), seq, path, note: note.clone() })
            .collect()
    }

    /// The tile from wherever it is kept: tiles, the frontier, or the log's rows.
    fn tile(&self, id: TileId) -> Option<Vec<Hash>> {
        if id.level == 0 {
            let start = usize::try_from(id.n).ok()? * TILE_WIDTH;
            let end = self.entries.len().min(start + TILE_WIDTH);
            return Some(self.entries.get(start..end)?.iter().map(|bytes| leaf_hash(bytes)).collect());
        }
        let open =
            || self.frontier.open_tile(id.level).filter(|tile| tile.id() == id).map(|tile| tile.hashes);
        self.tiles.get(&id).cloned().or_else(open)
    }

    fn receipt_again(&self, seq: Seq) -> Receipt {
        let size = self.frontier.size();
        let named = inclusion_tiles(seq - 1, size).unwrap();
        let fetched: HashMap<_, _> = named.into_iter().map(|id| (id, self.tile(id).unwrap())).collect();
        let path = inclusion_path(seq - 1, size, |id| fetched.get(&id).map(Vec::as_slice)).unwrap();
        Receipt {
            entry: self.entries[usize::try_from(seq - 1).unwrap()].clone(),
            seq,
            path,
            note: self.key.sign(&self.head()),
        }
    }

    fn continues(&self, old: &TreeHead) -> bool {
        let new = self.head();
        let ids = consistency_tiles(old.size, new.size).unwrap();
        let fetched: HashMap<_, _> = ids.into_iter().map(|id| (id, self.tile(id).unwrap())).collect();
        let proof = consistency_proof(old.size, new.size, |id| fetched.get(&id).map(Vec::as_slice)).unwrap();
        verify_consistency(old.size, &old.root, new.size, &new.root, &proof).is_ok()
    }
}

#[test]
fn receipts_hold_at_decision_time_and_forever_after() {
    let mut log = Log::new();
    let mut given = Vec::new();
    let mut heads = vec![log.head()];
    for group in [1, 1, 2, 3, 250, 256, 7, 256, 255, 90] {
        given.extend(log.append((0..group).map(|node| node + 1)));
        heads.push(log.head());
    }
    for receipt in &given {
        let again = log.receipt_again(receipt.seq);
        assert_eq!(receipt.verify(&log.verifiers()).unwrap().entry.seq, receipt.seq);
        assert_eq!(again.verify(&log.verifiers()).unwrap().head.size, log.frontier.size());
        assert_eq!(again.entry, receipt.entry);
    }
    assert!(heads.iter().all(|head| log.continues(head)));
}

#[test]
fn a_rewritten_log_does_not_continue_the_heads_it_signed() {
    let mut log = Log::new();
    log.append((0..300).map(|node| node + 1));
    let (kept, receipts) = (log.head(), log.append(1..=50));
    assert!(log.continues(&kept));

    for rewritten in [0usize, 150, 255, 256, 299] {
        let mut forged = Log::new();
        forged.append((0..300).map(|node| if node as usize == rewritten { 9_999 } else { node + 1 }));
        forged.append(1..=50);
        assert!(!forged.continues(&kept), "entry {rewritten} changed");
    }
    let mut shortened = Log::new();
    shortened.append((0..299).map(|node| node + 1));
    shortened.append(1..=51);
    assert!(!shortened.continues(&kept), "an entry left out");

    // A receipt of the true log does not verify under a forged head of the same size, and the reverse.
    let mut forged = Log::new();
    forged.append((0..300).map(|node| node + 2));
    let of_forged = forged.append(1..=50);
    let mixed = Receipt { note: of_forged[0].note.clone(), ..receipts[0].clone() };
    assert!(mixed.verify(&log.verifiers()).is_err());
}
