//! A key for every wallet of a list, and its address, fifty million of them in seconds.
//!
//! Wallets are numbered through all lists of a seed. 8,192 consecutive ones make a block; a block has a random key k,
//! and wallet j of it has the key k + j. So the public keys of a block are K + j·G: one addition of two affine points
//! each, where the divisions of a whole block share one inversion. That costs about six multiplications a wallet
//! instead of the hundreds that a key of its own would; and whoever wants to sign gets the secret key from
//! [`secret`], of any wallet, at once.

use alloy_primitives::Address;
use ark_ff::{Fp256, MontBackend, MontConfig, PrimeField, batch_inversion};
use p3_keccak::Keccak256Hash;
use p3_symmetric::CryptographicHasher;
use secp256k1::{PublicKey, Scalar, SecretKey};
use std::sync::OnceLock;

/// Wallets of a block.
pub(crate) const BLOCK: u64 = 8_192;
const PER_BLOCK: usize = 8_192;

/// The field of secp256k1 (SEC 2, version 2, section 2.4.1).
#[derive(MontConfig)]
#[modulus = "115792089237316195423570985008687907853269984665640564039457584007908834671663"]
#[generator = "3"]
struct Secp256k1Field;
type Field = Fp256<MontBackend<Secp256k1Field, 4>>;

#[derive(Clone, Copy)]
struct Point {
    x: Field,
    y: Field,
}

impl Point {
    fn of(key: &PublicKey) -> Self {
        let bytes = key.serialize_uncompressed();
        let [x, y] = [&bytes[1..33], &bytes[33..]].map(Field::from_be_bytes_mod_order);
        Self { x, y }
    }

    fn encode(self, to: &mut [u8; 64]) {
        for (bytes, coordinate) in to.as_chunks_mut::<32>().0.iter_mut().zip([self.x, self.y]) {
            for (bytes, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().rev().zip(coordinate.into_bigint().0)
            {
                *bytes = limb.to_be_bytes();
            }
        }
    }
}

/// The key of wallet 0 of a block.
fn block_secret(seed: u64, block: u64) -> SecretKey {
    let mut message = *b"sluice-load wallets\0................";
    message[20..28].copy_from_slice(&seed.to_be_bytes());
    message[28..].copy_from_slice(&block.to_be_bytes());
    let hash = alloy_primitives::keccak256(message);
    SecretKey::from_secret_bytes(hash.0).expect("a hash is no key once in 2^128 times")
}

/// The secret key of a wallet.
pub(crate) fn secret(seed: u64, wallet: u64) -> SecretKey {
    let mut tweak = [0; 32];
    tweak[24..].copy_from_slice(&(wallet % BLOCK).to_be_bytes());
    let tweak = Scalar::from_be_bytes(tweak).expect("8,192 is below the group's order");
    block_secret(seed, wallet / BLOCK).add_tweak(&tweak).expect("a sum is zero once in 2^128 times")
}

/// The address of a key.
pub(crate) fn address(secret: &SecretKey) -> Address {
    let key = secret.public_key().serialize_uncompressed();
    Address::from_slice(&alloy_primitives::keccak256(&key[1..])[12..])
}

/// The multiples 1·G to 8,191·G.
fn multiples() -> &'static [Point] {
    static MULTIPLES: OnceLock<Vec<Point>> = OnceLock::new();
    MULTIPLES.get_or_init(|| {
        let scalar = |number: u8| {
            let mut bytes = [0; 32];
            bytes[31] = number;
            bytes
        };
        let generator = SecretKey::from_secret_bytes(scalar(1)).expect("1 is a key").public_key();
        let double = SecretKey::from_secret_bytes(scalar(2)).expect("2 is a key").public_key();
        let more = |last: &PublicKey| Some(last.combine(&generator).expect("j·G is a point"));
        let steps = std::iter::once(generator).chain(std::iter::successors(Some(double), more));
        steps.take(PER_BLOCK - 1).map(|key| Point::of(&key)).collect()
    })
}

/// The addresses of all wallets of a block.
pub(crate) fn addresses(seed: u64, block: u64) -> Vec<[u8; 20]> {
    let base = Point::of(&block_secret(seed, block).public_key());
    let multiples = multiples();
    let mut inverses: Vec<Field> = multiples.iter().map(|point| base.x - point.x).collect();
    batch_inversion(&mut inverses);
    let mut keys = vec![[0; 64]; PER_BLOCK];
    base.encode(&mut keys[0]);
    for ((point, inverse), key) in multiples.iter().zip(&inverses).zip(&mut keys[1..]) {
        let slope = (base.y - point.y) * inverse;
        let x = slope * slope - base.x - point.x;
        let y = slope * (base.x - x) - base.y;
        Point { x, y }.encode(key);
    }
    let mut hashes = vec![[0; 32]; PER_BLOCK];
    Keccak256Hash.hash_many(keys.as_flattened(), &mut hashes);
    hashes.iter().map(|hash| *hash[12..].as_array().expect("20 bytes")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallets_key_signs_for_its_address() {
        for (seed, block) in [(1, 0), (1, 6_103), (7, 3)] {
            let addresses = addresses(seed, block);
            for place in [0, 1, 2, 3, 4_095, 8_191] {
                let expected = address(&secret(seed, block * BLOCK + place));
                assert_eq!(
                    addresses[usize::try_from(place).unwrap()],
                    expected[..],
                    "seed {seed}, block {block}, wallet {place}"
                );
            }
        }
    }
}
