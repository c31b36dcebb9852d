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
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[11, 12]), 0);
    remembered.remember(id(2), seen_at(11), &asked(REGISTRY, &[21]), 0);
    remembered.remember(id(3), seen_at(10), &asked(OTHER, &[12]), 0);
    let followed = remembered.followed(5, 0).unwrap();
    assert_eq!(
        (followed.block, followed.registries.off_chain.len()),
        (10, 2),
        "from the first block that was seen"
    );
    remembered.take_back(5, &followed, &[revoked(12), revoked(99)], (14, 1));
    assert_eq!([1, 2, 3].map(|n| is_known(&remembered, n)), [false, true, true]);
    assert_eq!(remembered.followed(5, 0).unwrap().block, 14);
    assert_eq!(remembered.followed(6, 0), None);
}

#[test]
fn an_answer_from_before_the_block_that_was_followed_to_is_not_remembered() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]), 0);
    let followed = remembered.followed(5, 0).unwrap();
    remembered.take_back(5, &followed, &[], (14, 1));
    remembered.remember(id(2), seen_at(13), &asked(REGISTRY, &[2]), 0);
    assert!(!is_known(&remembered, 2), "it may have been revoked in block 14");
    remembered.remember(id(2), seen_at(14), &asked(REGISTRY, &[2]), 0);
    remembered.remember(id(3), seen_at(3), &asked(ELSEWHERE, &[3]), 0);
    assert_eq!([1, 2, 3].map(|n| is_known(&remembered, n)), [true; 3]);
}

#[test]
fn a_registry_that_joins_during_a_look_is_looked_at_from_where_the_look_began() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]), 0);
    let followed = remembered.followed(5, 0).unwrap();
    remembered.remember(id(2), seen_at(12), &asked(OTHER, &[2]), 0);
    remembered.take_back(5, &followed, &[], (14, 1));
    assert_eq!(remembered.followed(5, 0).unwrap().block, 10);
}

#[test]
fn nothing_is_followed_for_answers_that_nobody_believes() {
    let mut remembered = Remembered::default();
    remembered.remember(id(1), seen_at(10), &asked(REGISTRY, &[1]), 0);
    remembered.remember(id(2), seen_at(10), &asked(ELSEWHERE, &[1]), 0);
    assert!(remembered.followed(5, 999).is_some());
    assert_eq!(remembered.followed(5, 1_000), None);
    assert_eq!(remembered.revocable.len(), 1, "and what was kept for it is gone");
    assert!(!is_known(&remembered, 1) && is_known(&remembered, 2));
}

#[test]
fn what_a_registry_said_is_not_believed_once_it_is_not_followed() {
    let mut remembered = Remembered::default();
    let lasting = |block| Answered { valid_until: Some(600_000), ..seen_at(block) };
    let believed = |remembered: &Remembered, n, now| remembered.known(id(n), now).looked_at.is_some();
    remembered.remember(id(1), lasting(10), &asked(REGISTRY, &[1]), 0);
    assert!(believed(&remembered, 1, FOLLOWED_LATELY));
    assert!(!believed(&remembered, 1, FOLLOWED_LATELY + 1));
    // No block came, and that was seen.
    let followed = remembered.followed(5, 1).unwrap();
    remembered.take_back(5, &followed, &[], (10, 5_000));
    assert!(believed(&remembered, 1, FOLLOWED_LATELY + 5_000));
    // Who is not followed any more is followed anew from the next answer, and older ones do not come back with it.
    remembered.remember(id(2), lasting(400), &asked(REGISTRY, &[2]), 60_000);
    assert!(believed(&remembered, 2, 60_000) && !believed(&remembered, 1, 60_000));
    assert_eq!(remembered.followed(5, 60_000).unwrap().block, 400);
}

#[test]
fn there_are_no_more_answers_than_may_be_whatever_they_say() {
    let mut remembered = Remembered::default();
    let nothing_seen = Answered { valid_until: Some(1_000), ..Answered::default() };
    for n in 0..=ANSWERS_KEPT_MAX as u64 {
        let id = AsSigned { id: B256::left_padding_from(&n.to_be_bytes()), signature: B256::ZERO };
        remembered.remember(id, nothing_seen, &asked(REGISTRY, &[1]), 0);
    }
    assert_eq!(remembered.len(), 1);
}
