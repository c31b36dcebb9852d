//! What is signed of every command, pinned; and that every byte of a command is signed.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use sluice_core::command::{Action, Command, ListPlace, list_tree};
use sluice_core::ids::{ContractRef, DemandId};
use sluice_core::signing::{command_digest, command_hash, list_digest};
use uuid::Uuid;

use super::offices::actions;
use super::{a, b, commanded, demand, golden};

fn charter() -> ContractRef {
    ContractRef { chain_id: 1, address: a(0xcc) }
}

fn alone(action: Action) -> Command {
    Command { listed_at: None, ..commanded(action, ()).command }
}

pub(super) fn lines() -> String {
    let mut text =
        "# EIP-712 digest of every command, signed alone: its name, then what institution 06… signs.\n"
            .to_owned();
    for (name, action) in actions() {
        let digest = command_digest(&alone(action), demand(), b(6), charter()).unwrap();
        text += &format!("{name} {}\n", hex::encode(digest));
    }
    text
}

#[test]
fn every_command_has_its_digest() {
    assert_eq!(std::fs::read_to_string(golden("digests1.txt")).unwrap(), lines());
}

#[test]
fn every_action_is_pinned_by_its_name() {
    let names: BTreeSet<_> = actions().iter().map(|(_, action)| action.name()).collect();
    assert_eq!(names, Action::NAMES.into_iter().collect());
    let numbers: Vec<_> = Action::NAMES
        .iter()
        .map(|name| {
            let of = actions().into_iter().find(|(_, action)| action.name() == *name).unwrap().1;
            usize::from(borsh::to_vec(&of).unwrap()[0])
        })
        .collect();
    assert_eq!(numbers, (1..=Action::NAMES.len()).collect::<Vec<_>>());
}

/// Whatever byte of a command is changed, another digest is signed: no field is left to who carries it.
#[test]
fn every_byte_of_a_command_is_signed() {
    for (name, action) in actions() {
        for listed in [false, true] {
            let mut command = alone(action.clone());
            command.approvals.clear();
            if listed {
                let path = vec![b(0x53)];
                command.listed_at = Some(ListPlace { list: demand(), count: 3, at: 2, path });
            }
            let digest = command_digest(&command, demand(), b(6), charter()).unwrap();
            let bytes = borsh::to_vec(&command).unwrap();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                let Ok(changed) = borsh::from_slice::<Command>(&changed) else { continue };
                let other = command_digest(&changed, demand(), b(6), charter());
                assert_ne!(other, Some(digest), "{name}: byte {at} is not signed");
            }
            let another = DemandId(Uuid::from_u128(0xdf));
            assert_ne!(command_digest(&command, another, b(6), charter()), Some(digest), "{name}: its id");
            assert_ne!(command_digest(&command, demand(), b(7), charter()), Some(digest), "{name}: for whom");
            let elsewhere = ContractRef { chain_id: 2, ..charter() };
            assert_ne!(command_digest(&command, demand(), b(6), elsewhere), Some(digest), "{name}: where");
        }
    }
}

#[test]
fn each_item_of_a_list_stands_under_the_one_signature_and_nothing_else_does() {
    let (list, mut commands): (DemandId, Vec<Command>) =
        (DemandId(Uuid::from_u128(0x115)), actions().into_iter().map(|(_, action)| alone(action)).collect());
    let ids: Vec<_> = (0..commands.len()).map(|i| DemandId(Uuid::from_u128(0x1000 + i as u128))).collect();
    let hashes: Vec<B256> = commands.iter().zip(&ids).map(|(c, id)| command_hash(c, *id, b(6))).collect();
    let (root, paths) = list_tree(&hashes);
    let count = commands.len() as u32;
    let signed = list_digest(root, count, list, 11, b(6), charter());
    for (at, (command, path)) in commands.iter_mut().zip(paths).enumerate() {
        command.listed_at = Some(ListPlace { list, count, at: at as u32, path });
        assert_eq!(command_digest(command, ids[at], b(6), charter()), Some(signed));
        let mut other = command.clone();
        other.subject_version += 1;
        assert_ne!(command_digest(&other, ids[at], b(6), charter()), Some(signed));
        assert_ne!(command_digest(command, ids[(at + 1) % ids.len()], b(6), charter()), Some(signed));
    }
}
