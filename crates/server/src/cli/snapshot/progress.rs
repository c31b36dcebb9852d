//! How far a long command is: a bar on a terminal, a line per tenth in a pipe. Always on stderr.

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sluice_snapshot::{Progress, Stage};

/// Shows the progress it is told.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    /// The stage and its tenths shown last.
    last: Mutex<Option<(Stage, u64)>>,
}

impl Shown {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:>8} {wide_bar} {percent:>3} % {elapsed}");
            ProgressBar::new(1).with_style(style.expect("the template is a constant"))
        });
        Self { bar, last: Mutex::default() }
    }

    pub(super) fn tell(&self, progress: Progress) {
        let Progress { stage, done, of } = progress;
        let tenth = of.map_or(0, |of| done.saturating_mul(10) / of.max(1)).min(10);
        let mut last = self.last.lock().expect("nothing panics while holding it");
        if let Some(bar) = &self.bar {
            // Told by several threads, so an older figure may come late.
            let same_stage = last.is_some_and(|(at, _)| at == stage);
            bar.set_message(verb(stage));
            bar.set_length(of.unwrap_or(1));
            bar.set_position(if same_stage { done.max(bar.position()) } else { done });
            *last = Some((stage, tenth));
            return;
        }
        if last.is_some_and(|(at, shown)| at == stage && shown >= tenth) {
            return;
        }
        *last = Some((stage, tenth));
        match (stage, of) {
            (Stage::Read, Some(of)) => {
                eprintln!("{} {} of {}", verb(stage), HumanBytes(done), HumanBytes(of))
            }
            (Stage::Read, None) => eprintln!("{} {}", verb(stage), HumanBytes(done)),
            (Stage::Hash, Some(of)) => eprintln!("{} {done} of {of} entitlements", verb(stage)),
            (Stage::Pages, Some(of)) => eprintln!("{} {done} of {of} pages", verb(stage)),
            _ => eprintln!("{}", verb(stage)),
        }
    }

    /// Takes the bar away, so that the answer stands alone.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Read => "reading",
        Stage::Sort => "sorting",
        Stage::Hash => "hashing",
        Stage::Sync => "syncing",
        Stage::Pages => "publishing",
    }
}
