//! Rows spoiled on purpose, in the ways that delivered lists are.

use super::amounts;
use serde::{Deserialize, Serialize};

/// How many rows are spoiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dirt {
    /// Of a million rows, those that repeat the address of the row before.
    pub duplicates_per_million: u32,
    /// Of a million rows, those that cannot be read.
    pub bad_per_million: u32,
}

/// How a row is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It names the wallet of the row before.
    Duplicate,
    /// It cannot be read, in one of [`WAYS`] ways.
    Bad(usize),
}

/// Ways in which a row cannot be read.
pub(crate) const WAYS: usize = 10;

impl Dirt {
    /// No spoiled rows.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How the row of a wallet is spoiled, if it is. Only every second row may be, so that the row before a duplicate
    /// is a good one and the counts are exact.
    pub(crate) fn of(&self, seed: u64, wallet: u64) -> Option<Kind> {
        if self.is_none() || wallet.is_multiple_of(2) {
            return None;
        }
        let random = amounts::mix(seed ^ 0x5b, wallet);
        // Half of the rows are asked, so each is spoiled twice as often.
        let draw = (random % 500_000) as u32;
        let way = (random >> 40) as usize % WAYS;
        match draw {
            _ if draw < self.duplicates_per_million => Some(Kind::Duplicate),
            _ if draw < self.duplicates_per_million + self.bad_per_million => Some(Kind::Bad(way)),
            _ => None,
        }
    }
}

/// Writes a row that cannot be read.
pub(crate) fn write(to: &mut Vec<u8>, way: usize, address: &[u8; 40], amount: u128, decimals: u8) {
    let mut good = Vec::with_capacity(40);
    amounts::write(&mut good, amount, decimals);
    let digits = String::from_utf8_lossy(address);
    let amount = String::from_utf8_lossy(&good);
    let row = match way {
        // A digit short, as a spreadsheet's column cut it.
        0 => format!("0x{},{amount}", &digits[1..]),
        1 => format!("{digits},{amount}"),
        2 => format!("somebody.eth,{amount}"),
        3 => format!("0x{digits},-{amount}"),
        4 => format!("0x{digits},1e18"),
        5 => format!("0x{digits},1,000"),
        6 => format!("0x{digits},"),
        7 => format!("0x{digits},0"),
        8 => format!("0x{digits}, {amount}"),
        _ => format!("0x{digits},{amount}.5"),
    };
    to.extend_from_slice(row.as_bytes());
    to.push(b'\n');
}
