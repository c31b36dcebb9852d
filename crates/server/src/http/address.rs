//! Addresses as people type them.

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An EVM address whose checksum, if it has one, is right (EIP-55). In one letter case it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Typed(pub Address);

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        read(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Typed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_checksum(None))
    }
}

fn read(text: &str) -> Result<Address, String> {
    let digits =
        text.strip_prefix("0x").filter(|d| d.len() == 40 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    let Some(digits) = digits else {
        return Err("an address is 0x and 40 hexadecimal digits".into());
    };
    let address: Address =
        text.parse().map_err(|_| "an address is 0x and 40 hexadecimal digits".to_owned())?;
    let mixed =
        digits.bytes().any(|b| b.is_ascii_lowercase()) && digits.bytes().any(|b| b.is_ascii_uppercase());
    if mixed && text != address.to_checksum(None) {
        return Err("the checksum (EIP-55) of this address is wrong: a letter or digit was mistyped".into());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_mistyped_checksum_is_refused_and_one_letter_case_has_none() {
        let right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(read(right).unwrap().to_checksum(None), right);
        assert!(read(&right.to_lowercase()).is_ok());
        assert!(read(&format!("0x{}", right[2..].to_uppercase())).is_ok());
        assert!(read("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD").is_err());
        assert!(read(&right[2..]).is_err());
        assert!(read(&right[..41]).is_err());
        assert!(read("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg").is_err());
    }
}
