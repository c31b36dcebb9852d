use alloy_primitives::{Address, U256};
use alloy_sol_types::{Panic, Revert as StringRevert, SolError};

use super::*;

fn told(data: Vec<u8>) -> (RevertKind, String) {
    let revert = Revert::decode(data.into());
    assert_eq!(revert.to_string(), revert.text);
    (revert.kind, revert.text)
}

#[test]
fn our_contracts_errors_are_told_by_name_with_their_arguments() {
    let wrong = Distributor::WrongBatch { given: 3, next: 5 };
    let expected =
        (RevertKind::WrongBatch { given: 3, next: 5 }, "WrongBatch { given: 3, next: 5 }".to_owned());
    assert_eq!(told(wrong.abi_encode()), expected);
    let nothing = Distributor::NothingPaid { reason: Bytes::from([1, 2]) };
    assert_eq!(told(nothing.abi_encode()).0, RevertKind::NothingPaid(Bytes::from([1, 2])));
    let stale = Charter::StaleEpoch { given: 1, current: 2 };
    assert_eq!(told(stale.abi_encode()).0, RevertKind::StaleEpoch { given: 1, current: 2 });
    let quorum = Charter::QuorumMissed { institutions: U256::from(1), needed: U256::from(2) };
    let expected = (RevertKind::Unauthorised, "QuorumMissed { institutions: 1, needed: 2 }".to_owned());
    assert_eq!(told(quorum.abi_encode()), expected);
    assert_eq!(told(Distributor::Reentered {}.abi_encode()), (RevertKind::Other, "Reentered".to_owned()));
}

#[test]
fn other_errors_are_told_as_far_as_they_can_be() {
    assert_eq!(told(StringRevert::from("paused by owner").abi_encode()).1, "paused by owner");
    assert!(told(Panic::from(0x11u64).abi_encode()).1.contains("overflow"));
    let poor = IERC20Errors::ERC20InsufficientBalance {
        sender: Address::ZERO,
        balance: U256::from(1),
        needed: U256::from(2),
    };
    assert!(told(poor.abi_encode()).1.starts_with("ERC20InsufficientBalance {"));
    assert_eq!(told(vec![]).1, "no reason given");
    assert_eq!(told(vec![0xde, 0xad, 0xbe, 0xef]).1, "unknown error 0xdeadbeef");
    assert_eq!(told(vec![1]).1, "unknown error 0x01");
}
