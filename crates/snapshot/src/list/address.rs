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

pub(crate) fn parse(text: &[u8]) -> Result<Parsed, AddressError> {
    let digits = match text.strip_prefix(b"0x") {
        Some(digits) => digits,
        None if text.is_empty() => return Err(AddressError::Empty),
        None => return Err(AddressError::NoPrefix),
    };
    let mut bytes = [0; 20];
    decode(digits, &mut bytes)?;
    Ok(Parsed { bytes, mixed: is_mixed(digits) })
}

/// Reads exactly `bytes.len()` bytes of hexadecimal digits.
fn decode(digits: &[u8], bytes: &mut [u8]) -> Result<(), AddressError> {
    // The decoder would skip a second 0x, and then find digits missing.
    if digits.len() == 2 * bytes.len() && const_hex::decode_to_slice(digits, bytes).is_ok() {
        return Ok(());
    }
    let stranger = digits.iter().find(|digit| !digit.is_ascii_hexdigit());
    Err(stranger.map_or(AddressError::Length(digits.len()), |&digit| AddressError::BadDigit(digit)))
}

/// The lowest bit of each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Eight hexadecimal digits at a time, and for each a bit (the lowest of its byte) that says whether it is a capital
/// letter and one that says whether it is a small one: digits are 0x30 to 0x39, capitals 0x41 to 0x46, small letters
/// 0x61 to 0x66.
fn cases(digits: &[u8]) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
    digits.as_chunks::<8>().0.iter().map(|eight| {
        let eight = u64::from_le_bytes(*eight);
        let (letter, small) = (eight >> 6 & EACH, eight >> 5 & EACH);
        (eight, letter & !small, letter & small)
    })
}

/// Whether both letter cases occur.
fn is_mixed(digits: &[u8]) -> bool {
    let (upper, lower) = cases(digits)
        .fold((0, 0), |(all_upper, all_lower), (_, upper, lower)| (all_upper | upper, all_lower | lower));
    upper != 0 && lower != 0
}

/// The lowest bits of a word's bytes, side by side: byte i becomes bit i.
fn gather(bits: u64) -> u64 {
    bits.wrapping_mul(0x0102_0408_1020_4080) >> 56
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
        for (place, (eight, capitals, small)) in cases(&text[2..]).enumerate() {
            upper |= gather(capitals) << (8 * place);
            letters |= gather(capitals | small) << (8 * place);
            // Digits have this bit already.
            self.lower_case.extend_from_slice(&(eight | EACH << 5).to_le_bytes());
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
