mod vectors;

use std::collections::HashMap;

use super::*;

/// RFC 6962 section 2.1 word for word, on leaf hashes; remembers the subtrees it has computed.
#[derive(Default)]
struct Naive {
    leaves: Vec<Hash>,
    known: HashMap<(usize, usize), Hash>,
}

impl Naive {
    fn of(count: u64) -> Self {
        Self { leaves: (0..count).map(leaf).collect(), known: HashMap::new() }
    }

    fn split(from: usize, to: usize) -> usize {
        from + (1..).map(|bit| 1usize << bit).take_while(|k| *k < to - from).last().unwrap_or(1)
    }

    fn root(&mut self, from: usize, to: usize) -> Hash {
        if from == to {
            return Sha256::digest([]).into();
        }
        if to - from == 1 {
            return self.leaves[from];
        }
        if let Some(known) = self.known.get(&(from, to)) {
            return *known;
        }
        let middle = Self::split(from, to);
        let root = node_hash(&self.root(from, middle), &self.root(middle, to));
        self.known.insert((from, to), root);
        root
    }

    fn subtree(&mut self, node: Node) -> Result<Hash, ()> {
        let at = |index: u64| usize::try_from(index << node.height).unwrap();
        Ok(self.root(at(node.index), at(node.index + 1)))
    }

    /// PATH(m, D[from:to]), m absolute.
    fn path(&mut self, m: usize, from: usize, to: usize) -> Vec<Hash> {
        if to - from == 1 {
            return Vec::new();
        }
        let middle = Self::split(from, to);
        let (mut path, beside) = if m < middle {
            (self.path(m, from, middle), self.root(middle, to))
        } else {
            (self.path(m, middle, to), self.root(from, middle))
        };
        path.push(beside);
        path
    }

    /// SUBPROOF(m, D[from:to], whole), m absolute.
    fn subproof(&mut self, m: usize, from: usize, to: usize, whole: bool) -> Vec<Hash> {
        if m == to {
            return if whole { Vec::new() } else { vec![self.root(from, to)] };
        }
        let middle = Self::split(from, to);
        let (mut proof, beside) = if m <= middle {
            (self.subproof(m, from, middle, whole), self.root(middle, to))
        } else {
            (self.subproof(m, middle, to, false), self.root(from, middle))
        };
        proof.push(beside);
        proof
    }
}

/// The tiles a store keeps: full ones as they came, open ones from the frontier, leaf hashes from its rows.
#[derive(Default)]
struct Kept(HashMap<TileId, Vec<Hash>>);

impl Kept {
    fn of(leaves: &[Hash]) -> Self {
        let (mut frontier, mut kept) = (Frontier::default(), Self::default());
        for leaf in leaves {
            for tile in frontier.push(*leaf) {
                assert_eq!(tile.hashes.len(), TILE_WIDTH);
                assert!(kept.0.insert(tile.id(), tile.hashes).is_none(), "a full tile is returned once");
            }
        }
        for tile in (1..=8).filter_map(|level| frontier.open_tile(level)) {
            assert!(kept.0.insert(tile.id(), tile.hashes).is_none(), "an open tile is not full");
        }
        for (n, hashes) in leaves.chunks(TILE_WIDTH).enumerate() {
            kept.0.insert(TileId { level: 0, n: n as u64 }, hashes.to_vec());
        }
        kept
    }

    fn tile(&self, id: TileId) -> Option<&[Hash]> {
        self.0.get(&id).map(Vec::as_slice)
    }
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

#[test]
fn every_path_at_every_size_up_to_600_equals_the_definition() {
    let mut naive = Naive::of(600);
    let mut frontier = Frontier::default();
    for size in 1..=600 {
        frontier.push(naive.leaves[size - 1]);
        let root = naive.root(0, size);
        assert_eq!(frontier.root(), root, "root at size {size}");
        for index in 0..size {
            let path = naive.path(index, 0, size);
            let spans = proof::inclusion_spans(index as u64, size as u64);
            let made: Vec<_> = spans.map(|span| span.root(|node| naive.subtree(node))).collect();
            assert_eq!(made, path.iter().copied().map(Ok).collect::<Vec<_>>(), "{index} of {size}");
            assert_eq!(
                verify_inclusion(&naive.leaves[index], index as u64, size as u64, &path, &root),
                Ok(())
            );
        }
    }
}

#[test]
fn every_subtree_of_600_leaves_is_read_from_its_tile() {
    let mut naive = Naive::of(600);
    let kept = Kept::of(&naive.leaves);
    for height in 0..=9 {
        for index in 0..(600 >> height) {
            let node = Node { height, index };
            let tile = kept.tile(node.tile()).expect("a complete subtree has its tile");
            assert_eq!(node.root_in(tile).ok_or(()), naive.subtree(node), "{node:?}");
        }
        let beyond = Node { height, index: 600 >> height };
        assert_eq!(kept.tile(beyond.tile()).and_then(|tile| beyond.root_in(tile)), None, "{beyond:?}");
    }
}

#[test]
fn paths_are_made_from_tiles_at_every_size_around_a_tiles_width() {
    let mut naive = Naive::of(600);
    let kept = Kept::of(&naive.leaves);
    for size in (1..=66).chain([255, 256, 257, 258, 511, 512, 513, 600]) {
        for index in 0..size {
            let path = inclusion_path(index as u64, size as u64, |id| kept.tile(id));
            assert_eq!(path, Ok(naive.path(index, 0, size)), "{index} of {size}");
        }
    }
}

#[test]
fn every_consistency_proof_around_a_tiles_width_equals_the_definition() {
    let mut naive = Naive::of(270);
    let kept = Kept::of(&naive.leaves);
    for new in (1..=100).chain([255, 256, 257, 270]) {
        let new_root = naive.root(0, new);
        for old in 1..=new {
            let proof = naive.subproof(old, 0, new, true);
            let old_root = naive.root(0, old);
            let (old, new) = (old as u64, new as u64);
            assert_eq!(
                consistency_proof(old, new, |id| kept.tile(id)).as_ref(),
                Ok(&proof),
                "{old} to {new}"
            );
            assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()), "{old} to {new}");
        }
    }
}

#[test]
fn a_group_gets_its_paths_from_frontier_and_group_alone() {
    let mut naive = Naive::of(900);
    for group in [0, 1, 2, 3, 5, 8, 64, 255, 256, 257] {
        let mut before = Frontier::default();
        for start in 0..=(900 - group) {
            let mut frontier = before.clone();
            let appended = frontier.extend_with_paths(&naive.leaves[start..start + group]);
            let size = start + group;
            assert_eq!(appended.size, size as u64);
            assert_eq!(appended.root, naive.root(0, size));
            assert_eq!(appended.paths.len(), group);
            // All paths of the definition near the group's ends, where shapes differ, and some within.
            for at in (0..group).filter(|at| *at < 3 || at % 37 == 0 || *at + 3 >= group) {
                assert_eq!(
                    appended.paths[at],
                    naive.path(start + at, 0, size),
                    "{at} of {group} after {start}"
                );
            }
            if let Some(leaf) = naive.leaves.get(start) {
                before.push(*leaf);
            }
        }
    }
}

#[test]
fn groups_and_single_leaves_lead_to_the_same_frontier_and_tiles() {
    let leaves: Vec<_> = (0..70_000).map(leaf).collect();
    let (mut single, mut single_tiles) = (Frontier::default(), Vec::new());
    for leaf in &leaves {
        single_tiles.extend(single.push(*leaf));
    }
    let (mut grouped, mut grouped_tiles) = (Frontier::default(), Vec::new());
    for (turn, group) in leaves.chunks(250).enumerate() {
        let appended = grouped.extend_with_paths(group);
        grouped_tiles.extend(appended.tiles);
        if turn % 40 == 0 || turn == 279 {
            for (at, path) in appended.paths.iter().enumerate() {
                let index = (turn * 250 + at) as u64;
                verify_inclusion(&group[at], index, appended.size, path, &appended.root).unwrap();
            }
        }
    }
    assert_eq!(grouped, single);
    assert_eq!(grouped_tiles, single_tiles);

    // C2SP tlog-tiles' own example: 70,000 leaves are one full level 1 tile, one of width 17, and a level 2 of width 1.
    assert_eq!(single_tiles.iter().map(Tile::id).collect::<Vec<_>>(), [TileId { level: 1, n: 0 }]);
    let open = |level| single.open_tile(level).map(|t| (t.n, t.hashes.len()));
    assert_eq!([open(0), open(1), open(2), open(3)], [None, Some((1, 17)), Some((0, 1)), None]);
}

#[test]
fn a_tiles_hashes_are_subtree_roots() {
    let mut naive = Naive::of(65_536 + 300);
    let kept = Kept::of(&naive.leaves);
    let full = kept.tile(TileId { level: 1, n: 0 }).unwrap().to_vec();
    for (at, hash) in full.iter().enumerate() {
        assert_eq!(*hash, naive.root(at * 256, (at + 1) * 256));
    }
    assert_eq!(kept.tile(TileId { level: 2, n: 0 }), Some(&[naive.root(0, 65_536)][..]));
    assert_eq!(kept.tile(TileId { level: 1, n: 1 }), Some(&[naive.root(65_536, 65_792)][..]));
}

#[test]
fn old_paths_come_from_the_named_tiles_across_levels() {
    let mut naive = Naive::of(66_100);
    let kept = Kept::of(&naive.leaves);
    for size in [65_535usize, 65_536, 65_537, 65_792, 66_100] {
        let root = naive.root(0, size);
        for index in [0usize, 1, 255, 256, 32_767, 32_768, 65_279, 65_534, 65_535, 65_536, 65_791, 66_099] {
            if index >= size {
                continue;
            }
            let named = inclusion_tiles(index as u64, size as u64).unwrap();
            assert!(named.len() <= 6, "at most two tiles a level");
            let path = inclusion_path(index as u64, size as u64, |id| {
                assert!(named.contains(&id));
                kept.tile(id)
            });
            let path = path.unwrap();
            assert_eq!(path, naive.path(index, 0, size), "{index} of {size}");
            verify_inclusion(&naive.leaves[index], index as u64, size as u64, &path, &root).unwrap();
        }
        for old in [1usize, 255, 256, 257, 40_000, 65_535] {
            let (old_root, old, new) = (naive.root(0, old), old as u64, size as u64);
            let named = consistency_tiles(old, new).unwrap();
            let proof = consistency_proof(old, new, |id| {
                assert!(named.contains(&id));
                kept.tile(id)
            });
            verify_consistency(old, &old_root, new, &root, &proof.unwrap()).unwrap();
        }
    }
}

#[test]
fn missing_and_short_tiles_are_named() {
    let leaves = Naive::of(600).leaves;
    let kept = Kept::of(&leaves);
    for id in inclusion_tiles(10, 600).unwrap() {
        let without = inclusion_path(10, 600, |asked| (asked != id).then(|| kept.tile(asked)).flatten());
        assert_eq!(without, Err(ProofError::MissingTile(id)));
        let short = inclusion_path(10, 600, |asked| {
            let tile = kept.tile(asked)?;
            Some(if asked == id { &tile[..1] } else { tile })
        });
        assert_eq!(short, Err(ProofError::MissingTile(id)));
    }
    assert_eq!(
        inclusion_path(600, 600, |id| kept.tile(id)),
        Err(ProofError::OutsideTree { index: 600, size: 600 })
    );
    assert_eq!(
        consistency_proof(601, 600, |id| kept.tile(id)),
        Err(ProofError::Shrunk { old: 601, new: 600 })
    );
}

/// Every way to alter an inclusion proof that transparency-dev/merkle's verifier test lists, and every bit position of
/// one byte of each hash.
#[test]
fn altered_inclusion_proofs_are_refused() {
    let mut naive = Naive::of(40);
    let stray = leaf_hash(b"stray");
    for size in 1..=40usize {
        let root = naive.root(0, size);
        for index in 0..size {
            let (leaf, path) = (naive.leaves[index], naive.path(index, 0, size));
            let (i, s) = (index as u64, size as u64);
            let good = |leaf: &Hash, i, s, path: &[Hash], root: &Hash| {
                verify_inclusion(leaf, i, s, path, root).is_ok()
            };
            assert!(good(&leaf, i, s, &path, &root));
            for other in (0..s + 3).chain([u64::MAX]).filter(|other| *other != i) {
                assert!(!good(&leaf, other, s, &path, &root), "{i} of {s} taken for {other}");
            }
            assert!(!good(&stray, i, s, &path, &root));
            assert!(!good(&leaf, i, s, &path, &stray));
            assert!(!good(&leaf, i, s, &path, &empty_root()));
            for extra in [stray, root] {
                assert!(!good(&leaf, i, s, &[&path[..], &[extra]].concat(), &root));
                assert!(!good(&leaf, i, s, &[&[extra], &path[..]].concat(), &root));
            }
            for at in 0..path.len() {
                for bit in 0..8 {
                    let mut altered = path.clone();
                    altered[at][at % 32] ^= 1 << bit;
                    assert!(!good(&leaf, i, s, &altered, &root));
                }
                let mut without = path.clone();
                without.remove(at);
                assert!(!good(&leaf, i, s, &without, &root));
                assert!(!good(&leaf, i, s, &path[..at], &root));
            }
        }
    }
    assert!(verify_inclusion(&stray, 0, 0, &[], &empty_root()).is_err(), "nothing is in an empty tree");
}

/// A size that differs is refused where it changes the leaf's way up; elsewhere the root refuses it, because a root
/// belongs to one size. (RFC 6962's proofs alone do not bind the size: a signed head does.)
#[test]
fn another_size_is_refused_with_that_sizes_root() {
    let mut naive = Naive::of(64);
    for size in 1..=64usize {
        for other in (1..=64usize).filter(|other| *other != size) {
            let other_root = naive.root(0, other);
            for index in 0..size.min(other) {
                let path = naive.path(index, 0, size);
                let found =
                    verify_inclusion(&naive.leaves[index], index as u64, other as u64, &path, &other_root);
                assert!(found.is_err(), "{index}: path of {size} taken at {other}");
            }
        }
    }
}

#[test]
fn altered_consistency_proofs_are_refused() {
    let mut naive = Naive::of(40);
    let stray = leaf_hash(b"stray");
    for new in 2..=40usize {
        let new_root = naive.root(0, new);
        for old in 1..new {
            let (old_root, proof) = (naive.root(0, old), naive.subproof(old, 0, new, true));
            let (o, n) = (old as u64, new as u64);
            let good = |o, or: &Hash, n, nr: &Hash, p: &[Hash]| verify_consistency(o, or, n, nr, p).is_ok();
            assert!(good(o, &old_root, n, &new_root, &proof));
            for other in (0..n + 2).filter(|other| *other != o) {
                assert!(!good(other, &old_root, n, &new_root, &proof), "{o} to {n} taken for {other}");
            }
            assert!(!good(o, &stray, n, &new_root, &proof));
            assert!(!good(o, &old_root, n, &stray, &proof));
            assert!(!good(o, &new_root, n, &old_root, &proof));
            assert!(!good(o, &old_root, n, &new_root, &[]));
            for extra in [stray, old_root, new_root, proof[0]] {
                assert!(!good(o, &old_root, n, &new_root, &[&proof[..], &[extra]].concat()));
                assert!(!good(o, &old_root, n, &new_root, &[&[extra], &proof[..]].concat()));
            }
            for at in 0..proof.len() {
                let mut altered = proof.clone();
                altered[at][at % 32] ^= 1 << (at % 8);
                assert!(!good(o, &old_root, n, &new_root, &altered));
                assert!(!good(o, &old_root, n, &new_root, &proof[..at]));
            }
        }
    }
}

#[test]
fn trivial_consistency_is_exact_too() {
    let (one, two, empty) = (leaf(1), leaf(2), empty_root());
    assert_eq!(verify_consistency(0, &empty, 0, &empty, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &empty, 5, &one, &[]), Ok(()));
    assert_eq!(verify_consistency(3, &one, 3, &one, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &one, 5, &one, &[]), Err(ProofError::WrongRoot));
    assert_eq!(verify_consistency(3, &one, 3, &two, &[]), Err(ProofError::WrongRoot));
    assert_eq!(verify_consistency(0, &empty, 5, &one, &[two]), Err(ProofError::Length { found: 1 }));
    assert_eq!(verify_consistency(3, &one, 3, &one, &[two]), Err(ProofError::Length { found: 1 }));
    assert_eq!(verify_consistency(3, &one, 2, &one, &[]), Err(ProofError::Shrunk { old: 3, new: 2 }));
}

#[test]
fn a_frontier_survives_its_bytes_and_damage_is_refused() {
    for size in [0, 1, 2, 255, 256, 257, 600, 65_536, 66_000] {
        let mut frontier = Frontier::default();
        for leaf in (0..size).map(leaf) {
            frontier.push(leaf);
        }
        let bytes = borsh::to_vec(&frontier).unwrap();
        let mut back: Frontier = borsh::from_slice(&bytes).unwrap();
        assert_eq!(back, frontier);
        back.push(leaf(size));
        frontier.push(leaf(size));
        assert_eq!(back.root(), frontier.root());

        // One bit of the size altered: the parts no longer fit it.
        for other in [size ^ 256, size ^ (1 << 40)] {
            let mut damaged = bytes.clone();
            damaged[..8].copy_from_slice(&u64::to_le_bytes(other));
            assert!(borsh::from_slice::<Frontier>(&damaged).is_err(), "{size} taken for {other}");
        }
    }
}
