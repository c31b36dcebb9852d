//! Keccak-256, one message or many. `p3-keccak` hashes eight messages at once where the processor has AVX-512, four
//! with AVX2, two with SSE2, and picks at run time; everything that hashes a whole level goes through [`many`].

use alloy_primitives::keccak256;
use p3_keccak::Keccak256Hash;
use p3_symmetric::CryptographicHasher;
use rayon::prelude::*;

/// A hash, or any 32 bytes of a tree.
pub(crate) type Hash = [u8; 32];

/// The hash of one message.
pub(crate) fn one(message: &[u8]) -> Hash {
    keccak256(message).0
}

/// The hash of left ‖ right.
pub(crate) fn pair(left: &Hash, right: &Hash) -> Hash {
    let mut message = [0; 64];
    message[..32].copy_from_slice(left);
    message[32..].copy_from_slice(right);
    one(&message)
}

/// The hashes of equally long messages that lie back to back.
pub(crate) fn many(messages: &[u8], message_bytes: usize) -> Vec<Hash> {
    debug_assert!(messages.len().is_multiple_of(message_bytes));
    let mut hashes = vec![[0; 32]; messages.len() / message_bytes];
    many_into(messages, &mut hashes);
    hashes
}

/// The same into a place that is there already; the messages' length follows from how many hashes there are.
pub(crate) fn many_into(messages: &[u8], hashes: &mut [Hash]) {
    Keccak256Hash.hash_many(messages, hashes);
}

/// Asks the processor to bring bytes nearer that are hashed soon.
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint; it reads nothing, and the place lies within `bytes`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// The hashes of consecutive pairs: one level of a tree from the level below.
pub(crate) fn pairs(below: &[Hash]) -> Vec<Hash> {
    many(below.as_flattened(), 64)
}

/// Bytes of a section that [`checksum`] hashes as one message.
const CHECKSUM_CHUNK: usize = 4_096;

/// A checksum of a long run of bytes that the batched hash can compute: Keccak-256 over the Keccak-256 hashes of its
/// 4,096-byte chunks, the last of which may be shorter.
pub(crate) fn checksum(bytes: &[u8]) -> Hash {
    let whole = bytes.len() - bytes.len() % CHECKSUM_CHUNK;
    let tasks = bytes[..whole].par_chunks(64 * CHECKSUM_CHUNK);
    let mut hashes: Vec<Hash> = tasks.flat_map_iter(|chunks| many(chunks, CHECKSUM_CHUNK)).collect();
    if whole < bytes.len() {
        hashes.push(one(&bytes[whole..]));
    }
    one(hashes.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batched_equals_one_by_one() {
        let bytes: Vec<u8> = (0..128 * 37).map(|i| (i * 7 % 251) as u8).collect();
        for length in [20, 32, 64, 84, 128] {
            let messages = &bytes[..bytes.len() - bytes.len() % length];
            let expected: Vec<Hash> = messages.chunks(length).map(one).collect();
            assert_eq!(many(messages, length), expected);
        }
        assert_eq!(pair(&[1; 32], &[2; 32]), pairs(&[[1; 32], [2; 32]])[0]);
        assert!(many(&[], 64).is_empty());
    }

    #[test]
    fn a_checksum_sees_every_byte() {
        let bytes = vec![7; 2 * CHECKSUM_CHUNK + 5];
        let sum = checksum(&bytes);
        for at in [0, CHECKSUM_CHUNK - 1, CHECKSUM_CHUNK, 2 * CHECKSUM_CHUNK + 4] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(checksum(&changed), sum);
        }
        assert_ne!(checksum(&bytes[..bytes.len() - 1]), sum);
        assert_eq!(checksum(&[]), one(&[]));
    }
}
