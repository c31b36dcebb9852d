//! EAS' JSON of off-chain attestations: the SDK's `SignedOffchainAttestation`, its older form with r, s and v at the top,
//! and the share package `{sig, signer}` around either.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::code::{AttestationCode, Refused};
use super::eas::{DOMAIN_NAME, EasDomain, EasOffchain, EasVersion};
use super::json::{Member, Number, Rsv, Signed, are};

/// The share package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    pub(super) sig: SignedJson,
    pub(super) signer: Address,
}

/// The attestation as the SDK signs it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SignedJson {
    version: Option<Number>,
    uid: B256,
    domain: DomainJson,
    primary_type: String,
    types: BTreeMap<String, Vec<Member>>,
    message: MessageJson,
    signature: Option<Signed>,
    r: Option<B256>,
    s: Option<B256>,
    v: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DomainJson {
    name: String,
    version: String,
    chain_id: Number,
    verifying_contract: Address,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MessageJson {
    version: Option<Number>,
    schema: String,
    recipient: Address,
    time: Number,
    expiration_time: Number,
    revocable: bool,
    #[serde(rename = "refUID")]
    ref_uid: B256,
    data: Bytes,
    salt: Option<B256>,
}

impl SignedJson {
    /// The statement and its signature; the version, the types and the uid are as they must be.
    pub(super) fn into_statement(self) -> Result<(EasOffchain, Bytes), Refused> {
        let version = self.version_signed()?;
        let signature = self.signature_given()?;
        if self.domain.name != DOMAIN_NAME {
            return Err(wrong_types(format!("domain.name is not \"{DOMAIN_NAME}\"")));
        }
        let message = self.message;
        let statement = EasOffchain {
            domain: EasDomain {
                version: self.domain.version,
                chain_id: self.domain.chain_id.0,
                contract: self.domain.verifying_contract,
            },
            version,
            schema: schema(&message.schema)?,
            recipient: message.recipient,
            time: message.time.0,
            expiration_time: message.expiration_time.0,
            revocable: message.revocable,
            ref_uid: message.ref_uid,
            data: message.data,
        };
        statement.check_sizes()?;
        check_uid(&statement, self.uid)?;
        Ok((statement, signature))
    }

    /// The version whose types were signed. The message's number, the salt and the outer number have to agree with it:
    /// they decide how the uid is made, and only some of them are signed.
    fn version_signed(&self) -> Result<EasVersion, Refused> {
        let number = self.message.version.map_or(0, |number| number.0);
        if self.version.is_some_and(|outer| outer.0 != number) {
            return Err(wrong_types("version differs from message.version"));
        }
        let members = |name: &str| self.types.get(name).filter(|_| self.types.len() == 1);
        let version = match (number, self.message.salt) {
            // The SDK also wrote version 0 with the primary type "Attestation" and the types of "Attest"; what was
            // signed follows from the types.
            (0, None) if members("Attestation").is_some() => EasVersion::LegacyAttestation,
            (0, None) => EasVersion::LegacyAttest,
            (1, None) => EasVersion::V1,
            (2, Some(salt)) => EasVersion::V2 { salt },
            (0 | 1, Some(_)) => return Err(wrong_types("message.salt belongs to version 2 only")),
            (2, None) => return Err(wrong_types("message.salt is missing; version 2 has one")),
            _ => return Err(wrong_types("message.version is none of 0, 1 and 2")),
        };
        let primary = match version {
            EasVersion::LegacyAttest => ["Attest", "Attestation"].contains(&self.primary_type.as_str()),
            _ => self.primary_type == version.type_name(),
        };
        if !primary {
            return Err(wrong_types(format!("primaryType is not \"{}\"", version.type_name())));
        }
        if !members(version.type_name()).is_some_and(|members| are(members, &version.fields())) {
            return Err(wrong_types(format!("types are not exactly {}", version.type_string())));
        }
        Ok(version)
    }

    fn signature_given(&self) -> Result<Bytes, Refused> {
        match (&self.signature, self.r, self.s, self.v) {
            (Some(signature), None, None, None) => Ok(signature.to_bytes()),
            (None, Some(r), Some(s), Some(v)) => Ok(Rsv { r, s, v }.to_bytes()),
            _ => Err(Refused::malformed("either signature or r, s and v are needed, and not both")),
        }
    }
}

/// A schema's uid as text. Only lower case is taken, because the uid hashes the text and nobody signs its case.
pub(super) fn schema(text: &str) -> Result<B256, Refused> {
    let parsed: Option<B256> = text.parse().ok();
    parsed
        .filter(|schema| schema.to_string() == text)
        .ok_or_else(|| Refused::malformed("schema is not 0x and 64 hexadecimal digits in lower case"))
}

pub(super) fn check_uid(statement: &EasOffchain, stated: B256) -> Result<(), Refused> {
    let computed = statement.uid();
    if stated == computed {
        return Ok(());
    }
    let detail = format!("uid is {stated}, the content's is {computed}");
    Err(Refused::new(AttestationCode::UidMismatch, detail))
}

pub(super) fn wrong_types(detail: impl Into<String>) -> Refused {
    Refused::new(AttestationCode::WrongTypes, detail)
}

/// The share package, as the SDK writes it: bigints as decimal text.
pub(super) fn write(eas: &EasOffchain, signer: Address, signature: &[u8]) -> Value {
    let members: Vec<_> =
        eas.version.fields().into_iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let signature = match signature.split_at_checked(64) {
        Some((rs, [v])) => {
            json!({ "r": B256::from_slice(&rs[..32]), "s": B256::from_slice(&rs[32..]), "v": v })
        }
        _ => json!(Bytes::copy_from_slice(signature)),
    };
    let mut message = json!({
        "version": eas.version.number(),
        "schema": eas.schema,
        "recipient": eas.recipient.to_checksum(None),
        "time": eas.time.to_string(),
        "expirationTime": eas.expiration_time.to_string(),
        "revocable": eas.revocable,
        "refUID": eas.ref_uid,
        "data": eas.data,
    });
    if let EasVersion::V2 { salt } = eas.version {
        message["salt"] = json!(salt);
    }
    let sig = json!({
        "version": eas.version.number(),
        "uid": eas.uid(),
        "domain": {
            "name": DOMAIN_NAME,
            "version": eas.domain.version,
            "chainId": eas.domain.chain_id.to_string(),
            "verifyingContract": eas.domain.contract.to_checksum(None),
        },
        "primaryType": eas.version.type_name(),
        "types": { eas.version.type_name(): members },
        "message": message,
        "signature": signature,
    });
    json!({ "sig": sig, "signer": signer.to_checksum(None) })
}
