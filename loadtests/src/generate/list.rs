//! The rows of one list, block by block. A block depends on nothing but the list's plan and its number, so blocks are
//! made in parallel and a cut list goes on at any of them.

use super::amounts;
use super::dirty::{self, Dirt};
use super::keys;
use serde::{Deserialize, Serialize};

/// What a list is. Equal plans make equal lists, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Chooses keys and amounts.
    pub seed: u64,
    /// The number of the first wallet; a multiple of the wallets of a block, [`keys::BLOCK`].
    pub first_wallet: u64,
    /// Wallets, and rows beside the header.
    pub rows: u64,
    /// Decimals of the token.
    pub decimals: u8,
    /// The sum of all rows in base units (before dirt is added).
    pub total: u128,
    /// Whether addresses are written with the letter case of EIP-55, which a build then checks.
    pub checksummed: bool,
    /// Rows spoiled on purpose.
    pub dirt: Dirt,
}

/// A plan with what is computed once for it.
#[derive(Debug)]
pub(crate) struct Maker<'a> {
    plan: &'a Plan,
    weights: u64,
}

/// Rows of a block.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// The rows' text.
    pub text: Vec<u8>,
    /// What the clean rows add up to.
    pub sum: u128,
    /// Rows spoiled so that they cannot be read.
    pub bad: u64,
    /// Rows that repeat the address of the row before.
    pub duplicates: u64,
}

/// The first line.
pub(crate) const HEADER: &[u8] = b"address,amount\n";

/// At most so many bytes a row: 42 of address, 31 of amount, comma and line end.
pub(crate) const ROW_BYTES_MAX: u64 = 75;

impl<'a> Maker<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, weights: amounts::weights(plan.seed, plan.first_wallet, plan.rows) }
    }

    /// How many blocks the list has.
    pub(crate) fn blocks(&self) -> u64 {
        self.plan.rows.div_ceil(keys::BLOCK)
    }

    /// Block `number`. The last block's last row takes what rounding left of the total, and so needs to know what all
    /// blocks before it add up to.
    pub(crate) fn block(&self, number: u64, sum_before: Option<u128>) -> Made {
        let plan = self.plan;
        let first = plan.first_wallet + number * keys::BLOCK;
        let addresses = keys::addresses(plan.seed, first / keys::BLOCK);
        let spelled = spell(&addresses, plan.checksummed);
        let rows = keys::BLOCK.min(plan.rows - number * keys::BLOCK);
        let mut made = Made { text: Vec::with_capacity(addresses.len() * 72), ..Made::default() };
        for (wallet, place) in (first..first + rows).zip(0..) {
            let mut amount = amounts::part(plan.total, amounts::weight(plan.seed, wallet), self.weights);
            if let Some(before) = sum_before.filter(|_| wallet - plan.first_wallet == plan.rows - 1) {
                amount = plan.total - before - made.sum;
            }
            made.sum += amount;
            match plan.dirt.of(plan.seed, wallet) {
                None => row(&mut made.text, &spelled[place], amount, plan.decimals),
                Some(dirty::Kind::Duplicate) => {
                    row(&mut made.text, &spelled[place - 1], amount, plan.decimals);
                    made.duplicates += 1;
                }
                Some(dirty::Kind::Bad(kind)) => {
                    dirty::write(&mut made.text, kind, &spelled[place], amount, plan.decimals);
                    made.bad += 1;
                }
            }
        }
        made
    }
}

fn row(to: &mut Vec<u8>, address: &[u8; 40], amount: u128, decimals: u8) {
    to.extend_from_slice(b"0x");
    to.extend_from_slice(address);
    to.push(b',');
    amounts::write(to, amount, decimals);
    to.push(b'\n');
}

/// The digits of addresses, in lower case or as EIP-55 spells them.
fn spell(addresses: &[[u8; 20]], checksummed: bool) -> Vec<[u8; 40]> {
    let mut spelled = vec![[0; 40]; addresses.len()];
    for (text, address) in spelled.iter_mut().zip(addresses) {
        const_hex::encode_to_slice(address, text).expect("40 digits are 20 bytes");
    }
    if checksummed {
        let mut hashes = vec![[0; 32]; spelled.len()];
        use p3_symmetric::CryptographicHasher as _;
        p3_keccak::Keccak256Hash.hash_many(spelled.as_flattened(), &mut hashes);
        for (text, hash) in spelled.iter_mut().zip(&hashes) {
            for (place, digit) in text.iter_mut().enumerate() {
                if hash[place / 2] >> (4 - 4 * (place % 2)) & 8 != 0 {
                    digit.make_ascii_uppercase();
                }
            }
        }
    }
    spelled
}
