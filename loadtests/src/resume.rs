//! A journal of what a run has finished, so that the next one with the same parameters goes on there.
//!
//! One line of JSON for the program and its parameters, then one for each finished step with its result. A line cut short
//! by a crash is dropped; a journal of other parameters is begun anew, and so is one of another build of this program,
//! because the figures of two builds are no figures of either.

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The steps of one run that are finished.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    step: String,
    result: Value,
}

/// A build of this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Program {
    bytes: u64,
    /// When it was linked, nanoseconds since 1970.
    modified: u128,
}

impl Program {
    /// The one that runs.
    fn this() -> anyhow::Result<Self> {
        // Whatever lies under its name by now.
        let file = std::fs::metadata("/proc/self/exe").context("cannot look at this program")?;
        let modified = file.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        Ok(Self { bytes: file.len(), modified })
    }
}

/// What the steps of a journal belong to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    program: Program,
    parameters: Value,
}

impl Journal {
    /// Opens the journal `path` of a run with `parameters`.
    pub(crate) fn open(path: &Path, parameters: &impl Serialize) -> anyhow::Result<Self> {
        Self::open_of(Program::this()?, path, parameters)
    }

    fn open_of(program: Program, path: &Path, parameters: &impl Serialize) -> anyhow::Result<Self> {
        let failed = || format!("cannot keep the journal {}", path.display());
        let run = Run { program, parameters: serde_json::to_value(parameters)? };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        let former = lines.next().and_then(|line| serde_json::from_str::<Run>(line).ok());
        let steps: Vec<Step> = match former {
            Some(former) if former == run => {
                lines.map_while(|line| serde_json::from_str(line).ok()).collect()
            }
            Some(former) if former.parameters == run.parameters => {
                eprintln!("{} is of another build of this program; everything is done anew", path.display());
                Vec::new()
            }
            _ => Vec::new(),
        };
        if let Some(last) = steps.last() {
            eprintln!("going on behind step {:?} of {}", last.step, path.display());
        }
        // Written anew, so that a line cut short does not stand before the next.
        let aside = path.with_extension("journal.tmp");
        let mut whole = serde_json::to_string(&run)? + "\n";
        for step in &steps {
            whole += &(serde_json::to_string(step)? + "\n");
        }
        std::fs::write(&aside, whole).with_context(failed)?;
        std::fs::rename(&aside, path).with_context(failed)?;
        let file = OpenOptions::new().append(true).open(path).with_context(failed)?;
        Ok(Self { path: path.to_owned(), file, steps })
    }

    /// The result of `step`, if a former run or this one has finished it.
    pub(crate) fn done<T: DeserializeOwned>(&self, step: &str) -> Option<T> {
        let done = self.steps.iter().find(|done| done.step == step)?;
        T::deserialize(&done.result).ok()
    }

    /// The result of `step`: of a former run, or by doing it now.
    pub(crate) fn step<T: Serialize + DeserializeOwned>(
        &mut self,
        step: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(result) = self.done(step) {
            return Ok(result);
        }
        let result = work()?;
        let done = Step { step: step.to_owned(), result: serde_json::to_value(&result)? };
        writeln!(self.file, "{}", serde_json::to_string(&done)?)
            .with_context(|| format!("cannot keep the journal {}", self.path.display()))?;
        self.steps.push(done);
        Ok(result)
    }

    /// Ends a run: the next one measures everything again.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_behind_its_last_whole_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.journal");
        let mut journal = Journal::open(&path, &("snapshot", 7)).unwrap();
        assert_eq!(journal.step("a", || Ok(1)).unwrap(), 1);
        assert_eq!(journal.step("b", || Ok(2)).unwrap(), 2);
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 3]).unwrap();

        let mut journal = Journal::open(&path, &("snapshot", 7)).unwrap();
        assert_eq!(journal.step("a", || -> anyhow::Result<i32> { panic!("it was done") }).unwrap(), 1);
        assert_eq!(journal.step("b", || Ok(3)).unwrap(), 3);
        drop(journal);
        let mut other = Journal::open(&path, &("snapshot", 8)).unwrap();
        assert_eq!(other.step("a", || Ok(4)).unwrap(), 4);
        other.finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_another_build_measured_is_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.journal");
        let (this, other) = (Program { bytes: 5, modified: 1 }, Program { bytes: 5, modified: 2 });
        let open = |program: &Program| Journal::open_of(program.clone(), &path, &("snapshot", 7)).unwrap();
        assert_eq!(open(&this).step("a", || Ok(1)).unwrap(), 1);
        assert_eq!(open(&this).step("a", || Ok(2)).unwrap(), 1);
        assert_eq!(open(&other).step("a", || Ok(3)).unwrap(), 3);
        assert_eq!(open(&this).step("a", || Ok(4)).unwrap(), 4);
    }
}
