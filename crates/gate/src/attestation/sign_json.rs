//! Sign Protocol's JSON: the body its SDK posts to `/sp/attestations`.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes};
use serde::Deserialize;
use serde_json::Value;

use super::code::Refused;
use super::eas_json::wrong_types;
use super::json::{Member, Number, are};
use super::sign::{DOMAIN_NAME, DOMAIN_VERSION, SignIndex, SignOffchain, SignRecipients, members};
use super::{Attestation, Statement};

/// The one way of signing whose content is typed; the service's others sign JSON text of no fixed form.
const SIGN_TYPE: &str = "evm-eip712";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Body {
    sign_type: String,
    /// For this way of signing, the signer's address.
    public_key: Address,
    signature: Bytes,
    message: TextOr<TypedJson>,
    /// The unsigned copy of the message.
    attestation: Option<TextOr<MessageJson>>,
}

/// JSON, or JSON as text in JSON, which is how the SDK sends it.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "message and attestation are JSON objects, or text of one, with exactly their fields"
)]
enum TextOr<T> {
    Text(String),
    Object(T),
}

impl<T: for<'de> Deserialize<'de>> TextOr<T> {
    fn parse(self, name: &str) -> Result<T, Refused> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Text(text) => {
                serde_json::from_str(&text).map_err(|error| Refused::malformed(format!("{name}: {error}")))
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TypedJson {
    domain: DomainJson,
    primary_type: String,
    types: BTreeMap<String, Value>,
    message: MessageJson,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainJson {
    name: String,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MessageJson {
    schema_id: String,
    linked_attestation_id: String,
    data: String,
    valid_until: Number,
    recipients: Vec<String>,
    indexing_value: String,
    /// Where the service keeps the data. Not part of what is signed.
    data_location: Option<String>,
}

impl Body {
    /// The attestation; domain, types and primary type are as they must be.
    pub(super) fn into_attestation(self) -> Result<Attestation, Refused> {
        if self.sign_type != SIGN_TYPE {
            return Err(wrong_types(format!("signType is not \"{SIGN_TYPE}\"")));
        }
        let typed = self.message.parse("message")?;
        if (typed.domain.name.as_str(), typed.domain.version.as_str()) != (DOMAIN_NAME, DOMAIN_VERSION) {
            return Err(wrong_types(format!("domain is not \"{DOMAIN_NAME}\" version \"{DOMAIN_VERSION}\"")));
        }
        if let Some(copy) = self.attestation
            && copy.parse("attestation")? != typed.message
        {
            return Err(Refused::malformed("attestation differs from the message that was signed"));
        }
        let statement = typed.into_statement()?;
        statement.check_sizes()?;
        Ok(Attestation {
            issuer: self.public_key,
            statement: Statement::SignOffchain(statement),
            signature: self.signature,
        })
    }
}

impl TypedJson {
    fn into_statement(self) -> Result<SignOffchain, Refused> {
        if self.primary_type != "Data" {
            return Err(wrong_types("primaryType is not \"Data\""));
        }
        let found = self.members()?;
        let is = |n: usize, kind: &str| found.get(n).is_some_and(|member| member.kind == kind);
        let (text_recipients, text_index) = (is(4, "string[]"), is(5, "string"));
        if !are(&found, &members(text_recipients, text_index)) {
            return Err(wrong_types("types.Data is none of the four forms of these attestations"));
        }
        let message = self.message;
        let recipients = if text_recipients {
            SignRecipients::Texts(message.recipients)
        } else {
            let addresses = message.recipients.iter().map(|recipient| address("recipients", recipient));
            SignRecipients::Addresses(addresses.collect::<Result<_, _>>()?)
        };
        let indexing_value = if text_index {
            SignIndex::Text(message.indexing_value)
        } else {
            SignIndex::Address(address("indexingValue", &message.indexing_value)?)
        };
        let valid_until = u32::try_from(message.valid_until.0)
            .map_err(|_| Refused::malformed("validUntil is above 2^32 - 1"))?;
        Ok(SignOffchain {
            schema_id: message.schema_id,
            linked_attestation_id: message.linked_attestation_id,
            data: message.data,
            valid_until,
            recipients,
            indexing_value,
        })
    }

    /// The members of `Data`. Beside it the SDK sends the schema's own type, which nothing refers to and nobody signs,
    /// and the domain's.
    fn members(&self) -> Result<Vec<Member>, Refused> {
        let list = |name: &str| -> Result<Option<Vec<Member>>, Refused> {
            let Some(value) = self.types.get(name) else { return Ok(None) };
            serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|error| wrong_types(format!("types.{name}: {error}")))
        };
        let known = ["EIP712Domain", "AttestationData", "Data"];
        if let Some(other) = self.types.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong_types(format!("types.{other} is not a type of these attestations")));
        }
        let domain = [("name", "string"), ("version", "string")];
        if list("EIP712Domain")?.is_some_and(|members| !are(&members, &domain)) {
            return Err(wrong_types("types.EIP712Domain is not name and version"));
        }
        list("Data")?.ok_or_else(|| wrong_types("types.Data is missing"))
    }
}

fn address(name: &str, text: &str) -> Result<Address, Refused> {
    text.parse().map_err(|_| Refused::malformed(format!("{name}: not an address, though its type says so")))
}
