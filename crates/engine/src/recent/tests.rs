use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use sluice_core::ids::{ContractRef, StreamId};
use sluice_core::log::entry::{Body, Entry, Erased};
use sluice_core::log::note::{LogKey, Origin};
use sluice_gate::attestation::{EasOnchain, Statement};

use super::*;
use crate::follower::{Committed, Follower};

const SECOND: Duration = Duration::from_secs(1);

fn held(n: u8) -> Arc<Held> {
    let statement = Statement::EasOnchain(EasOnchain {
        contract: ContractRef { chain_id: 1, address: Address::ZERO },
        uid: B256::repeat_byte(n),
        schema: B256::ZERO,
        recipient: Address::ZERO,
        time: 0,
        expiration_time: 0,
        revocable: true,
        ref_uid: B256::ZERO,
        data: Bytes::new(),
    });
    let attestation = Attestation { issuer: Address::ZERO, statement, signature: Bytes::new() };
    Arc::new(Held::new(B256::repeat_byte(n), attestation, false))
}

fn ids(generations: &Generations) -> Vec<u8> {
    (0..=u8::MAX).filter(|n| generations.get(&B256::repeat_byte(*n)).is_some()).collect()
}

#[test]
fn nothing_is_held_longer_than_look_ups_are_believed() {
    let start = Instant::now();
    let mut recent = Generations::begun_at(start, 0);
    recent.hold(held(1), 100, start);
    recent.hold(held(2), 100, start + LOOKUP_VALID / 2 - SECOND);
    recent.turn(0, start + LOOKUP_VALID / 2);
    assert_eq!(ids(&recent), [1, 2], "they grow old");
    recent.hold(held(3), 100, start + LOOKUP_VALID - SECOND);
    assert_eq!(ids(&recent), [1, 2, 3]);
    recent.turn(0, start + LOOKUP_VALID);
    assert_eq!(ids(&recent), [3], "and are forgotten ten minutes after the first of them came");
    recent.turn(0, start + LOOKUP_VALID * 2);
    assert!(ids(&recent).is_empty(), "also where nothing came meanwhile");
}

#[test]
fn what_is_held_has_a_bound_in_bytes() {
    let start = Instant::now();
    let mut recent = Generations::begun_at(start, 0);
    let large = HELD_BYTES_MAX / 8 - HELD_BYTES_BESIDE;
    for n in 0..200 {
        recent.hold(held(n), large, start);
        assert!(ids(&recent).len() <= 8 && ids(&recent).contains(&n), "{n}");
    }
    assert_eq!(ids(&recent).len(), 8);
}

#[test]
fn an_erasure_that_the_log_records_forgets_all_of_it() {
    let at = ContractRef { chain_id: 1, address: Address::ZERO };
    let follower = Follower::new(StreamId(0), LogKey::new(&Origin::new(at, StreamId(0)), &[1; 32]));
    let before = follower.recent().erasures();
    follower.recent().hold(held(1), 100, before);
    assert_eq!(follower.recent().of([[1; 32], [2; 32]].iter()).len(), 1);
    let body = Body::Erased(Erased { order: 1, facts: Vec::new(), attestations: 1 });
    let entry = Entry { stream: StreamId(0), seq: 1, epoch: 1, recorded_at: 1, body };
    follower.advance(vec![Committed { bytes: entry.encode(), entry }]).unwrap();
    assert!(follower.recent().of([[1; 32]].iter()).is_empty());
    follower.recent().hold(held(1), 100, before);
    assert!(follower.recent().of([[1; 32]].iter()).is_empty(), "nor is held what was written before it");
}
