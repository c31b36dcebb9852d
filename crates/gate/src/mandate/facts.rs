//! What a mandate may look at: the facts of one command.

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression as Expr};
use cedar_policy_core::ast::RestrictedExpr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_core::amount::{Amount, Total};
use sluice_core::ids::{CampaignId, Millis, RoundNo, StreamId};
use std::collections::HashSet;

use super::ActionKind;
use crate::rules::{FactsError, Hash, accepted, bounds, uid};

/// The first byte of [`CommandFacts::encode`].
const FORMAT: u8 = 1;

/// Everything a mandate is evaluated on. A command with a list is one request: its subject is what contains the items,
/// its spending their sum.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandFacts {
    /// The institution whose mandate is used.
    pub authority: B256,
    /// What is ordered.
    pub action: ActionKind,
    /// The stream in which.
    pub stream: StreamId,
    /// What it is about.
    pub subject: Subject,
    /// The jurisdictions that subject and campaign belong to, as tags like `DE-BE`.
    #[serde(default)]
    pub jurisdictions: Vec<String>,
    /// How many items it names; 1 where it names the subject alone.
    pub count: u64,
    /// What it moves, stops or decides, where it is about money.
    #[serde(default)]
    pub spending: Option<Spending>,
    /// Whether a vendor signs under a delegation.
    #[serde(default)]
    pub delegated: bool,
    /// The database's clock at the intake row, milliseconds since the Unix epoch.
    pub accepted_at: Millis,
}

/// Money that a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spending {
    /// Of all items together, base units.
    pub total: Total,
    /// Of the largest item, base units.
    pub largest: Amount,
    /// The token's decimals.
    pub decimals: u8,
}

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[repr(u8)]
pub enum Subject {
    /// The stream itself: authorities, mandates, rule sets.
    Stream = 1,
    /// A campaign.
    Campaign {
        /// Which.
        campaign: CampaignId,
    } = 2,
    /// A round.
    Round {
        /// Of which campaign.
        campaign: CampaignId,
        /// Which.
        round: RoundNo,
    } = 3,
    /// An entitlement.
    Entitlement {
        /// Of which campaign.
        campaign: CampaignId,
        /// Of which round.
        round: RoundNo,
        /// Which.
        index: u64,
    } = 4,
    /// A person, in every campaign.
    Person {
        /// The registrar's opaque id.
        person: B256,
    } = 5,
    /// Everything under a jurisdiction's tag.
    Jurisdiction {
        /// The tag.
        tag: String,
    } = 6,
}

impl Subject {
    /// The campaign it lies in, if it lies in one.
    pub fn campaign(&self) -> Option<CampaignId> {
        match self {
            Self::Campaign { campaign }
            | Self::Round { campaign, .. }
            | Self::Entitlement { campaign, .. } => Some(*campaign),
            Self::Stream | Self::Person { .. } | Self::Jurisdiction { .. } => None,
        }
    }

    /// The round it lies in, if it lies in one.
    pub fn round(&self) -> Option<RoundNo> {
        match self {
            Self::Round { round, .. } | Self::Entitlement { round, .. } => Some(*round),
            _ => None,
        }
    }
}

impl CommandFacts {
    /// The canonical bytes: one format byte, then borsh.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        BorshSerialize::serialize(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// SHA-256 of [`Self::encode`].
    pub fn inputs_hash(&self) -> Hash {
        Hash(Sha256::digest(self.encode()).into())
    }

    pub(super) fn request(&self) -> Result<(Request, Entities), FactsError> {
        let engine = |error: &dyn std::fmt::Display| FactsError::Engine(error.to_string());
        let (subject, entities) = self.subject_among_its_parents()?;
        let context = Context::from_pairs(self.context()?).map_err(|error| engine(&error))?;
        let principal = uid("Authority", &format!("0x{}", hex::encode(self.authority)))?;
        let action = uid("Action", self.action.as_str())?;
        let request =
            Request::new(principal, action, subject, context, None).map_err(|error| engine(&error))?;
        let entities = Entities::from_entities(entities, None).map_err(|error| engine(&error))?;
        Ok((request, entities))
    }

    fn context(&self) -> Result<Vec<(String, Expr)>, FactsError> {
        let count =
            i64::try_from(self.count).map_err(|_| FactsError::NumberTooLarge { what: "the count" })?;
        let mut pairs = vec![
            ("count".to_owned(), Expr::new_long(count)),
            ("delegated".to_owned(), Expr::new_bool(self.delegated)),
            ("accepted".to_owned(), RestrictedExpr::from(accepted(self.accepted_at)?).into()),
        ];
        if let Some(spending) = self.spending {
            let (down, up) =
                bounds(spending.total.get(), spending.decimals).ok_or(FactsError::AmountOutOfRange)?;
            pairs.push(("amount_up".to_owned(), Expr::new_decimal(up.to_string())));
            pairs.push(("amount_down".to_owned(), Expr::new_decimal(down.to_string())));
        }
        Ok(pairs)
    }

    /// The subject and what it lies in: entitlement in round in campaign in stream, and the jurisdictions.
    fn subject_among_its_parents(&self) -> Result<(EntityUid, Vec<Entity>), FactsError> {
        let stream = uid("Stream", &self.stream.0.to_string())?;
        let mut outer: HashSet<EntityUid> = HashSet::from([stream.clone()]);
        for tag in &self.jurisdictions {
            outer.insert(uid("Jurisdiction", tag)?);
        }
        let mut chain = Vec::new();
        match &self.subject {
            Subject::Stream => return Ok((stream, Vec::new())),
            Subject::Person { person } => chain.push(uid("Person", &format!("0x{}", hex::encode(person)))?),
            Subject::Jurisdiction { tag } => {
                let jurisdiction = uid("Jurisdiction", tag)?;
                let itself = Entity::new_no_attrs(jurisdiction.clone(), HashSet::from([stream]));
                return Ok((jurisdiction, vec![itself]));
            }
            Subject::Campaign { campaign } => chain.push(uid("Campaign", &campaign.to_string())?),
            Subject::Round { campaign, round } => {
                chain.push(uid("Round", &format!("{campaign}/{round}"))?);
                chain.push(uid("Campaign", &campaign.to_string())?);
            }
            Subject::Entitlement { campaign, round, index } => {
                chain.push(uid("Entitlement", &format!("{campaign}/{round}/{index}"))?);
                chain.push(uid("Round", &format!("{campaign}/{round}"))?);
                chain.push(uid("Campaign", &campaign.to_string())?);
            }
        }
        let mut entities = Vec::with_capacity(chain.len());
        for (place, entity) in chain.iter().enumerate() {
            let mut parents: HashSet<EntityUid> = chain.get(place + 1).cloned().into_iter().collect();
            // Only the outermost lies in the stream directly; a person's or entitlement's own tags count all the same.
            if place + 1 == chain.len() {
                parents.extend(outer.iter().cloned());
            }
            entities.push(Entity::new_no_attrs(entity.clone(), parents));
        }
        let subject = chain.into_iter().next().ok_or(FactsError::Engine("no subject".to_owned()))?;
        Ok((subject, entities))
    }
}
