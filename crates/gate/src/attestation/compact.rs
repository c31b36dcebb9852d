//! EAS' URL form of an off-chain attestation: `/offchain/url/#attestation=` and the base64 of a deflated JSON array
//! (eas-sdk, `src/offchain/offchain-utils.ts`).

use std::io::Read;

use alloy_primitives::{Address, B256, Bytes};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use flate2::read::ZlibDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::code::Refused;
use super::eas::{EasDomain, EasOffchain, EasVersion};
use super::eas_json::{check_uid, schema, wrong_types};
use super::json::{Number, Rsv};
use super::limits::{BODY_BYTES_MAX, within};
use super::recover::signer_of;
use super::{Attestation, Statement};

/// The array's items and its shortest form: version 0 was written without version and salt.
const ITEMS: usize = 18;
const ITEMS_MIN: usize = 16;
/// Base64 as senders write it, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a URL, or what follows `#attestation=` in one.
pub(super) fn read(text: &str) -> Result<Attestation, Refused> {
    let packed = text.rsplit_once("#attestation=").map_or(text, |(_, packed)| packed);
    let items: Vec<Value> = serde_json::from_slice(&inflate(packed.trim())?).map_err(|error| {
        Refused::malformed(format!("the unpacked attestation is not a JSON array: {error}"))
    })?;
    if !(ITEMS_MIN..=ITEMS).contains(&items.len()) {
        let detail = format!("the unpacked array has {} items, it needs {ITEMS_MIN} to {ITEMS}", items.len());
        return Err(Refused::malformed(detail));
    }
    let version = version(&items)?;
    let mut statement = EasOffchain {
        domain: EasDomain {
            version: item(&items, 0, "contract version")?,
            chain_id: item::<Number>(&items, 1, "chain id")?.0,
            contract: item(&items, 2, "contract")?,
        },
        version,
        schema: schema(&item::<String>(&items, 8, "schema")?)?,
        recipient: item_or_zero::<Address>(&items, 9, "recipient")?,
        time: item::<Number>(&items, 10, "time")?.0,
        expiration_time: item::<Number>(&items, 11, "expirationTime")?.0,
        revocable: item(&items, 13, "revocable")?,
        ref_uid: item_or_zero::<B256>(&items, 12, "refUID")?,
        data: item::<Bytes>(&items, 14, "data")?,
    };
    if items[15] != 0 {
        return Err(Refused::malformed("item 15 of the array is reserved and has to be 0"));
    }
    let signature = Rsv { r: item(&items, 3, "r")?, s: item(&items, 4, "s")?, v: item(&items, 5, "v")? };
    let (issuer, signature) = (item(&items, 6, "signer")?, signature.to_bytes());
    statement.check_sizes()?;
    check_uid(&statement, item(&items, 7, "uid")?)?;
    if statement.version == EasVersion::LegacyAttest {
        // The array does not say which of the two type names of version 0 was signed.
        let other = EasOffchain { version: EasVersion::LegacyAttestation, ..statement.clone() };
        if signer_of(other.digest(), &signature) == Some(issuer) {
            statement = other;
        }
    }
    Ok(Attestation { issuer, statement: Statement::EasOffchain(statement), signature })
}

fn version(items: &[Value]) -> Result<EasVersion, Refused> {
    let number: Option<Number> = optional(items, 16, "version")?;
    let salt: Option<B256> = optional(items, 17, "salt")?;
    match (number.map_or(0, |number| number.0), salt) {
        (0, None) => Ok(EasVersion::LegacyAttest),
        (1, None) => Ok(EasVersion::V1),
        (2, Some(salt)) => Ok(EasVersion::V2 { salt }),
        _ => Err(wrong_types("version is none of 0, 1 and 2, or only version 2 has a salt")),
    }
}

fn item<T: DeserializeOwned>(items: &[Value], at: usize, name: &str) -> Result<T, Refused> {
    serde_json::from_value(items[at].clone())
        .map_err(|error| Refused::malformed(format!("{name}, item {at} of the array: {error}")))
}

fn optional<T: DeserializeOwned>(items: &[Value], at: usize, name: &str) -> Result<Option<T>, Refused> {
    match items.get(at) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => item(items, at, name).map(Some),
    }
}

/// The SDK writes zero addresses and hashes as "0".
fn item_or_zero<T: DeserializeOwned + Default>(items: &[Value], at: usize, name: &str) -> Result<T, Refused> {
    if items[at] == "0" { Ok(T::default()) } else { item(items, at, name) }
}

/// Undoes base64 (plain, URL-safe or percent-encoded) and deflate, within the bound of a body.
fn inflate(packed: &str) -> Result<Vec<u8>, Refused> {
    let plain = packed.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let plain = plain.replace("%2b", "+").replace("%2f", "/").replace("%3d", "=");
    let plain = plain.replace('-', "+").replace('_', "/");
    let deflated = BASE64
        .decode(plain)
        .map_err(|error| Refused::malformed(format!("neither JSON nor the base64 of a URL: {error}")))?;
    let mut bytes = Vec::new();
    // One more than is taken, to see that there was more.
    ZlibDecoder::new(deflated.as_slice())
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Refused::malformed(format!("the URL's base64 does not unpack: {error}")))?;
    within("the unpacked attestation", bytes.len(), BODY_BYTES_MAX)?;
    Ok(bytes)
}
