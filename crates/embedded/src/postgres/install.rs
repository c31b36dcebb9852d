//! Finding an installed PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// The oldest major version Sluice works with.
const OLDEST: u32 = 15;

/// Names the folder of the binaries, before any other place.
const OVERRIDE: &str = "SLUICE_POSTGRES_BIN";

/// The binaries of one installed version.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

impl Install {
    /// The newest installed version, or the one that wrote the data in `data`.
    pub(crate) fn find(data: &Path) -> Result<Self> {
        let mut found = Self::all()?;
        found.sort_by_key(|install| install.major);
        let Ok(wanted) = std::fs::read_to_string(data.join("PG_VERSION")) else {
            return found.pop().ok_or_else(|| missing("no version 15 or newer"));
        };
        let wanted = wanted.trim();
        let matching = found.iter().rfind(|install| install.major.to_string() == wanted).cloned();
        matching.ok_or_else(|| Error::Version {
            dir: data.to_owned(),
            found: wanted.to_owned(),
            installed: found.iter().map(|install| install.major.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Every installed version that is new enough; the override alone, if it is set.
    fn all() -> Result<Vec<Self>> {
        if let Some(bin) = std::env::var_os(OVERRIDE) {
            let install = Self::at(Path::new(&bin));
            return install
                .map(|install| vec![install])
                .ok_or_else(|| missing("SLUICE_POSTGRES_BIN has none"));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders = std::env::split_paths(&path).chain(debian.map(|version| version.path().join("bin")));
        let found: Vec<_> = folders.filter_map(|bin| Self::at(&bin)).collect();
        if found.is_empty() {
            Err(missing("not in PATH, not in /usr/lib/postgresql/*/bin"))
        } else {
            Ok(found)
        }
    }

    /// The version in a folder, if it is complete and new enough. A link in PATH stands for where it points,
    /// because PostgreSQL finds its own files beside its binary.
    fn at(bin: &Path) -> Option<Self> {
        let server = bin.join("postgres").canonicalize().ok()?;
        let bin = server.parent()?.to_owned();
        if !bin.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&server).arg("--version").output().ok()?;
        let major = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        (major >= OLDEST).then_some(Self { bin, major })
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15; also `18beta1`.
fn parse_version(line: &str) -> Option<u32> {
    let version = line.split_whitespace().nth(2)?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

fn missing(looked: &str) -> Error {
    Error::NotInstalled {
        program: "a PostgreSQL server (15 or newer)",
        looked: looked.to_owned(),
        remedy: "Run `make setup`, or `apt-get install postgresql`, or set SLUICE_POSTGRES_BIN to its bin folder",
    }
}
