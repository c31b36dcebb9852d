//! How a claimant proves who they are when they look up a private list, or an attestation about them: a statement signed with the listed address's key, good
//! for minutes, sent with the request. The node keeps nothing of it.

use alloy_primitives::{Address, B256, Bytes, FixedBytes};
use alloy_sol_types::{SolStruct, sol};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use sluice_core::ids::{CampaignId, ContractRef, Millis};
use sluice_core::signing::domain;
use sluice_engine::recover::signer_of;

use super::Api;
use super::problem::{self, Problem};
use super::statement;

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
    /// The service by a name of its own, with the port where it is not the scheme's own.
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
        statement::encode(self)
    }

    fn decode(text: &str) -> Result<Self, String> {
        statement::decode(text, TEXT_BYTES_MAX)
    }
}

/// Whose key signed the request's statement, and for which campaign; nobody's, where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claimant(Option<(CampaignId, Address)>);

impl Claimant {
    /// The campaign and the address that proved itself for it.
    pub(crate) const fn proved(self) -> Option<(CampaignId, Address)> {
        self.0
    }

    /// The address that proved itself for this campaign.
    pub(crate) fn of(self, campaign: CampaignId) -> Option<Address> {
        self.0.filter(|(proved, _)| *proved == campaign).map(|(_, account)| account)
    }
}

impl FromRequestParts<Api> for Claimant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Some(looking) = statement::shown(parts, (CLAIMANT, "Claimant"), Looking::decode)? else {
            return Ok(Self::default());
        };
        looking.check(api)?;
        Ok(Self(Some((looking.campaign, looking.account))))
    }
}

impl Looking {
    /// Refuses what was signed for another service, for another time, or by another key. Says nothing of lists.
    fn check(&self, api: &Api) -> Result<(), Problem> {
        let unproved =
            |detail: String| Problem::from(problem::CLAIMANT_UNPROVED).field("Claimant").detail(detail);
        api.names.good_for(&self.host, self.expires_at, api.node.now()).map_err(unproved)?;
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
