//! Why an attestation was refused. The codes are stable: API, log, pages and metrics use them.

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $code:literal, $sentence:literal;)*) => {
        /// A refusal's code. The numbers are in the order of the checks, are part of stored formats and never reused:
        /// an attestation with several faults is refused with the least of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum AttestationCode { $($(#[$doc])* $name = $number,)* }

        impl AttestationCode {
            /// All codes, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What a claimant or an issuer is told.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

codes! {
    /// A part exceeds its bound (see [`super::limits`]).
    TooLarge = 1, "attestation_too_large", "The attestation, or a part of it, is larger than is accepted.";
    /// Not one of the accepted forms.
    Malformed = 2, "attestation_malformed", "This is not an attestation in an accepted form.";
    /// Another EIP-712 type, primary type or domain name.
    WrongTypes = 3, "attestation_wrong_types", "The signed types are not those of a known attestation version.";
    /// The uid is not the hash of the content.
    UidMismatch = 4, "attestation_uid_mismatch", "The attestation's uid does not belong to its content.";
    /// The registry on chain does not know the uid.
    NotFound = 5, "attestation_not_found", "The registry on chain does not know this attestation.";
    /// No signature at all, or one with a high s or a strange v.
    BadSignature = 6, "attestation_bad_signature", "The attestation's signature is not a valid signature.";
    /// The issuer's contract said no (ERC-1271).
    SignatureRefused = 7, "attestation_signature_refused", "The issuer's contract does not stand by this signature.";
    /// Signed by somebody else than the stated issuer, or by nobody.
    WrongSigner = 8, "attestation_wrong_signer", "The attestation was altered, or not signed by its issuer.";
    /// No entry of the allow-list has this kind and schema.
    SchemaNotAccepted = 9, "attestation_schema_not_accepted", "Attestations of this schema are not accepted here.";
    /// The entries of this schema do not list the issuer.
    IssuerNotAccepted = 10, "attestation_issuer_not_accepted", "This issuer's attestations are not accepted here.";
    /// About somebody else, or about nobody.
    WrongSubject = 11, "attestation_wrong_subject", "The attestation is not about this recipient.";
    /// Its time of issue lies ahead.
    NotYetValid = 12, "attestation_not_yet_valid", "The attestation is not valid yet.";
    /// Its own expiry passed.
    Expired = 13, "attestation_expired", "The attestation has expired.";
    /// The allow-list's maximal age is asked of a kind that signs no time of issue.
    IssueTimeUnknown = 14, "attestation_issue_time_unknown", "The attestation does not say when it was issued.";
    /// Older than the allow-list takes.
    TooOld = 15, "attestation_too_old", "The attestation is older than is accepted here.";
    /// By the issuer in the registry, or by an entry of the log.
    Revoked = 16, "attestation_revoked", "The attestation was revoked.";
    /// Made for another chain.
    WrongChain = 17, "attestation_wrong_chain", "The attestation was made for another chain.";
    /// Made for another contract of the right chain.
    WrongContract = 18, "attestation_wrong_contract", "The attestation was made for another contract.";
    /// The data are not what the schema describes.
    DataMismatch = 19, "attestation_data_mismatch", "The attestation's data do not fit its schema.";
    /// What stands where the registry should be is none.
    RegistryUnusable = 20, "attestation_registry_unusable", "The registry of this attestation cannot be asked.";
}

impl std::fmt::Display for AttestationCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the stable code, and in words which part was wrong and what would be right. The detail is meant for
/// whoever submitted the attestation; it repeats nothing of other people's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({code}: {detail})", .code.sentence())]
pub struct Refused {
    /// The code.
    pub code: AttestationCode,
    /// Which part, and what would be right.
    pub detail: String,
}

impl Refused {
    /// A refusal with what exactly was wrong.
    pub fn new(code: AttestationCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(AttestationCode::Malformed, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::AttestationCode;

    #[test]
    fn codes_are_unique_and_keep_their_numbers() {
        let mut names: Vec<_> = AttestationCode::ALL.iter().map(|c| c.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), AttestationCode::ALL.len());
        assert!(AttestationCode::ALL.windows(2).all(|w| (w[0] as u8) < (w[1] as u8)));
        assert_eq!(borsh::to_vec(&AttestationCode::Revoked).unwrap(), [16]);
    }
}
