use std::collections::BTreeMap;

use sluice_core::command::{AcceptedAttestation, GateTerms};
use sluice_gate::attestation::{Accepts, EasSchema, Source, SubjectIn, schema_uid};
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

#[test]
fn a_gate_is_made_ready_once_and_anew_when_it_says_something_else() {
    let source = EasSchema {
        chain_id: 1,
        contract: Address::repeat_byte(1),
        schema: schema_uid("bool resident", Address::ZERO, true),
        resolver: Address::ZERO,
        revocable: true,
    };
    let terms = |issuer: u8| {
        let accepts = Accepts {
            source: Source::EasOffchain(source.clone()),
            schema_text: "bool resident".into(),
            issuers: vec![Address::repeat_byte(issuer)],
            contract_issuers: Vec::new(),
            max_age_secs: None,
            subject: SubjectIn::Recipient,
        };
        let accepts = borsh::to_vec(&accepts).unwrap().into();
        GateTerms {
            campaign: CampaignId::default(),
            version: 1,
            rule_sets: Vec::new(),
            attestations: vec![AcceptedAttestation { name: "residency".into(), accepts }],
            signer: Bytes::new(),
        }
    };
    let gates = Gates::default();
    let issuers = |asked: &Asked| asked.allowed().iter().flat_map(|a| a.issuers.clone()).collect::<Vec<_>>();
    let first = gates.asked(&terms(7)).unwrap();
    assert!(Arc::ptr_eq(&first, &gates.asked(&terms(7)).unwrap()));
    let changed = gates.asked(&terms(8)).unwrap();
    assert_eq!(
        (issuers(&first), issuers(&changed)),
        (vec![Address::repeat_byte(7)], vec![Address::repeat_byte(8)])
    );
}
