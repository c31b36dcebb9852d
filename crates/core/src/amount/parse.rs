//! The grammar of amounts. The fast path reads good input in one pass; what it cannot read is looked at once more
//! by [`diagnose`], so that each refusal says what is wrong without slowing the fifty million good ones.

use super::Amount;

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// A minus sign.
    #[error("is negative")]
    Negative,
    /// A plus sign, which is superfluous.
    #[error("has a plus sign; write digits alone")]
    PlusSign,
    /// An exponent, as in `1e18`.
    #[error("has an exponent; write the number out")]
    Exponent,
    /// An underscore, as in `1_000`.
    #[error("has an underscore; write digits alone")]
    Underscore,
    /// A thousands separator, or a comma as decimal point.
    #[error("has a separator {0:?}; write digits and at most one point")]
    Separator(char),
    /// White space before, in or after the number.
    #[error("has white space")]
    WhiteSpace,
    /// A hexadecimal number where a decimal one is expected.
    #[error("is hexadecimal; say so with the unit hex")]
    Hexadecimal,
    /// A byte that has no place in a number.
    #[error("is not a number (byte {0:#04x})")]
    NotANumber(u8),
    /// No digit on one side of the point.
    #[error("has no digit on one side of the point")]
    MissingDigit,
    /// A point where a whole number of base units is expected.
    #[error("has a point, but base units are whole")]
    Fraction,
    /// More decimals than the token has: such an amount cannot be paid.
    #[error("has {found} decimals, the token has {allowed}")]
    TooManyDecimals {
        /// Decimals in the text.
        found: usize,
        /// Decimals of the token.
        allowed: u8,
    },
    /// More than an entitlement's word can hold.
    #[error("is above the limit of 79228162514264337593543950335 base units (2^96 - 1)")]
    AboveLimit,
    /// More than a sum can hold.
    #[error("is above the limit of 2^128 - 1 base units")]
    AboveTotalLimit,
}

impl AmountError {
    /// The error as it reads where whole base units are expected: there the trouble with `1.5` is the point.
    pub(super) fn in_base_units(self) -> Self {
        match self {
            Self::TooManyDecimals { .. } => Self::Fraction,
            other => other,
        }
    }
}

/// 10^0 to 10^38, all powers of ten below 2^128.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The most digits that always fit a u64, so that the inner loop runs on machine words.
const DIGITS_PER_STEP: usize = 19;

pub(super) fn decimal(text: &[u8], decimals: u8) -> Result<u128, AmountError> {
    match decimal_u128(text, decimals) {
        Ok(value) if value <= Amount::MAX.0 => Ok(value),
        Ok(_) | Err(AmountError::AboveTotalLimit) => Err(AmountError::AboveLimit),
        Err(error) => Err(error),
    }
}

pub(super) fn base(text: &[u8]) -> Result<u128, AmountError> {
    decimal(text, 0).map_err(AmountError::in_base_units)
}

pub(super) fn decimal_u128(text: &[u8], decimals: u8) -> Result<u128, AmountError> {
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if whole.is_empty() || (point.is_some() && fraction.is_empty()) || fraction.len() > usize::from(decimals)
    {
        return Err(diagnose(text, decimals));
    }
    let value = append_digits(0, whole).and_then(|value| append_digits(value, fraction));
    match value {
        Ok(0) => Ok(0),
        Ok(value) => POWERS
            .get(usize::from(decimals) - fraction.len())
            .and_then(|&power| value.checked_mul(power))
            .ok_or(AmountError::AboveTotalLimit),
        Err(Stop::NotADigit) => Err(diagnose(text, decimals)),
        Err(Stop::Overflow) => match diagnose(text, decimals) {
            // A text that is also malformed is reported as such: its size means nothing.
            AmountError::NotANumber(b'.') => Err(AmountError::AboveTotalLimit),
            error => Err(error),
        },
    }
}

enum Stop {
    NotADigit,
    Overflow,
}

/// `value` with the digits of `text` written behind it.
fn append_digits(mut value: u128, text: &[u8]) -> Result<u128, Stop> {
    for step in text.chunks(DIGITS_PER_STEP) {
        let mut part = 0u64;
        let (eights, rest) = step.as_chunks::<8>();
        for eight in eights {
            part = part * 100_000_000 + eight_digits(*eight).ok_or(Stop::NotADigit)?;
        }
        for &byte in rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(Stop::NotADigit);
            }
            part = part * 10 + u64::from(digit);
        }
        value = if value == 0 {
            u128::from(part)
        } else {
            let shifted = value.checked_mul(POWERS[step.len()]).ok_or(Stop::Overflow)?;
            shifted.checked_add(u128::from(part)).ok_or(Stop::Overflow)?
        };
    }
    Ok(value)
}

/// The number that eight digits are, all at once: pairs of neighbours are joined three times, each in every place of the
/// word at the same time (Lemire: Quickly parsing eight digits, 2018).
fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let eight = u64::from_le_bytes(digits);
    // The upper half of a digit is 3, and stays so when 6 is added.
    let above = eight.wrapping_add(0x0606_0606_0606_0606) & HIGH;
    if eight & HIGH != 0x3030_3030_3030_3030 || above != 0x3030_3030_3030_3030 {
        return None;
    }
    let ones = (eight & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let twos = (ones & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    Some((twos & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32)
}

pub(super) fn hex(text: &[u8]) -> Result<u128, AmountError> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() {
        return Err(AmountError::Empty);
    }
    let mut value = 0u128;
    let mut above = false;
    for &byte in digits {
        let digit =
            char::from(byte).to_digit(16).ok_or_else(|| first_stranger(text, |b| b.is_ascii_hexdigit()))?;
        above |= value >> 92 != 0;
        value = value << 4 | u128::from(digit);
    }
    if above { Err(AmountError::AboveLimit) } else { Ok(value) }
}

/// Names what keeps `text` from being a decimal number. Returns `NotANumber(b'.')` as "nothing found" for well-formed
/// text, which only [`decimal_u128`]'s overflow branch asks about.
#[cold]
fn diagnose(text: &[u8], decimals: u8) -> AmountError {
    if text.is_empty() {
        return AmountError::Empty;
    }
    if text.starts_with(b"0x") || text.starts_with(b"0X") {
        return AmountError::Hexadecimal;
    }
    if text.iter().any(|byte| !byte.is_ascii_digit() && *byte != b'.') {
        let number_like = text[0].is_ascii_digit() || text[0] == b'.';
        return match first_stranger(text, |byte| byte.is_ascii_digit() || byte == b'.') {
            AmountError::NotANumber(b'e' | b'E') if number_like => AmountError::Exponent,
            error => error,
        };
    }
    let mut parts = text.split(|&byte| byte == b'.');
    match (parts.next(), parts.next(), parts.next()) {
        (_, Some(_), Some(_)) => AmountError::Separator('.'),
        (Some(b""), _, _) | (_, Some(b""), _) => AmountError::MissingDigit,
        (_, Some(fraction), None) if fraction.len() > usize::from(decimals) => {
            AmountError::TooManyDecimals { found: fraction.len(), allowed: decimals }
        }
        _ => AmountError::NotANumber(b'.'),
    }
}

/// The reason for the first byte of `text` that `belongs` does not accept.
fn first_stranger(text: &[u8], belongs: impl Fn(u8) -> bool) -> AmountError {
    let stranger = text.iter().copied().find(|&byte| !belongs(byte));
    match stranger.unwrap_or(b'.') {
        b'-' if text[0] == b'-' => AmountError::Negative,
        b'+' if text[0] == b'+' => AmountError::PlusSign,
        b'_' => AmountError::Underscore,
        separator @ (b',' | b'\'') => AmountError::Separator(char::from(separator)),
        byte if byte.is_ascii_whitespace() => AmountError::WhiteSpace,
        byte => AmountError::NotANumber(byte),
    }
}
