use std::collections::BTreeSet;

use alloy::json_abi::JsonAbi;
use alloy_sol_types::{SolEventInterface, SolInterface};

use super::artifacts::{CHARTER_JSON, DISTRIBUTOR_JSON, TEST_TOKEN_JSON, WARDEN_JSON};
use super::*;

#[derive(serde::Deserialize)]
struct Artifact {
    abi: JsonAbi,
}

fn abi(json: &str) -> JsonAbi {
    serde_json::from_str::<Artifact>(json).unwrap().abi
}

fn selectors<C: SolInterface>() -> BTreeSet<[u8; 4]> {
    (0..C::COUNT).filter_map(C::selector_at).collect()
}

/// Every call we encode exists, and every error we may meet is known.
fn compare<C: SolInterface, E: SolInterface>(abi: &JsonAbi, name: &str) {
    let functions: BTreeSet<_> = abi.functions().map(|f| f.selector().0).collect();
    let missing: Vec<_> =
        selectors::<C>().difference(&functions).map(|s| C::NAME.to_owned() + &format!("{s:x?}")).collect();
    assert!(missing.is_empty(), "{name} has no such functions: {missing:?}");
    let ours = selectors::<E>();
    let unknown: Vec<_> =
        abi.errors().filter(|e| !ours.contains(&e.selector().0)).map(|e| e.signature()).collect();
    assert!(unknown.is_empty(), "{name} has errors that are not bound: {unknown:?}");
}

#[test]
fn the_interfaces_are_those_of_the_committed_build() {
    compare::<Charter::CharterCalls, Charter::CharterErrors>(&abi(CHARTER_JSON), "Charter");
    compare::<Distributor::DistributorCalls, Distributor::DistributorErrors>(
        &abi(DISTRIBUTOR_JSON),
        "Distributor",
    );
    compare::<Warden::WardenCalls, Warden::WardenErrors>(&abi(WARDEN_JSON), "Warden");
    let token = abi(TEST_TOKEN_JSON);
    compare::<TestToken::TestTokenCalls, IERC20Errors::IERC20ErrorsErrors>(&token, "TestToken");
    assert!(
        !artifacts::CHARTER.is_empty()
            && !artifacts::DISTRIBUTOR.is_empty()
            && !artifacts::TEST_TOKEN.is_empty()
    );
}

#[test]
fn every_event_of_the_committed_build_is_known_with_its_indexed_fields() {
    let events = |json| {
        let abi = abi(json);
        abi.events().map(|e| (e.selector(), e.full_signature())).collect::<BTreeSet<_>>()
    };
    let charter = Charter::CharterEvents::SELECTORS;
    let distributor = Distributor::DistributorEvents::SELECTORS;
    for (selector, signature) in events(CHARTER_JSON) {
        assert!(charter.contains(&selector.0), "unknown event of the Charter: {signature}");
    }
    for (selector, signature) in events(DISTRIBUTOR_JSON) {
        assert!(distributor.contains(&selector.0), "unknown event of the Distributor: {signature}");
    }
    assert_eq!(charter.len(), Charter::CharterEvents::COUNT);
}
