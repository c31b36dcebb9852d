//! OpenZeppelin's own package judges our trees: it loads our dumps, and the tree it builds from the same values has our
//! root, our nodes and our proofs.

use crate::common::{Random, base_units, build_from, list};
use sluice_snapshot::{BuildOptions, Format};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn judge(dump: &[u8]) -> serde_json::Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    assert!(
        folder.join("node_modules/@openzeppelin/merkle-tree").is_dir(),
        "the package to compare with is not installed: run `npm ci` in {} (`make test` does)",
        folder.display()
    );
    let mut node = Command::new("node")
        .arg("judge.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    // Node reads all of its input before it writes.
    node.stdin.take().unwrap().write_all(dump).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the package refused our dump");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn openzeppelins_package_agrees() {
    for count in [1, 2, 7, 8, 9, 500] {
        let options = BuildOptions { format: Format::OpenZeppelin, ..base_units() };
        let built = build_from(list(&Random(count as u64).rows(count)), &options).unwrap();
        let mut dump = Vec::new();
        sluice_snapshot::export::export_peer(&built.snapshot, &mut dump).unwrap();
        let judged = judge(&dump);
        let ours: serde_json::Value = serde_json::from_slice(&dump).unwrap();
        assert_eq!(judged["loadedRoot"], built.report.root.to_string());
        assert_eq!(judged["dump"], ours, "{count}");
        for (index, proof) in (0..).zip(judged["proofs"].as_array().unwrap()) {
            let path = built.snapshot.foreign_proof(index).unwrap().path;
            assert_eq!(*proof, serde_json::to_value(path).unwrap(), "{count}: {index}");
        }
    }
}
