//! How an office proves who it is when it reads: a statement signed with one of its keys, good for minutes, sent with each
//! request. The node keeps nothing of it.

use std::fmt;

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::{SolStruct, sol};
use serde::{Deserialize, Serialize};
use sluice_chain::signer::{Account, KeyError};
use sluice_core::ids::{ContractRef, Millis, StreamId};
use sluice_core::signing::domain;

use super::statement;

/// The header that carries a [`Reading`].
pub const OFFICE: &str = "office";
/// The longest header of this kind: the largest signer (an RSA-2048 key behind a verifier) with its signature fits.
const TEXT_BYTES_MAX: usize = 8 * 1024;

sol! {
    /// What an office signs, in the home Charter's EIP-712 domain (name "Sluice", version "1").
    #[derive(Debug)]
    struct Read {
        bytes32 authority;
        bytes32 mandate;
        bytes signer;
        uint32 stream;
        string host;
        uint64 expiresAt;
    }
}

/// An office asks to be shown what its mandate lets it read. In the header: this as JSON, in base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The institution.
    pub authority: B256,
    /// Under which of its mandates.
    pub mandate: B256,
    /// Which of its keys signs (ERC-7913 signer bytes): an address.
    pub signer: Bytes,
    /// The log.
    pub stream: StreamId,
    /// The service by a name of its own, with the port where it is not the scheme's own. What was signed for one service
    /// is nothing to another.
    pub host: String,
    /// Good until then, milliseconds since the Unix epoch; minutes ahead at most.
    pub expires_at: Millis,
    /// Over the other fields.
    pub signature: Bytes,
}

impl Reading {
    /// What is signed, under the stream's home Charter.
    pub fn digest(&self, charter: ContractRef) -> B256 {
        let read = Read {
            authority: self.authority,
            mandate: self.mandate,
            signer: self.signer.clone(),
            stream: self.stream.0,
            host: self.host.clone(),
            expiresAt: self.expires_at,
        };
        read.eip712_signing_hash(&domain(charter))
    }

    /// The header's text.
    pub fn encode(&self) -> String {
        statement::encode(self)
    }

    /// Reads the header's text; else what is wrong with it.
    pub fn decode(text: &str) -> Result<Self, String> {
        statement::decode(text, TEXT_BYTES_MAX)
    }
}

/// What an office signs its statements with.
#[derive(Clone)]
pub struct OfficeKey {
    /// The key.
    pub account: Account,
    /// The institution it speaks for.
    pub authority: B256,
    /// The mandate it reads under.
    pub mandate: B256,
    /// The stream's home Charter.
    pub charter: ContractRef,
    /// The log.
    pub stream: StreamId,
}

impl fmt::Debug for OfficeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, authority, mandate, .. } = self;
        f.debug_struct("OfficeKey")
            .field("address", &account.address())
            .field("authority", authority)
            .field("mandate", mandate)
            .finish_non_exhaustive()
    }
}

impl OfficeKey {
    /// A statement for this host.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, host: &str, expires_at: Millis) -> Result<Reading, KeyError> {
        let unsigned = Reading {
            authority: self.authority,
            mandate: self.mandate,
            signer: self.account.signer_bytes(),
            stream: self.stream,
            host: host.to_owned(),
            expires_at,
            signature: Bytes::new(),
        };
        let signature = self.account.sign_digest(unsigned.digest(self.charter))?;
        Ok(Reading { signature, ..unsigned })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_signed_and_the_text_reads_back() {
        let charter = ContractRef { chain_id: 1, address: alloy_primitives::Address::repeat_byte(1) };
        let reading = Reading {
            authority: B256::repeat_byte(1),
            mandate: B256::repeat_byte(2),
            signer: Bytes::from(vec![3; 20]),
            stream: StreamId(4),
            host: "pay.example".into(),
            expires_at: 5,
            signature: Bytes::from(vec![6; 65]),
        };
        assert_eq!(Reading::decode(&reading.encode()), Ok(reading.clone()));
        let digest = reading.digest(charter);
        let others = [
            Reading { authority: B256::repeat_byte(9), ..reading.clone() },
            Reading { mandate: B256::repeat_byte(9), ..reading.clone() },
            Reading { signer: Bytes::from(vec![9; 20]), ..reading.clone() },
            Reading { stream: StreamId(9), ..reading.clone() },
            Reading { host: "pay.example:8080".into(), ..reading.clone() },
            Reading { expires_at: 9, ..reading.clone() },
        ];
        for other in others {
            assert_ne!(other.digest(charter), digest, "{other:?}");
        }
        assert_ne!(reading.digest(ContractRef { chain_id: 2, ..charter }), digest);
        assert!(Reading::decode("!").unwrap_err().contains("base64url"));
        assert!(Reading::decode(&"A".repeat(9_000)).unwrap_err().contains("at most"));
    }
}
