//! Writing a list so that an interruption costs little: aside into `NAME.part`, with a note of how far it is, renamed
//! when it is whole.

use super::list::{HEADER, Maker, Plan};
use crate::estimate::bytes;
use anyhow::{Context, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

/// Blocks made between two notes: about 40 MB of rows.
const BLOCKS_A_NOTE: usize = 64;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Blocks.
    pub blocks: u64,
    /// Bytes, the header among them.
    pub bytes: u64,
    /// The sum of the rows before they were spoiled, in base units.
    pub sum: u128,
    /// Rows that cannot be read.
    pub bad: u64,
    /// Rows that repeat an address.
    pub duplicates: u64,
}

/// The note beside a list in the making.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    plan: Plan,
    written: Written,
}

/// A list in the making.
#[derive(Debug)]
struct Part {
    list: PathBuf,
    note: PathBuf,
    file: File,
    written: Written,
}

impl Part {
    /// Goes on with what a former run of the same plan left, or begins.
    fn open(out: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let beside = |ending: &str| {
            let mut name = out.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            out.with_file_name(name)
        };
        let (list, note) = (beside(".part"), beside(".part.json"));
        let before = std::fs::read(&note).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        let mut written =
            before.filter(|note| note.plan == *plan).map(|note| note.written).unwrap_or_default();
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&list);
        let mut file = open.with_context(|| format!("cannot write {}", list.display()))?;
        if file.metadata()?.len() < written.bytes {
            written = Written::default();
        }
        if written.blocks > 0 {
            eprintln!("going on behind {} of {}", bytes(written.bytes), list.display());
        }
        file.set_len(written.bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { list, note, file, written })
    }

    fn append(&mut self, text: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(text).map_err(|error| self.explain(error))?;
        self.written.bytes += text.len() as u64;
        Ok(())
    }

    fn explain(&self, error: io::Error) -> anyhow::Error {
        let list = self.list.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => anyhow::anyhow!(
                "the disk is full: {} are written to {list}. Free some and run this again, which goes on there, or \
                 delete that file and {}",
                bytes(self.written.bytes),
                self.note.display(),
            ),
            _ => anyhow::Error::new(error).context(format!("cannot write {list}")),
        }
    }

    fn take_note(&self, plan: &Plan) -> anyhow::Result<()> {
        let aside = self.note.with_extension("json.tmp");
        let note = Note { plan: plan.clone(), written: self.written.clone() };
        std::fs::write(&aside, serde_json::to_vec(&note)?).map_err(|error| self.explain(error))?;
        Ok(std::fs::rename(&aside, &self.note)?)
    }

    fn finish(self, out: &Path) -> anyhow::Result<Written> {
        std::fs::rename(&self.list, out).with_context(|| format!("cannot name {}", out.display()))?;
        let _ = std::fs::remove_file(&self.note);
        Ok(self.written)
    }
}

/// Writes the list of `plan` to `out`.
pub(crate) fn write(plan: &Plan, out: &Path) -> anyhow::Result<Written> {
    if out.is_dir() {
        bail!("{} is a directory; name a file", out.display());
    }
    let mut part = Part::open(out, plan)?;
    if part.written.bytes == 0 {
        part.append(HEADER)?;
    }
    let maker = Maker::new(plan);
    let last = maker.blocks() - 1;
    // Rows are made ahead while others are written.
    let (sender, made) = sync_channel(1);
    let mut part = std::thread::scope(|scope| {
        let from = part.written.blocks;
        let writer = scope.spawn(move || append_all(part, plan, &made));
        for begin in (from..last).step_by(BLOCKS_A_NOTE) {
            let end = last.min(begin + BLOCKS_A_NOTE as u64);
            let blocks: Vec<_> = (begin..end).into_par_iter().map(|block| maker.block(block, None)).collect();
            if sender.send(blocks).is_err() {
                // The writer failed, and says why.
                break;
            }
        }
        drop(sender);
        writer.join().expect("the writer does not panic")
    })?;
    if part.written.blocks == last {
        let made = maker.block(last, Some(part.written.sum));
        part.take(made)?;
    }
    part.finish(out)
}

type Blocks = Vec<super::list::Made>;

fn append_all(mut part: Part, plan: &Plan, made: &Receiver<Blocks>) -> anyhow::Result<Part> {
    while let Ok(blocks) = made.recv() {
        for block in blocks {
            part.take(block)?;
        }
        part.take_note(plan)?;
    }
    Ok(part)
}

impl Part {
    fn take(&mut self, made: super::list::Made) -> anyhow::Result<()> {
        self.append(&made.text)?;
        self.written.blocks += 1;
        self.written.sum += made.sum;
        self.written.bad += made.bad;
        self.written.duplicates += made.duplicates;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
