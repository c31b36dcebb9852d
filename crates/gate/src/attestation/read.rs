//! What was submitted, whichever of the accepted forms it has.

use alloy_primitives::{Address, B256};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use sluice_core::ids::ContractRef;

use super::code::{AttestationCode, Refused};
use super::eas_json::{Package, SignedJson};
use super::json::Number;
use super::limits::{BODY_BYTES_MAX, within};
use super::recover::signer_of;
use super::sign_json::Body;
use super::{Attestation, Statement, compact};

/// A submission that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Signed off chain: here it is.
    Signed(Box<Attestation>),
    /// On chain: to be read from the registry there and given to [`Attestation::on_chain`]. A registry that the
    /// allow-list does not name is not asked ([`super::AllowList::names_registry`]).
    OnChain {
        /// The registry.
        contract: ContractRef,
        /// The attestation's uid there.
        uid: B256,
    },
}

/// Which form a JSON object has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    sig: Option<IgnoredAny>,
    sign_type: Option<IgnoredAny>,
    contract: Option<IgnoredAny>,
}

/// A reference to an attestation in a registry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    chain_id: Number,
    contract: Address,
    uid: B256,
}

/// Reads an attestation as people send it:
/// - EAS off-chain as the SDK's JSON, version 0, 1 or 2, with `signature` or with `r`, `s`, `v` at the top. Without a
///   stated signer, the issuer is whoever signed; a contract's attestation needs the share package;
/// - EAS' share package `{sig, signer}`;
/// - EAS' URL, or the part behind `#attestation=`;
/// - `{chainId, contract, uid}` for one in a registry on chain;
/// - the body of Sign Protocol's `/sp/attestations`, signed as "evm-eip712".
///
/// Types, sizes and uid have been checked of what comes back; the signature has not.
///
/// # Errors
/// Too large, in none of these forms, with fields or types that do not belong there, or with another content's uid.
pub fn read(text: &str) -> Result<Submission, Refused> {
    within("the attestation", text.len(), BODY_BYTES_MAX)?;
    let text = text.trim();
    let attestation = if text.starts_with('{') {
        let shape: Shape = parse(text)?;
        if shape.contract.is_some() {
            let Reference { chain_id, contract, uid } = parse(text)?;
            let contract = ContractRef { chain_id: chain_id.0, address: contract };
            return Ok(Submission::OnChain { contract, uid });
        }
        if shape.sign_type.is_some() {
            parse::<Body>(text)?.into_attestation()?
        } else if shape.sig.is_some() {
            let Package { sig, signer } = parse(text)?;
            let (statement, signature) = sig.into_statement()?;
            Attestation { issuer: signer, statement: Statement::EasOffchain(statement), signature }
        } else {
            signed_alone(parse(text)?)?
        }
    } else {
        compact::read(text)?
    };
    attestation.check_form()?;
    Ok(Submission::Signed(Box::new(attestation)))
}

/// An EAS attestation that states no signer: its issuer is who signed it.
fn signed_alone(signed: SignedJson) -> Result<Attestation, Refused> {
    let (statement, signature) = signed.into_statement()?;
    let issuer = signer_of(statement.digest(), &signature).ok_or_else(|| {
        let detail =
            "no signer is stated, and none can be recovered; a contract's attestation comes as {sig, signer}";
        Refused::new(AttestationCode::BadSignature, detail)
    })?;
    Ok(Attestation { issuer, statement: Statement::EasOffchain(statement), signature })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    serde_json::from_str(text).map_err(|error| Refused::malformed(error.to_string()))
}
