//! Every bound of an attestation, each with its reason.

use super::code::{AttestationCode, Refused};

/// An attestation as submitted, and what its URL form unpacks to. Data of [`DATA_BYTES_MAX`] written in hexadecimal and
/// an envelope of a few KiB stay below.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// An attestation's data. A claim about a person is tens of fields; documents belong behind a hash.
pub const DATA_BYTES_MAX: usize = 16 << 10;
/// Recipients of a Sign Protocol attestation: each is compared at every claim.
pub const RECIPIENTS_MAX: usize = 64;
/// An id, an index value or a textual recipient of Sign Protocol; real ones are below 70 bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// A version in an EIP-712 domain, as "1.4.0".
pub const DOMAIN_VERSION_BYTES_MAX: usize = 32;
/// Bumps tried for an on-chain uid. EAS counts up only when the same issuer says the same thing about the same subject
/// again in one block.
pub const BUMPS_MAX: u32 = 64;
/// A schema's text.
pub const SCHEMA_BYTES_MAX: usize = 4 << 10;
/// Fields of a schema.
pub const SCHEMA_FIELDS_MAX: usize = 64;
/// Words that a schema's fields of fixed size may take: what [`DATA_BYTES_MAX`] holds.
pub const SCHEMA_WORDS_MAX: usize = DATA_BYTES_MAX / 32;
/// Dimensions of an array field.
pub const SCHEMA_DIMENSIONS_MAX: usize = 3;
/// Entries of an allow-list, and so comparisons per attestation.
pub const ACCEPTS_MAX: usize = 256;
/// Issuers one entry lists.
pub const ISSUERS_MAX: usize = 1_024;

/// Refuses what exceeds its bound, naming the part.
pub(super) fn within(part: &str, size: usize, max: usize) -> Result<(), Refused> {
    if size <= max {
        return Ok(());
    }
    Err(Refused::new(
        AttestationCode::TooLarge,
        format!("{part} has a size of {size}, at most {max} is accepted"),
    ))
}
