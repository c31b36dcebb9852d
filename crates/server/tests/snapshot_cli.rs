//! `sluice snapshot` as people run it: the real binary, its output, its exit codes, its files.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SMALL_ROOT: &str = "0x335c1fa33ee12f9be47f0395f62a374f6fc439297068cdfaa3cfe87f874d11c9";

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data").join(name);
    path.canonicalize().unwrap().display().to_string()
}

/// A folder to work in.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.arg("snapshot").args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed and reads its last line as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        last_line(&succeeded(self.run(&[arguments, &["--json"]].concat())))
    }

    fn small(&self) -> String {
        let out = self.path("small.snapshot");
        self.json(&["build", &sample("small.csv"), "--out", &out]);
        out
    }
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn last_line(output: &Output) -> Value {
    serde_json::from_str(stdout(output).lines().last().unwrap()).unwrap()
}

/// The words of a command that must fail, and its exit code is 1.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{} {}", stdout(output), stderr(output));
    stderr(output)
}

#[test]
fn build_says_what_it_built() {
    let desk = Desk::new();
    let out = desk.path("small.snapshot");
    let built = desk.json(&["build", &sample("small.csv"), "--out", &out]);
    assert_eq!(built["root"], SMALL_ROOT);
    assert_eq!(built["format"], "native");
    assert_eq!(built["recipients"], 1_000);
    assert_eq!(built["total"], "25999500000000000000000");
    assert!(built["seconds"].is_number());
    let output = succeeded(desk.run(&["build", &sample("small.csv"), "--out", &out]));
    let text = stdout(&output);
    assert!(text.contains(SMALL_ROOT) && text.contains("25999.5"), "{text}");
    // Through a pipe, progress is lines on stderr.
    assert!(
        stderr(&output).lines().any(|line| line.starts_with("hashing 1000 of 1000")),
        "{}",
        stderr(&output)
    );
    assert_eq!(desk.files(), ["small.snapshot"]);
}

#[test]
fn the_output_is_named_after_the_list() {
    let desk = Desk::new();
    let list = desk.write("airdrop.csv", std::fs::read(sample("small.csv")).unwrap());
    desk.json(&["build", &list, "--threads", "1"]);
    assert_eq!(desk.files(), ["airdrop.csv", "airdrop.snapshot"]);
    assert!(failed(&desk.run(&["build", &list, "--out", &list])).contains("the list itself"));
    assert_eq!(std::fs::read(&list).unwrap(), std::fs::read(sample("small.csv")).unwrap());
}

#[test]
fn a_dirty_list_is_reported_and_nothing_is_written() {
    let desk = Desk::new();
    let report = failed(&desk.run(&["build", &sample("dirty.csv"), "--out", "dirty.snapshot"]));
    let expected = std::fs::read_to_string(sample("dirty.expected.txt")).unwrap();
    assert!(report.ends_with(&expected), "{report}");
    assert_eq!(desk.files(), [""; 0]);
}

#[test]
fn an_older_snapshot_survives_a_failed_build() {
    let desk = Desk::new();
    let out = desk.small();
    let before = std::fs::read(&out).unwrap();
    failed(&desk.run(&["build", &sample("dirty.csv"), "--out", &out]));
    assert!(std::fs::read(&out).unwrap() == before);
}

#[test]
fn standard_input_is_read() {
    let desk = Desk::new();
    let list = std::fs::read(sample("small.csv")).unwrap();
    let mut child = desk
        .command(&["build", "-", "--out", "x.snapshot", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&list).unwrap();
    let output = succeeded(child.wait_with_output().unwrap());
    assert_eq!(last_line(&output)["root"], SMALL_ROOT);
    assert!(failed(&desk.run(&["build", "-"])).contains("--out"));
}

#[test]
fn lists_that_are_none() {
    let desk = Desk::new();
    let says = |list: &str| failed(&desk.run(&["build", list, "--out", "out"]));
    assert!(says("absent.csv").contains("No such file"));
    assert!(says(".").contains("is a directory"));
    assert!(says(&desk.write("empty.csv", "")).contains("is empty"));
    assert!(says(&desk.write("header.csv", "address,amount\n")).contains("no rows"));
    assert!(says(&desk.write("bare.csv", "0x11,1\n")).contains("no column \"address\""));
    assert!(!Path::new(&desk.path("out")).exists());
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let desk = Desk::new();
    // A process that may write no more than 16 KiB to a file: with the signal ignored, writing fails as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" snapshot build \"$1\" --out full.snapshot";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sluice"), &sample("small.csv")])
        .current_dir(desk.0.path())
        .output()
        .unwrap();
    let says = failed(&output);
    assert!(says.contains("cannot write full.snapshot; nothing was left behind: File too large"), "{says}");
    assert_eq!(desk.files(), [""; 0]);
}

/// The same on a file system of 16 KiB that is really full; where the system lets us mount one.
#[test]
fn a_full_file_system_leaves_nothing_behind() {
    let script = "mount -t tmpfs -o size=16k none \"$2\" && cd \"$2\" || exit 77; \
                  \"$0\" snapshot build \"$1\" --out full.snapshot; code=$?; ls -A; exit $code";
    let desk = Desk::new();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .args([env!("CARGO_BIN_EXE_sluice"), &sample("small.csv"), &desk.path("")])
        .output();
    match output {
        Ok(output) if output.status.code() == Some(1) && stderr(&output).contains("sluice:") => {
            let says = stderr(&output);
            assert!(says.contains("nothing was left behind: No space left on device"), "{says}");
            assert_eq!(stdout(&output), "", "files are left");
        }
        Ok(output) if output.status.success() => panic!("a file of 37 KB fits into 16 KiB"),
        other => println!("skipped: this system mounts nothing for us: {other:?}"),
    }
}

#[test]
fn expectations_hold_or_nothing_is_written() {
    let desk = Desk::new();
    let build = |more: &[&str]| desk.run(&[&["build", &sample("small.csv"), "--out", "x"], more].concat());
    succeeded(build(&["--expect-count", "1000", "--expect-total", "25999.5", "--expect-root", SMALL_ROOT]));
    std::fs::remove_file(desk.path("x")).unwrap();
    assert!(failed(&build(&["--expect-count", "999"])).contains("1000, expected was 999"));
    assert!(failed(&build(&["--expect-total", "26000"])).contains("25999500000000000000000"));
    let zero = format!("0x{}", "0".repeat(64));
    assert!(failed(&build(&["--expect-root", &zero])).contains("the root is"));
    assert!(failed(&build(&["--expect-total", "1e3"])).contains("exponent"));
    assert_eq!(desk.files(), [""; 0]);
}

#[test]
fn columns_units_and_foreign_formats() {
    let desk = Desk::new();
    let list = desk.write(
        "list.csv",
        "wallet,note,tokens\n0x1111111111111111111111111111111111111111,a,1000000000000000000\n\
         0x2222222222222222222222222222222222222222,b,2000000000000000000\n\
         0x3333333333333333333333333333333333333333,c,3000000000000000000\n",
    );
    let root = |format: &str| {
        let names = "address=wallet,amount=tokens";
        let out = desk.path(format);
        desk.json(&["build", &list, "--format", format, "--unit", "base", "--columns", names, "--out", &out])
            ["root"]
            .clone()
    };
    assert_eq!(root("openzeppelin"), "0x870b3c6c0d09371ff579a55e34429135614718fbcdfc55133e7245621f8820ec");
    assert_eq!(root("uniswap"), "0xe5d905d0d2f010d9fea768c6cc5c79dbef97d00f3ec12357ef107d9039d9782b");
    let proof = desk.json(&["prove", &desk.path("uniswap"), "0x3333333333333333333333333333333333333333"]);
    let sibling = "0x63f4ba15b3fc61dd79b8294304417c4d447ac6565205a1640fab99657cc04bb2";
    assert_eq!(proof["entitlements"][0]["proof"], serde_json::json!([sibling]));
    let absent = desk.run(&["prove", &desk.path("uniswap"), "0x4444444444444444444444444444444444444444"]);
    assert!(failed(&absent).contains("is not listed"));
    let dump = succeeded(desk.run(&["export", &desk.path("openzeppelin")]));
    assert_eq!(last_line(&dump)["format"], "standard-v1");
    succeeded(desk.run(&["export", &desk.path("uniswap"), "--out", &desk.path("claims.json")]));
    let claims: Value = serde_json::from_slice(&std::fs::read(desk.path("claims.json")).unwrap()).unwrap();
    assert_eq!(claims["tokenTotal"], "0x53444835ec580000");
    let csv = succeeded(desk.run(&["export", &desk.path("uniswap"), "--as", "csv"]));
    assert!(stdout(&csv).starts_with("index,address,amount\n0,0x1111"));
    // A column name that is none is a mistake on the command line.
    assert_eq!(desk.run(&["build", &list, "--columns", "wallet=wallet"]).status.code(), Some(2));
}

#[test]
fn prove_shows_presence_and_absence() {
    let desk = Desk::new();
    let small = desk.small();
    let wallet = "0x75698CDED6E775e5ACf3dd264698f0f94CCf618B";
    let proof = desk.json(&["prove", &small, wallet]);
    assert_eq!(
        (&proof["root"], &proof["listed"], &proof["depth"]),
        (&SMALL_ROOT.into(), &true.into(), &8.into())
    );
    let entitlement = &proof["entitlements"][0];
    assert_eq!(entitlement["amount"], "1000000000000000000");
    assert_eq!(entitlement["proof"].as_array().unwrap().len(), 8);
    // Verified with nothing but what was printed.
    let proof = sluice_snapshot::Proof {
        index: entitlement["index"].as_u64().unwrap(),
        bucket: serde_json::from_value(entitlement["bucket"].clone()).unwrap(),
        path: serde_json::from_value(entitlement["proof"].clone()).unwrap(),
    };
    let root = SMALL_ROOT.parse().unwrap();
    assert_eq!(
        proof.verify(root, 8).unwrap().recipient,
        wallet.parse::<alloy_primitives::Address>().unwrap()
    );
    let absent = desk.json(&["prove", &small, "0x7777777777777777777777777777777777777777"]);
    assert_eq!((&absent["listed"], absent["entitlements"].as_array().unwrap().len()), (&false.into(), 0));
    let absence: sluice_snapshot::Absence = serde_json::from_value(absent["absence"].clone()).unwrap();
    absence.verify(root, 8, 1_000).unwrap();
    let text = stdout(&succeeded(desk.run(&["prove", &small, "0x7777777777777777777777777777777777777777"])));
    assert!(text.contains("listed   no"), "{text}");
}

#[test]
fn verify_and_inspect() {
    let desk = Desk::new();
    let small = desk.small();
    let verified = desk.json(&["verify", &small, "--root", SMALL_ROOT]);
    assert_eq!((&verified["verified"], &verified["root"]), (&true.into(), &SMALL_ROOT.into()));
    let other = format!("0x{}", "1".repeat(64));
    assert!(failed(&desk.run(&["verify", &small, "--root", &other])).contains("expected was 0x1111"));
    let facts = desk.json(&["inspect", &small]);
    assert_eq!(
        (&facts["recipients"], &facts["depth"], &facts["persons"]),
        (&1_000.into(), &8.into(), &false.into())
    );
    let mut bytes = std::fs::read(&small).unwrap();
    bytes[5_000] ^= 1;
    let damaged = desk.write("damaged.snapshot", bytes);
    assert!(failed(&desk.run(&["verify", &damaged])).contains("does not hold"));
    assert!(failed(&desk.run(&["inspect", &sample("small.csv")])).contains("is not a snapshot"));
}

#[test]
fn benefits_keep_their_persons() {
    let desk = Desk::new();
    let out = desk.path("benefits.snapshot");
    let list = sample("benefits.csv");
    let built = desk.json(&["build", &list, "--decimals", "6", "--duplicates", "keep", "--out", &out]);
    assert_eq!((&built["recipients"], &built["persons"]), (&120.into(), &true.into()));
    let agent = desk.json(&["prove", &out, "0xd54e1Fb50670dFF2bedda4255D8Eaa48ab602524"]);
    let persons: Vec<&str> =
        agent["entitlements"].as_array().unwrap().iter().map(|one| one["person"].as_str().unwrap()).collect();
    assert_eq!(persons.len(), 20);
    assert!(persons.is_sorted());
}

#[test]
fn diff_counts_and_lists() {
    let desk = Desk::new();
    let small = desk.small();
    let text = std::fs::read_to_string(sample("small.csv")).unwrap();
    let changed: Vec<&str> =
        text.lines().enumerate().filter(|(i, _)| *i != 7).map(|(_, line)| line).collect();
    let later = desk.write("later.csv", changed.join("\n").replace(",2.037", ",3.037") + "\n");
    let after = desk.path("later.snapshot");
    desk.json(&["build", &later, "--out", &after]);
    let counts = desk.json(&["diff", &small, &after, "--out", &desk.path("changes.csv")]);
    assert_eq!(counts["removed"], 1);
    assert_eq!((&counts["changed"], &counts["added"], &counts["same"]), (&1.into(), &0.into(), &998.into()));
    let rows = std::fs::read_to_string(desk.path("changes.csv")).unwrap();
    assert_eq!(rows.lines().count(), 3);
    assert!(rows.contains(
        "changed,0xBF9ee08E13E547CCAC9E02fFeBEEae5Ebc75B5C9,,2037000000000000000,3037000000000000000"
    ));
    let shown = stdout(&succeeded(desk.run(&["diff", &small, &after])));
    assert!(shown.contains("2.037 -> 3.037"), "{shown}");
}

#[test]
fn publish_writes_pages_and_a_manifest() {
    let desk = Desk::new();
    let small = desk.small();
    let published = desk.json(&["publish", &small, "--to", "pages", "--public"]);
    assert_eq!((&published["pages"], &published["root"]), (&1.into(), &SMALL_ROOT.into()));
    let manifest = desk.0.path().join("pages").join(published["manifest"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!((&manifest["count"], &manifest["pageEntitlements"]), (&1_000.into(), &1_024.into()));
    let page = desk.0.path().join("pages").join(SMALL_ROOT).join("pages/0.json");
    let page: sluice_snapshot::pages::Page = serde_json::from_slice(&std::fs::read(page).unwrap()).unwrap();
    page.verify(SMALL_ROOT.parse().unwrap(), 8).unwrap();
}

#[test]
fn nothing_is_published_in_the_clear_by_leaving_an_option_out() {
    let desk = Desk::new();
    let small = desk.small();
    let refused = desk.run(&["publish", &small, "--to", "pages"]);
    let told = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("--list-key") && told.contains("--public"), "{told}");
    assert!(!desk.0.path().join("pages").exists());

    let password = desk.write("password", "for a list");
    let made = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["keys", "new", "list", "--out", &desk.path("key"), "--password-file", &password])
        .output();
    succeeded(made.unwrap());
    let key = desk.path("key");
    let sealed = ["publish", &small, "--to", "pages", "--list-key", &key, "--list-password-file", &password];
    let both = desk.run(&[&sealed[..], &["--public"]].concat());
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
    assert_eq!(desk.json(&sealed)["visibility"], "private");
    let below = desk.0.path().join("pages").join(SMALL_ROOT);
    assert!(below.join("pages/0.bin").is_file() && !below.join("pages/0.json").exists());
    let manifest = std::fs::read_to_string(below.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert!(manifest["encryption"].is_string() && manifest["firstAddresses"] == serde_json::json!([]));
}
