//! A rule set as it lies on a disk: a folder of its texts, or the one file that `rules build` writes.

use std::path::Path;

use anyhow::{Context, bail};
use sluice_gate::rules::{Compiled, PolicySource, Problem, Problems, RuleSet, Sources, prove_never};

/// The manifest of a folder.
const MANIFEST: &str = "rules.toml";
/// Rules as Cedar policies.
const POLICIES: &str = "policies.cedar";
/// Rules as a decision table.
const TABLE: &str = "table.csv";
/// Claims that must never be permitted; may be left out.
const NEVER: &str = "never.json";

/// A rule set that was read.
#[derive(Debug)]
pub struct Read {
    /// As it travels in a command.
    pub set: RuleSet,
    /// As it is evaluated.
    pub compiled: Compiled,
}

/// Reads a rule set; the inner error is everything that is wrong with its texts.
///
/// # Errors
/// When a file is missing or cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Result<Read, Problems>> {
    if path.is_dir() {
        return folder(path);
    }
    let bytes = std::fs::read(path).with_context(|| {
        format!("cannot read {}; a rule set is a folder with {MANIFEST}, or a built file", path.display())
    })?;
    let built = RuleSet::decode(&bytes).map_err(Problems::from);
    Ok(built.and_then(|set| Ok(Read { compiled: Compiled::compile(&bytes)?, set })))
}

/// Reads a rule set that must be right.
///
/// # Errors
/// When a file cannot be read, or with everything that is wrong.
pub fn right(path: &Path) -> anyhow::Result<Read> {
    read(path)?.with_context(|| format!("{} is no rule set that can be used", path.display()))
}

/// The cases that a rule set permits although it says that they must never be, as problems of `never.json`.
pub fn never_permitted(read: &Read) -> Vec<Problem> {
    let failures = prove_never(&read.compiled).err().unwrap_or_default();
    let problem = |failure: sluice_gate::rules::NeverFailure| Problem {
        part: "never",
        line: 0,
        column: 0,
        message: format!("case {:?} must never be permitted: {}", failure.case.name, failure.why),
    };
    failures.into_iter().map(problem).collect()
}

fn folder(folder: &Path) -> anyhow::Result<Result<Read, Problems>> {
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let manifest = text(MANIFEST)?;
    let policies;
    let source = match (folder.join(POLICIES).exists(), folder.join(TABLE).exists()) {
        (true, false) => {
            policies = text(POLICIES)?;
            PolicySource::Cedar(&policies)
        }
        (false, true) => {
            policies = text(TABLE)?;
            PolicySource::Table(&policies)
        }
        (true, true) => bail!("{} has {POLICIES} and {TABLE}; keep one of them", folder.display()),
        (false, false) => bail!("{} has no {POLICIES} and no {TABLE}; one is needed", folder.display()),
    };
    let never = if folder.join(NEVER).exists() { text(NEVER)? } else { String::new() };
    let sources = Sources { manifest: &manifest, policies: source, never: &never };
    Ok(RuleSet::build(&sources).map(|(set, compiled)| Read { set, compiled }))
}
