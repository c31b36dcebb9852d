use sluice_core::ids::BlockRef;

use super::*;

const REGISTRY: ContractRef = ContractRef { chain_id: 5, address: Address::repeat_byte(0xea) };
const OTHER: ContractRef = ContractRef { chain_id: 5, address: Address::repeat_byte(0xeb) };
const ELSEWHERE: ContractRef = ContractRef { chain_id: 6, ..REGISTRY };

fn id(n: u8) -> AsSigned {
    AsSigned { id: B256::repeat_byte(n), signature: B256::ZERO }
}

fn seen_at(block: u64) -> Answered {
    let looked_at = Some(BlockRef { number: block, hash: B256::ZERO });
    Answered { looked_at, valid_until: Some(1_000), ..Answered::default() }
}

fn asked(contract: ContractRef, uids: &[u8]) -> [Need; 1] {
    let uids = uids.iter().map(|n| B256::repeat_byte(*n)).collect();
    [Need::Revocation { contract, issuer: Address::ZERO, uids }]
}

fn is_known(remembered: &Remembered, n: u8) -> bool {
    remembered.known(id(n), 999).looked_at.is_some()
}

fn revoked(n: u8) -> (Address, B256) {
    (REGISTRY.address, B256::repeat_byte(n))
}

#[test]
fn what_is_revoked_under_any_of_its_uids_is_forgotten_and_nothing_else() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[11, 12]));
    remembered.remember(id(2), seen_at(11), &asked(REGISTRY, &[21]));
    remembered.remember(id(3), seen_at(10), &asked(OTHER, &[12]));
    let followed = remembered.followed(5, 0).unwrap();
    assert_eq!((followed.block, followed.registries.len()), (10, 2), "from the first block that was seen");
    remembered.take_back(5, &followed, &[revoked(12), revoked(99)], 14);
    assert_eq!([1, 2, 3].map(|n| is_known(&remembered, n)), [false, true, true]);
    assert_eq!(remembered.followed(5, 0).unwrap().block, 14);
    assert_eq!(remembered.followed(6, 0), None);
}

#[test]
fn an_answer_from_before_the_block_that_was_followed_to_is_not_remembered() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]));
    let followed = remembered.followed(5, 0).unwrap();
    remembered.take_back(5, &followed, &[], 14);
    remembered.remember(id(2), seen_at(13), &asked(REGISTRY, &[2]));
    assert!(!is_known(&remembered, 2), "it may have been revoked in block 14");
    remembered.remember(id(2), seen_at(14), &asked(REGISTRY, &[2]));
    remembered.remember(id(3), seen_at(3), &asked(ELSEWHERE, &[3]));
    assert_eq!([1, 2, 3].map(|n| is_known(&remembered, n)), [true; 3]);
}

#[test]
fn a_registry_that_joins_during_a_look_is_looked_at_from_where_the_look_began() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]));
    let followed = remembered.followed(5, 0).unwrap();
    remembered.remember(id(2), seen_at(12), &asked(OTHER, &[2]));
    remembered.take_back(5, &followed, &[], 14);
    assert_eq!(remembered.followed(5, 0).unwrap().block, 10);
}

#[test]
fn nothing_is_followed_for_answers_that_nobody_believes() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]));
    remembered.remember(id(2), seen_at(10), &asked(ELSEWHERE, &[1]));
    assert!(remembered.followed(5, 999).is_some());
    assert_eq!(remembered.followed(5, 1_000), None);
    assert_eq!(remembered.revocable.len(), 1, "and what was kept for it is gone");
    assert!(!is_known(&remembered, 1) && is_known(&remembered, 2));
}
