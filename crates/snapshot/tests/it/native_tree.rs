//! The native tree against rs_merkle over all buckets, and all that is proven from it.

use crate::common::{Built, Random, base_units, build_from, list};
use alloy_primitives::{Address, B256, U256, keccak256};
use rs_merkle::{Hasher, MerkleTree};
use sluice_core::amount::Total;
use sluice_core::entitlement::Word;
use sluice_snapshot::{ProofError, SnapshotError};

#[derive(Clone)]
struct Keccak;

impl Hasher for Keccak {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        keccak256(data).0
    }
}

/// The specification, written down once more: buckets of four words, zero words up to a power of two of buckets.
fn reference(words: &[Word]) -> MerkleTree<Keccak> {
    let mut words = words.to_vec();
    let buckets = words.len().div_ceil(4).next_power_of_two();
    words.resize(4 * buckets, Word::PADDING);
    let leaves: Vec<[u8; 32]> = words
        .chunks(4)
        .map(|bucket| keccak256(bucket.iter().flat_map(|word| word.0).collect::<Vec<u8>>()).0)
        .collect();
    MerkleTree::from_leaves(&leaves)
}

fn built(count: usize, seed: u64) -> Built {
    build_from(list(&Random(seed).rows(count)), &base_units()).unwrap()
}

fn check_against_reference(count: usize) {
    let Built { snapshot, .. } = built(count, count as u64);
    let words = snapshot.words(0..u64::MAX);
    assert!(words.is_sorted() && words.len() == count);
    let tree = reference(words);
    assert_eq!(snapshot.root().0, tree.root().unwrap(), "{count}");
    for bucket in 0..count.div_ceil(4) {
        // Each bucket's proof once, through each of its places in turn.
        let index = (4 * bucket + bucket % 4).min(count - 1) as u64;
        let proof = snapshot.proof(index).unwrap();
        let expected: Vec<[u8; 32]> = tree.proof(&[bucket]).proof_hashes().to_vec();
        assert_eq!(proof.path.iter().map(|hash| hash.0).collect::<Vec<_>>(), expected, "{count}: {index}");
        let entitlement = proof.verify(snapshot.root(), snapshot.depth()).unwrap();
        assert_eq!(Some(entitlement), snapshot.entitlement(index));
        assert_eq!(snapshot.find(entitlement.recipient), index..index + 1);
    }
    snapshot.verify(Some(snapshot.root()), &|_| ()).unwrap();
}

#[test]
fn small_trees_equal_rs_merkle_over_all_buckets() {
    for count in [1, 2, 3, 4, 5, 255, 256, 257] {
        check_against_reference(count);
    }
}

#[test]
fn trees_at_a_shards_border_equal_rs_merkle_over_all_buckets() {
    for count in [65_535, 65_536, 65_537] {
        check_against_reference(count);
    }
}

#[test]
fn random_trees_equal_rs_merkle_over_all_buckets() {
    let mut random = Random(7);
    for bound in [20, 100, 1_000, 5_000] {
        check_against_reference(usize::try_from(1 + random.below(bound)).unwrap());
    }
    check_against_reference(80_001);
}

#[test]
fn addresses_that_share_their_first_bytes_are_sorted_too() {
    let rows: Vec<(Address, u128)> = (1..=80_000u64)
        .rev()
        .map(|i| (Address::left_padding_from(&i.to_be_bytes()), u128::from(i)))
        .collect();
    let Built { snapshot, .. } = build_from(list(&rows), &base_units()).unwrap();
    assert!((0..80_000).all(|i| snapshot.entitlement(i).unwrap().amount.get() == u128::from(i) + 1));
    snapshot.verify(None, &|_| ()).unwrap();
}

#[test]
fn altered_proofs_are_refused() {
    for count in [1usize, 6, 300, 70_000] {
        let Built { snapshot, .. } = built(count, 11);
        let (root, depth) = (snapshot.root(), snapshot.depth());
        let capacity = 4u64 << depth;
        for index in [0, count as u64 / 2, count as u64 - 1] {
            let proof = snapshot.proof(index).unwrap();
            proof.verify(root, depth).unwrap();
            let refused = |change: &dyn Fn(&mut sluice_snapshot::Proof)| {
                let mut altered = proof.clone();
                change(&mut altered);
                altered.verify(root, depth).unwrap_err()
            };
            for word in 0..4 {
                for byte in [0, 19, 20, 31] {
                    assert_eq!(refused(&|p| p.bucket[word].0[byte] ^= 1), ProofError::Root);
                }
            }
            for at in 0..proof.path.len() {
                assert_eq!(refused(&|p| p.path[at].0[31] ^= 0x80), ProofError::Root);
            }
            // Another index, also one shifted by the capacity, for which the same hashes would lead to the root.
            for shift in 1..4 {
                let error = refused(&|p| p.index += shift * capacity);
                assert_eq!(
                    error,
                    ProofError::Capacity { index: (index + shift * capacity) / 4 * 4, capacity }
                );
            }
            if depth > 0 {
                assert_eq!(refused(&|p| p.index ^= 4), ProofError::Root);
                assert!(matches!(
                    refused(&|p| p.path.truncate(p.path.len() - 1)),
                    ProofError::PathLength { .. }
                ));
            }
            assert!(matches!(refused(&|p| p.path.push(B256::ZERO)), ProofError::PathLength { .. }));
            let mut other = root;
            other.0[0] ^= 1;
            assert_eq!(proof.verify(other, depth), Err(ProofError::Root));
            assert!(proof.verify(root, depth + 1).is_err());
        }
    }
}

#[test]
fn padding_is_nobodys() {
    let Built { snapshot, .. } = built(6, 12);
    let mut proof = snapshot.proof(5).unwrap();
    proof.index = 6;
    assert_eq!(proof.verify(snapshot.root(), snapshot.depth()), Err(ProofError::Padding));
    assert!(matches!(snapshot.proof(6), Err(SnapshotError::OutOfRange { index: 6, count: 6 })));
    assert_eq!(snapshot.entitlement(6), None);
}

#[test]
fn absence() {
    for count in [1usize, 2, 257, 66_000] {
        let Built { snapshot, .. } = built(count, 13);
        let (root, depth) = (snapshot.root(), snapshot.depth());
        let neighbours = |index: u64| snapshot.entitlement(index).unwrap().recipient;
        let mut random = Random(14);
        let mut asked: Vec<Address> = (0..50).map(|_| random.address()).collect();
        asked.extend([Address::ZERO, Address::repeat_byte(0xff)]);
        for address in asked {
            let absence = snapshot.absence(address).unwrap();
            absence.verify(root, depth, count as u64).unwrap();
            // Neighbours that are none, or another address's.
            let mut wrong = absence.clone();
            wrong.address = neighbours(count as u64 - 1);
            assert_eq!(wrong.verify(root, depth, count as u64), Err(ProofError::Neighbours));
            for side in [0, 1] {
                let mut wrong = absence.clone();
                if side == 0 {
                    wrong.before = None
                } else {
                    wrong.after = None
                }
                if wrong != absence {
                    assert_eq!(wrong.verify(root, depth, count as u64), Err(ProofError::Neighbours));
                }
            }
            if absence.after.is_none() {
                assert_eq!(absence.verify(root, depth, count as u64 + 1), Err(ProofError::Neighbours));
            }
        }
        let listed = neighbours(0);
        assert!(matches!(snapshot.absence(listed), Err(SnapshotError::Listed { index: 0, .. })));
    }
}

#[test]
fn aligned_ranges_are_proven_with_their_padding() {
    for count in [3usize, 1_000, 70_000] {
        let Built { snapshot, .. } = built(count, 15);
        let (root, depth) = (snapshot.root(), snapshot.depth());
        for levels in 0..=depth {
            let size = 4u64 << levels;
            let last = (count as u64 - 1) / size * size;
            for start in [0, last / 2 / size * size, last] {
                let proof = snapshot.dense(start, levels).unwrap();
                assert_eq!(proof.words.len() as u64, size);
                assert_eq!(proof.path, snapshot.subtree_path(start, levels).unwrap());
                proof.verify(root, depth).unwrap();
                let mut altered = proof.clone();
                altered.words[0].0[31] ^= 1;
                assert_eq!(altered.verify(root, depth), Err(ProofError::Root));
                altered = proof.clone();
                altered.start += 4 << depth;
                assert!(matches!(altered.verify(root, depth), Err(ProofError::Capacity { .. })));
            }
            if levels > 0 && count as u64 > 4 {
                assert!(matches!(snapshot.dense(4, levels), Err(SnapshotError::Range { .. })));
            }
        }
        assert!(snapshot.dense(0, depth + 1).is_err());
    }
}

#[test]
fn scattered_entitlements_of_a_word_are_proven_together() {
    let mut random = Random(16);
    for count in [1usize, 30, 256, 1_000, 70_000] {
        let Built { snapshot, .. } = built(count, 17);
        let (root, depth) = (snapshot.root(), snapshot.depth());
        for _ in 0..40 {
            let word = random.below((count as u64).div_ceil(256));
            let size = 256.min(count as u64 - word * 256);
            let bits: Vec<u64> = (0..1 + random.below(40)).map(|_| random.below(size)).collect();
            let mask = bits
                .iter()
                .fold(U256::ZERO, |mask, &bit| mask | U256::from(1) << usize::try_from(bit).unwrap());
            let proof = snapshot.sparse(word, mask).unwrap();
            proof.verify(root, depth).unwrap();
            let sum: u128 = (0..size)
                .filter(|bit| mask.bit(usize::try_from(*bit).unwrap()))
                .map(|bit| snapshot.entitlement(word * 256 + bit).unwrap().amount.get())
                .sum();
            assert_eq!(snapshot.sum_mask(word, mask), Total(sum));
            let mut altered = proof.clone();
            altered.words[3].0[0] ^= 1;
            assert_eq!(altered.verify(root, depth), Err(ProofError::Root));
            altered = proof.clone();
            altered.path.push(B256::ZERO);
            assert!(matches!(altered.verify(root, depth), Err(ProofError::PathLength { .. })));
            altered = proof.clone();
            if altered.path.pop().is_some() {
                assert!(matches!(altered.verify(root, depth), Err(ProofError::PathLength { .. })));
            }
            altered = proof.clone();
            altered.word += (4u64 << depth).div_ceil(256);
            assert!(matches!(altered.verify(root, depth), Err(ProofError::Capacity { .. })));
        }
        assert!(matches!(snapshot.sparse(0, U256::ZERO), Err(SnapshotError::Mask(0))));
        let behind = U256::from(1) << (count % 256);
        if count % 256 > 0 {
            let word = count as u64 / 256;
            assert!(matches!(snapshot.sparse(word, behind), Err(SnapshotError::Mask(_))));
        }
    }
}

#[test]
fn one_entitlement_of_a_word_is_proven_like_an_ordinary_one() {
    let Built { snapshot, .. } = built(1_000, 18);
    let sparse = snapshot.sparse(2, U256::from(1) << 77).unwrap();
    let plain = snapshot.proof(2 * 256 + 77).unwrap();
    assert_eq!((sparse.words, sparse.path), (plain.bucket.to_vec(), plain.path));
}

#[test]
fn sums() {
    let Built { snapshot, report, .. } = built(200_000, 19);
    let sum = |start: u64, end: u64| -> u128 {
        (start..end.min(200_000)).map(|i| snapshot.entitlement(i).unwrap().amount.get()).sum()
    };
    let edges = [0, 1, 65_535, 65_536, 65_537, 131_072, 199_999, 200_000, 300_000];
    for start in edges {
        for end in edges {
            assert_eq!(snapshot.sum(start..end).get(), sum(start, end), "{start}..{end}");
        }
    }
    assert_eq!(snapshot.sum(0..u64::MAX), report.total);
    assert_eq!(snapshot.shard_totals().len(), 4);
    assert_eq!(snapshot.shard_totals()[1].get(), sum(65_536, 131_072));
}
