//! How far a long command is, always on stderr: a figure that changes on a terminal, a line per so many steps in a pipe.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps between two lines in a pipe: less than this takes seconds.
const STEPS_A_LINE: u64 = 100_000;

/// Steps of one kind, counted upwards.
#[derive(Debug)]
pub(crate) struct Steps {
    bar: Option<ProgressBar>,
    what: &'static str,
    of: Option<u64>,
    told: AtomicU64,
}

impl Steps {
    /// `what` is done with the things counted ("entries read"); `of` says how many there are, where that is known.
    pub(crate) fn new(what: &'static str, of: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match of {
                Some(of) => (ProgressBar::new(of), "{human_pos} of {human_len} {msg} {wide_bar} {elapsed}"),
                None => (ProgressBar::no_length(), "{human_pos} {msg} {elapsed}"),
            };
            let style = ProgressStyle::with_template(template).expect("the template is a constant");
            bar.with_style(style).with_message(what)
        });
        Self { bar, what, of, told: AtomicU64::new(0) }
    }

    /// So many are done. May go back, where the same is read again.
    pub(crate) fn at(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let line = done / STEPS_A_LINE;
        if line != self.told.swap(line, Ordering::Relaxed) && line > 0 {
            let of = self.of.map(|of| format!(" of {of}")).unwrap_or_default();
            eprintln!("{done}{of} {}", self.what);
        }
    }

    /// Prints something between two figures.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the figure away, so that the answer stands alone.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.done();
    }
}
