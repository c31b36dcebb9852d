//! The walk-through for institutions, run as it stands on its page: the blocks of docs/INSTITUTIONS.md, in order, in one
//! shell, against a development node. Then what it left behind is looked at, and tampered with.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cli_node::Node;

mod cli_node;

const PAGE: &str = include_str!("../../../docs/INSTITUTIONS.md");

/// The page's blocks that a shell runs.
fn script() -> String {
    let mut script = String::from("set -euo pipefail\n");
    let mut inside = false;
    for line in PAGE.lines() {
        match line {
            "```bash" => inside = true,
            "```" => inside = false,
            _ if inside => script += &format!("{line}\n"),
            _ => {}
        }
    }
    script
}

/// A folder that looks as a clone does, as far as the page goes: the program built, the samples, the node's folder.
fn clone_of(node: &Node) -> PathBuf {
    let clone = node.dir.with_extension("clone");
    let _ = std::fs::remove_dir_all(&clone);
    std::fs::create_dir_all(clone.join("target/debug")).unwrap();
    let link = |what: &Path, name: &str| std::os::unix::fs::symlink(what, clone.join(name)).unwrap();
    link(Path::new(env!("CARGO_BIN_EXE_sluice")), "target/debug/sluice");
    link(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sample-data"), "sample-data");
    link(&node.dir, "ground");
    clone
}

#[test]
fn every_line_of_the_page_does_what_it_says() {
    assert!(
        PAGE.contains("\nmake build\ntarget/debug/sluice serve --dev --dir ground\n"),
        "as the test does"
    );
    let node = Node::start("cli_walkthrough");
    let clone = clone_of(&node);
    let shell = Command::new("bash")
        .args(["-c", &script()])
        .current_dir(&clone)
        .env_remove("DATABASE_URL")
        .env_remove("SLUICE_RPC")
        .env_remove("SLUICE_NODE")
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&shell.stdout), String::from_utf8_lossy(&shell.stderr));
    assert!(shell.status.success(), "{said}\n{wrong}");
    println!("{said}");
}
