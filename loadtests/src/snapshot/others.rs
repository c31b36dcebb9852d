//! What else one could use: DuckDB to read and sort, OpenZeppelin's JavaScript to build a tree. Both are optional; what
//! is not installed is left out.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the tests' npm packages lie.
fn npm_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/snapshot/tests/npm")
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Whether Python has DuckDB (`pip install duckdb`).
pub(super) fn has_duckdb() -> bool {
    let has = succeeds("python3", &["-c", "import duckdb"]);
    if !has {
        eprintln!("DuckDB is left out; `pip install duckdb` gets it");
    }
    has
}

/// Whether OpenZeppelin's package is there.
pub(super) fn has_npm() -> bool {
    let has = npm_folder().join("node_modules/@openzeppelin/merkle-tree").exists()
        && succeeds("node", &["--version"]);
    if !has {
        eprintln!("npm OpenZeppelin is left out; `make setup` gets it");
    }
    has
}

/// What a script prints, as JSON.
fn answer<T: for<'a> Deserialize<'a>>(command: &mut Command) -> anyhow::Result<T> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("a script's answer is no JSON")
}

/// In memory, so that nothing is synced; addresses as the texts they are and amounts as exact decimals.
const DUCKDB: &str = r#"
import duckdb, json, sys, time
connection = duckdb.connect(":memory:")
connection.execute("set preserve_insertion_order = false")
connection.execute("set enable_progress_bar = false")
begin = time.monotonic()
connection.execute("""create table sorted as select address, amount
    from read_csv(?, header = true, columns = {'address': 'varchar', 'amount': 'decimal(38, 18)'})
    order by address""", [sys.argv[1]])
print(json.dumps(time.monotonic() - begin))
"#;

/// Seconds DuckDB takes to read and sort a list.
pub(super) fn duckdb(list: &Path) -> anyhow::Result<f64> {
    answer(Command::new("python3").args(["-c", DUCKDB]).arg(list))
}

const OPENZEPPELIN: &str = r#"
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";
import { readFileSync } from "node:fs";
const rows = readFileSync(process.argv[1], "utf8").trim().split("\n").slice(1).map((row) => {
  const [address, amount] = row.split(",");
  return [address, amount.replace(".", "").replace(/^0+/, "")];
});
const [begin, cpu] = [performance.now(), process.cpuUsage()];
const tree = StandardMerkleTree.of(rows, ["address", "uint256"]);
const [seconds, used] = [(performance.now() - begin) / 1000, process.cpuUsage(cpu)];
console.log(JSON.stringify([tree.root, seconds, (used.user + used.system) / 1e6]));
"#;

/// What OpenZeppelin's JavaScript took, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Npm {
    /// By the clock.
    pub seconds: f64,
    /// Processor time, the garbage collector's included.
    pub processor: f64,
}

/// OpenZeppelin's JavaScript over a list with all decimals written; its root must be `root`.
pub(super) fn npm(list: &Path, root: &str) -> anyhow::Result<Npm> {
    let script = ["--input-type=module", "-e", OPENZEPPELIN];
    let list = std::fs::canonicalize(list)?;
    let (found, seconds, processor): (String, f64, f64) =
        answer(Command::new("node").args(script).arg(list).current_dir(npm_folder()))?;
    ensure!(found == root, "npm OpenZeppelin has the root {found} for the list, ours is {root}");
    Ok(Npm { seconds, processor })
}
