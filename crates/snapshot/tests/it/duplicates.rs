//! Several rows with one address: refused, added up, or kept for several persons.

use crate::common::{Built, Random, bad_rows, base_units, build_from};
use alloy_primitives::{Address, B256};
use sluice_core::amount::Total;
use sluice_snapshot::build::Duplicates;
use sluice_snapshot::list::Reason;
use sluice_snapshot::{BuildError, BuildOptions, Format, SnapshotError};

const AGENT: &str = "0x1111111111111111111111111111111111111111";
const OTHER: &str = "0x2222222222222222222222222222222222222222";

fn options(duplicates: Duplicates) -> BuildOptions {
    BuildOptions { duplicates, ..base_units() }
}

fn person(i: u8) -> B256 {
    B256::repeat_byte(i)
}

fn benefits(rows: &[(&str, u128, u8)]) -> String {
    let mut text = "address,amount,person\n".to_owned();
    for (address, amount, id) in rows {
        text += &format!("{address},{amount},{}\n", person(*id));
    }
    text
}

fn reasons(list: &str, duplicates: Duplicates) -> Vec<(u64, Reason)> {
    bad_rows(list, &options(duplicates)).listed.into_iter().map(|error| (error.row, error.reason)).collect()
}

#[test]
fn amounts_are_added_up() {
    let list = format!("address,amount\n{AGENT},5\n{OTHER},1\n{AGENT},7\n{AGENT},30\n");
    let Built { report, snapshot, .. } = build_from(&list, &options(Duplicates::Sum)).unwrap();
    assert_eq!((report.count, report.merged, report.total), (2, 2, Total(43)));
    assert_eq!(snapshot.entitlement(0).unwrap().amount.get(), 42);
    let plain = format!("address,amount\n{AGENT},42\n{OTHER},1\n");
    assert_eq!(build_from(&plain, &base_units()).unwrap().report.root, report.root);
    let above = format!("address,amount\n{AGENT},79228162514264337593543950335\n{AGENT},1\n");
    assert_eq!(reasons(&above, Duplicates::Sum), [(3, Reason::SumAboveLimit { first: 2 })]);
}

#[test]
fn rows_of_different_persons_are_not_added_up() {
    let list = benefits(&[(AGENT, 5, 1), (AGENT, 5, 2)]);
    assert_eq!(reasons(&list, Duplicates::Sum), [(3, Reason::OtherPerson { first: 2 })]);
    let list = benefits(&[(AGENT, 5, 1), (AGENT, 6, 1)]);
    let Built { snapshot, .. } = build_from(&list, &options(Duplicates::Sum)).unwrap();
    assert_eq!((snapshot.total(), snapshot.person(0)), (Total(11), Some(person(1))));
}

#[test]
fn an_agent_receives_for_many_persons() {
    let mut rows: Vec<(&str, u128, u8)> =
        (1..=200).map(|i| (AGENT, u128::from(300 - u16::from(i)), i)).collect();
    rows.push((OTHER, 9, 7));
    let mut files = Vec::new();
    for seed in 0..3 {
        Random(seed).shuffle(&mut rows);
        let Built { snapshot, file, .. } = build_from(benefits(&rows), &options(Duplicates::Keep)).unwrap();
        assert_eq!(snapshot.find(AGENT.parse::<Address>().unwrap()), 0..200);
        for index in 0..200 {
            // Ordered by person, whatever the amounts.
            let id = u8::try_from(index + 1).unwrap();
            assert_eq!(snapshot.person(index), Some(person(id)));
            assert_eq!(snapshot.entitlement(index).unwrap().amount.get(), 300 - u128::from(id));
            snapshot.proof(index).unwrap();
        }
        assert_eq!(snapshot.indexes_of_person(person(7)).unwrap(), [6, 200]);
        assert_eq!(snapshot.indexes_of_person(person(1)).unwrap(), [0]);
        assert_eq!(snapshot.indexes_of_person(person(201)).unwrap(), [0u64; 0]);
        assert_eq!(snapshot.person(201), None);
        snapshot.verify(None, &|_| ()).unwrap();
        let absence = snapshot.absence(Address::repeat_byte(0x12)).unwrap();
        absence.verify(snapshot.root(), snapshot.depth(), snapshot.count()).unwrap();
        files.push(file);
    }
    assert!(files[0] == files[1] && files[1] == files[2], "the order of rows shows");
}

#[test]
fn one_person_is_not_listed_twice_at_one_address() {
    let list = benefits(&[(AGENT, 5, 1), (AGENT, 6, 2), (AGENT, 5, 1), (OTHER, 5, 1)]);
    assert_eq!(reasons(&list, Duplicates::Keep), [(4, Reason::DuplicatePerson { first: 2 })]);
    assert_eq!(
        reasons(&list, Duplicates::Refuse),
        [(3, Reason::Duplicate { first: 2 }), (4, Reason::Duplicate { first: 2 })]
    );
}

#[test]
fn keeping_needs_persons_and_the_native_tree() {
    let list = format!("address,amount\n{AGENT},1\n{AGENT},2\n");
    let error = build_from(&list, &options(Duplicates::Keep)).unwrap_err();
    assert!(matches!(error, BuildError::Options(text) if text.contains("person column")), "{error}");
    let foreign = BuildOptions { format: Format::Uniswap, ..options(Duplicates::Keep) };
    assert!(matches!(build_from(&list, &foreign).unwrap_err(), BuildError::Options(_)));
}

#[test]
fn every_row_names_its_person() {
    let list = format!("address,amount,person\n{AGENT},1,{}\n{OTHER},2,\n", person(1));
    assert_eq!(reasons(&list, Duplicates::Refuse), [(3, Reason::Person)]);
    let columns = sluice_snapshot::list::Columns { person: Some("id".to_owned()), ..Default::default() };
    let renamed = BuildOptions { columns, ..base_units() };
    let list = format!("address,amount,id\n{AGENT},1,{}\n", person(1));
    assert!(build_from(&list, &renamed).unwrap().snapshot.has_persons());
    let Built { snapshot, .. } = build_from(&list, &base_units()).unwrap();
    assert!(!snapshot.has_persons() && snapshot.person(0).is_none());
    assert!(matches!(snapshot.indexes_of_person(person(1)), Err(SnapshotError::NoPersons)));
}

#[test]
fn the_zero_address_is_dropped_on_request() {
    let zero = Address::ZERO;
    let list = format!("address,amount\n{zero},5\n{AGENT},1\n{zero},6\n");
    assert_eq!(reasons(&list, Duplicates::Refuse), [(2, Reason::ZeroAddress), (4, Reason::ZeroAddress)]);
    let options = BuildOptions { drop_zero_address: true, ..base_units() };
    let Built { report, .. } = build_from(&list, &options).unwrap();
    assert_eq!((report.count, report.total, report.dropped.count), (1, Total(1), 2));
    assert_eq!(report.dropped.total, Total(11));
    let rows: Vec<u64> = report.dropped.listed.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [2, 4]);
    let error = build_from(format!("address,amount\n{zero},5\n"), &options).unwrap_err();
    assert!(matches!(error, BuildError::NothingLeft(1)), "{error}");
}
