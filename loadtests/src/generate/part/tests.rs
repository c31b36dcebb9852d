use super::*;
use crate::generate::dirty::Dirt;
use sluice_core::amount::Total;
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildError, BuildOptions, build};

fn plan(rows: u64, dirt: Dirt) -> Plan {
    let total = u128::from(rows) * 25 * 10u128.pow(18) + 7;
    Plan { seed: 3, first_wallet: 0, rows, decimals: 18, total, checksummed: true, dirt }
}

#[test]
fn a_list_builds_and_its_sum_is_the_plans() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.csv");
    let plan = plan(20_000, Dirt::default());
    let written = write(&plan, &list).unwrap();
    assert_eq!((written.sum, written.bad, written.duplicates), (plan.total, 0, 0));
    assert_eq!(written.bytes, std::fs::metadata(&list).unwrap().len());
    let options = BuildOptions {
        expect_total: Some(Total(plan.total)),
        expect_count: Some(plan.rows),
        ..BuildOptions::default()
    };
    build(&options, &Input::File(list), &folder.path().join("snapshot"), &|_| {}).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
}

#[test]
fn a_cut_list_goes_on_and_becomes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole.csv", "cut.csv"].map(|name| folder.path().join(name));
    let plan = plan(40_000, Dirt::default());
    write(&plan, &whole).unwrap();
    // Killed behind two blocks and in the middle of the third.
    let maker = Maker::new(&plan);
    let mut part = Part::open(&cut, &plan).unwrap();
    part.append(HEADER).unwrap();
    part.take(maker.block(0, None)).unwrap();
    part.take(maker.block(1, None)).unwrap();
    part.take_note(&plan).unwrap();
    part.file.write_all(b"0x00").unwrap();
    drop(part);
    write(&plan, &cut).unwrap();
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&cut).unwrap());
    // What another plan left is not gone on with.
    let mut part = Part::open(&cut, &plan).unwrap();
    part.append(HEADER).unwrap();
    part.take(maker.block(0, None)).unwrap();
    part.take_note(&plan).unwrap();
    drop(part);
    let other = Plan { seed: 4, ..plan };
    assert_eq!(Part::open(&cut, &other).unwrap().written, Written::default());
}

#[test]
fn every_spoiled_row_is_refused_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("dirty.csv");
    let dirt = Dirt { duplicates_per_million: 1_000, bad_per_million: 4_000 };
    let written = write(&plan(50_000, dirt), &list).unwrap();
    assert!(written.bad > 100 && written.duplicates > 20);
    let built = build(&BuildOptions::default(), &Input::File(list), &folder.path().join("snapshot"), &|_| {});
    match built {
        Err(BuildError::BadRows(bad)) => assert_eq!(bad.count, written.bad + written.duplicates),
        other => panic!("{other:?}"),
    }
}
