//! What is kept beside the log of a claim that a gate was asked about. The log's entry names its SHA-256 and says no more
//! than a claimant may know; offices and auditors read this.

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::evaluate::{Told, Verdict};
use super::facts::{ClaimFacts, FORMAT as FACTS};
use super::{Hash, Refusal};

/// The first byte of a refused claim's bytes; those of a permitted one are its facts.
const REFUSED: u8 = 2;
/// A sentence as it is kept: those of policies are longer than anybody reads at once, and all of it has to fit in
/// [`sluice_core::limits::FACT_BYTES_MAX`] together with the facts.
const SENTENCE_BYTES_MAX: usize = 4 * 1_024;

/// What is kept of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptClaim {
    /// It was permitted: the facts say everything, and what they rest on stands in the entry.
    Permitted(ClaimFacts),
    /// It was refused.
    Refused(Box<RefusedClaim>),
}

/// A claim that rules refused, with why.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct RefusedClaim {
    /// What the policies saw.
    pub facts: ClaimFacts,
    /// The deciding policies.
    pub policies: Vec<String>,
    /// The attestations used.
    pub attestations: Vec<B256>,
    /// The rule set that refused; none where the gate asks none.
    pub rule_set: Option<Hash>,
    /// Why, for offices.
    pub cause: Told,
    /// Why, for the claimant.
    pub told: Told,
}

impl RefusedClaim {
    /// What a refusal is kept as.
    pub fn new(facts: ClaimFacts, policies: Vec<String>, attestations: Vec<B256>, refusal: Refusal) -> Self {
        let Refusal { rule_set, cause, told } = refusal;
        let (cause, told) = (shortened(cause), shortened(told));
        Self { facts, policies, attestations, rule_set, cause, told }
    }

    /// The canonical bytes: one format byte, then borsh.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![REFUSED];
        BorshSerialize::serialize(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }
}

impl KeptClaim {
    /// Reads what [`ClaimFacts::encode`] or [`RefusedClaim::encode`] wrote; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, borsh::io::Error> {
        match bytes.split_first() {
            Some((&REFUSED, body)) => borsh::from_slice(body).map(|refused| Self::Refused(Box::new(refused))),
            Some((&FACTS, _)) => ClaimFacts::decode(bytes).map(Self::Permitted),
            _ => {
                let message = "neither facts nor a refused claim";
                Err(borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, message))
            }
        }
    }

    /// What the policies saw.
    pub fn facts(&self) -> &ClaimFacts {
        match self {
            Self::Permitted(facts) => facts,
            Self::Refused(refused) => &refused.facts,
        }
    }

    /// Why it was refused, if it was.
    pub fn refused(&self) -> Option<&RefusedClaim> {
        match self {
            Self::Permitted(_) => None,
            Self::Refused(refused) => Some(refused),
        }
    }
}

impl Verdict {
    /// The deciding policies of all rule sets, in their order, as evidence names them: so many at most.
    pub fn policies(&self) -> Vec<String> {
        let all = self.decisions.iter().flat_map(|decision| decision.policies.iter().cloned());
        all.take(sluice_core::limits::POLICIES_NAMED_MAX).collect()
    }
}

fn shortened(mut told: Told) -> Told {
    let end = told.sentence.floor_char_boundary(SENTENCE_BYTES_MAX);
    told.sentence.truncate(end);
    told
}

#[cfg(test)]
mod tests {
    use sluice_core::limits::{CLAIM_FACTS_BYTES_MAX, FACT_BYTES_MAX, GATE_ACCEPTS_MAX, POLICIES_NAMED_MAX};

    use super::*;

    fn facts(bytes: usize) -> ClaimFacts {
        let mut facts = ClaimFacts {
            campaign: Default::default(),
            round: 1,
            index: 2,
            recipient: Default::default(),
            to: Default::default(),
            amount: Default::default(),
            decimals: 6,
            person: None,
            accepted_at: 3,
            attestations: Default::default(),
        };
        let text = super::super::AttestationFacts {
            schema: "x".repeat(bytes.saturating_sub(facts.encode().len() + 16)),
            issuer: String::new(),
            data: Default::default(),
        };
        facts.attestations.insert(String::new(), text);
        facts
    }

    fn refused(bytes: usize, sentence: &str) -> RefusedClaim {
        let told = || Told { code: "c".repeat(64), sentence: sentence.to_owned() };
        let refusal = Refusal { rule_set: Some(Hash([9; 32])), told: told(), cause: told() };
        let policies = vec!["p".repeat(64); POLICIES_NAMED_MAX];
        let attestations = vec![B256::ZERO; GATE_ACCEPTS_MAX];
        RefusedClaim::new(facts(bytes), policies, attestations, refusal)
    }

    #[test]
    fn the_largest_refusal_fits_beside_the_largest_facts() {
        let largest = refused(CLAIM_FACTS_BYTES_MAX, &"ä".repeat(100_000));
        assert_eq!(largest.facts.encode().len(), CLAIM_FACTS_BYTES_MAX);
        assert!(largest.encode().len() <= FACT_BYTES_MAX, "{}", largest.encode().len());
    }

    #[test]
    fn bytes_are_read_back_as_what_they_are() {
        let one = refused(500, "why");
        assert_eq!(KeptClaim::decode(&one.encode()).unwrap().refused(), Some(&one));
        let permitted = KeptClaim::decode(&one.facts.encode()).unwrap();
        assert_eq!((permitted.facts(), permitted.refused()), (&one.facts, None));
        assert!(KeptClaim::decode(&[]).is_err() && KeptClaim::decode(&[3]).is_err());
        assert!(KeptClaim::decode(&[one.encode(), vec![0]].concat()).is_err());
    }
}
