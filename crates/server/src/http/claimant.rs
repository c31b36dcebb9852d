//! How a claimant proves who they are when they look up a private list: a statement signed with the listed address's key, good
//! for minutes, sent with the request. The node keeps nothing of it.

use alloy_primitives::{Address, B256, Bytes, FixedBytes};
use alloy_sol_types::{SolStruct, sol};
use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sluice_core::ids::{CampaignId, ContractRef, Millis};
use sluice_core::signing::domain;
use sluice_engine::recover::signer_of;

use super::Api;
use super::bounds::READING_FOR_MAX;
use super::problem::{self, Problem};

/// The header that carries a [`Looking`].
pub const CLAIMANT: &str = "claimant";
/// The longest header of this kind; a statement has 400 bytes.
const TEXT_BYTES_MAX: usize = 2 * 1024;

sol! {
    /// What a claimant signs, in the home Charter's EIP-712 domain (name "Sluice", version "1"). It pays nobody.
    #[derive(Debug)]
    struct LookUp {
        bytes16 campaign;
        address account;
        string host;
        uint64 expiresAt;
    }
}

/// A claimant asks to be shown their own entitlements. In the header: this as JSON, in base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looking {
    /// The campaign.
    pub campaign: CampaignId,
    /// Whose key signs: only what is listed for this address is shown.
    pub account: Address,
    /// The `Host` of the request, with the port where it is not the scheme's own.
    pub host: String,
    /// Good until then, milliseconds since the Unix epoch; minutes ahead at most.
    pub expires_at: Millis,
    /// Over the other fields; by a key, not by a contract.
    pub signature: Bytes,
}

impl Looking {
    /// What is signed, under the stream's home Charter.
    pub fn digest(&self, charter: ContractRef) -> B256 {
        let look = LookUp {
            campaign: FixedBytes(self.campaign.0.into_bytes()),
            account: self.account,
            host: self.host.clone(),
            expiresAt: self.expires_at,
        };
        look.eip712_signing_hash(&domain(charter))
    }

    /// The header's text.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a statement is JSON"))
    }

    fn decode(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("{} bytes; at most {TEXT_BYTES_MAX}", text.len()));
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("no base64url: {error}"))?;
        serde_json::from_slice(&json).map_err(|error| error.to_string())
    }
}

/// Whose key signed the request's statement, and for which campaign; nobody's, where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claimant(Option<(CampaignId, Address)>);

impl Claimant {
    /// The address that proved itself for this campaign.
    pub(crate) fn of(self, campaign: CampaignId) -> Option<Address> {
        self.0.filter(|(proved, _)| *proved == campaign).map(|(_, account)| account)
    }
}

impl FromRequestParts<Api> for Claimant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(CLAIMANT).iter();
        let Some(value) = values.next() else { return Ok(Self::default()) };
        let malformed =
            |detail: String| Problem::from(problem::MALFORMED_HEADER).field("Claimant").detail(detail);
        if values.next().is_some() {
            return Err(malformed("send it once".into()));
        }
        let text = value.to_str().map_err(|error| malformed(error.to_string()))?;
        let looking =
            Looking::decode(text).map_err(|why| malformed(format!("a statement in base64url: {why}")))?;
        looking.check(api, parts)?;
        Ok(Self(Some((looking.campaign, looking.account))))
    }
}

impl Looking {
    /// Refuses what was signed for another service, for another time, or by another key. Says nothing of lists.
    fn check(&self, api: &Api, parts: &Parts) -> Result<(), Problem> {
        let unproved =
            |detail: String| Problem::from(problem::CLAIMANT_UNPROVED).field("Claimant").detail(detail);
        let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = named.or(parts.uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
        if !host.eq_ignore_ascii_case(&self.host) {
            return Err(unproved(format!("it is for host {:?}, this is {host:?}", self.host)));
        }
        let left = self.expires_at.saturating_sub(api.node.now());
        if left == 0 {
            return Err(unproved("it has expired".into()));
        }
        if u128::from(left) > READING_FOR_MAX.as_millis() {
            return Err(unproved(format!("it must expire within {} s from now", READING_FOR_MAX.as_secs())));
        }
        let charter = api.node.follower().read(|log| log.home_charter().map(|read| read.charter));
        let charter = charter.ok_or(problem::NOT_READY)?;
        if signer_of(self.digest(charter), &self.signature) != Some(self.account) {
            let detail =
                "the signature is not this account's over this statement; contracts cannot sign here";
            return Err(unproved(detail.into()));
        }
        Ok(())
    }
}
