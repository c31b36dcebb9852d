use std::collections::BTreeMap;

use sluice_gate::rules::AttestationFacts;

use super::*;

#[test]
fn facts_that_could_not_be_kept_are_refused() {
    let mut facts = ClaimFacts {
        campaign: CampaignId::default(),
        round: 1,
        index: 0,
        recipient: Address::ZERO,
        to: Address::ZERO,
        amount: Default::default(),
        decimals: 18,
        person: None,
        accepted_at: 0,
        attestations: BTreeMap::new(),
    };
    let says = |bytes: usize| AttestationFacts {
        schema: "x".repeat(bytes),
        issuer: String::new(),
        data: BTreeMap::new(),
    };
    facts.attestations.insert("one".into(), says(CLAIM_FACTS_BYTES_MAX / 2));
    assert_eq!(bounded(&facts), Ok(facts.encode()));
    facts.attestations.insert("two".into(), says(CLAIM_FACTS_BYTES_MAX / 2));
    assert_eq!(bounded(&facts), Err(Code::FactsTooLarge));
}
