//! Addresses: 0x and 40 hexadecimal digits. Where both letter cases occur the case is an EIP-55 checksum
//! (<https://eips.ethereum.org/EIPS/eip-55>) and must be right; checksums are hashed a block at a time.

use crate::keccak;

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// It does not begin with 0x.
    #[error("does not begin with 0x")]
    NoPrefix,
    /// More or fewer than 40 digits.
    #[error("has {0} hexadecimal digits after 0x, an address has 40")]
    Length(usize),
    /// A byte that is no hexadecimal digit.
    #[error("has a byte that is no hexadecimal digit ({0:#04x})")]
    BadDigit(u8),
    /// The letter case is not that of EIP-55.
    #[error("has a wrong EIP-55 checksum; a digit may be mistyped (all letters in one case skip this check)")]
    Checksum,
}

/// An address as read.
pub(crate) struct Parsed {
    pub bytes: [u8; 20],
    /// Whether both letter cases occur, so that the checksum must be looked at.
    pub mixed: bool,
}

const INVALID: u8 = 0x80;
const LOWER: u8 = 0x10;
const UPPER: u8 = 0x20;

/// For each byte its value as a digit, marked when it is a letter of one case or no digit at all.
const DIGITS: [u8; 256] = {
    let mut table = [INVALID; 256];
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i as usize] = i;
        i += 1;
    }
    i = 0;
    while i < 6 {
        table[b'a' as usize + i as usize] = LOWER | (10 + i);
        table[b'A' as usize + i as usize] = UPPER | (10 + i);
        i += 1;
    }
    table
};

pub(crate) fn parse(text: &[u8]) -> Result<Parsed, AddressError> {
    let digits = match text.strip_prefix(b"0x") {
        Some(digits) => digits,
        None if text.is_empty() => return Err(AddressError::Empty),
        None => return Err(AddressError::NoPrefix),
    };
    let mut bytes = [0; 20];
    let marks = decode(digits, &mut bytes)?;
    Ok(Parsed { bytes, mixed: marks & (LOWER | UPPER) == LOWER | UPPER })
}

/// Reads exactly `bytes.len()` bytes of hexadecimal digits and returns all marks seen.
fn decode(digits: &[u8], bytes: &mut [u8]) -> Result<u8, AddressError> {
    let mut marks = 0;
    if digits.len() == 2 * bytes.len() {
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
            marks |= high | low;
            *byte = high << 4 | low & 15;
        }
    }
    if digits.len() != 2 * bytes.len() || marks & INVALID != 0 {
        let stranger = digits.iter().find(|&&digit| DIGITS[usize::from(digit)] == INVALID);
        return Err(
            stranger.map_or(AddressError::Length(digits.len()), |&digit| AddressError::BadDigit(digit))
        );
    }
    Ok(marks)
}

/// A person: 0x and 64 hexadecimal digits, not all zero. `None` for anything else.
pub(crate) fn parse_person(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    decode(text.strip_prefix(b"0x")?, &mut bytes).ok()?;
    (bytes != [0; 32]).then_some(bytes)
}

impl Waiting {
    fn as_spelled(&self, mut digits: [u8; 40]) -> String {
        raise(&mut digits, self.upper);
        format!("0x{}", String::from_utf8_lossy(&digits))
    }
}

/// Makes the letters upper case whose bit is set.
fn raise(digits: &mut [u8; 40], upper: u64) {
    for (i, digit) in digits.iter_mut().enumerate() {
        if upper >> i & 1 == 1 {
            digit.make_ascii_uppercase();
        }
    }
}

/// Addresses whose checksum is still to be looked at, each with a number of the caller's.
#[derive(Default)]
pub(crate) struct Checksums {
    waiting: Vec<Waiting>,
    lower_case: Vec<u8>,
}

struct Waiting {
    of: u32,
    upper: u64,
    letters: u64,
}

impl Checksums {
    /// Notes an address, with its 0x, that [`parse`] called mixed.
    pub(crate) fn add(&mut self, of: u32, text: &[u8]) {
        let (mut upper, mut letters) = (0, 0);
        for (i, digit) in text[2..].iter().enumerate() {
            upper |= u64::from(digit.is_ascii_uppercase()) << i;
            letters |= u64::from(digit.is_ascii_alphabetic()) << i;
            self.lower_case.push(digit.to_ascii_lowercase());
        }
        self.waiting.push(Waiting { of, upper, letters });
    }

    /// Those whose checksum is wrong: their numbers, and the addresses as they were spelled.
    pub(crate) fn wrong(&self) -> Vec<(u32, String)> {
        let hashes = keccak::many(&self.lower_case, 40);
        let spelled = self.lower_case.as_chunks::<40>().0;
        let checked = self.waiting.iter().zip(&hashes).zip(spelled);
        let wrong = checked.filter(|((waiting, hash), _)| waiting.letters & upper_by(hash) != waiting.upper);
        wrong.map(|((waiting, _), lower_case)| (waiting.of, waiting.as_spelled(*lower_case))).collect()
    }
}

/// EIP-55: digit i is upper case when digit i of the hash is 8 or more.
fn upper_by(hash: &keccak::Hash) -> u64 {
    let mut upper = 0;
    for (i, byte) in hash[..20].iter().enumerate() {
        upper |= u64::from(byte >> 7) << (2 * i) | u64::from(byte >> 3 & 1) << (2 * i + 1);
    }
    upper
}

/// The EIP-55 spellings of many addresses, without 0x.
pub(crate) fn spell(addresses: &[[u8; 20]]) -> Vec<[u8; 40]> {
    const LOWER_CASE: &[u8; 16] = b"0123456789abcdef";
    let mut spelled: Vec<[u8; 40]> = addresses
        .iter()
        .map(|address| {
            std::array::from_fn(|i| LOWER_CASE[usize::from(address[i / 2] >> (4 - 4 * (i % 2)) & 15)])
        })
        .collect();
    let hashes = keccak::many(spelled.as_flattened(), 40);
    for (text, hash) in spelled.iter_mut().zip(&hashes) {
        raise(text, upper_by(hash));
    }
    spelled
}
