//! A process that owns servers and can be killed: this test binary again, running its `hold` test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What the holder prints before each thing it reports.
pub(crate) const SAYS: &str = "holder says: ";

/// Names the folder that the holder holds.
pub(crate) const FOLDER: &str = "SLUICE_TEST_HOLD";

/// A holder, and what it prints.
pub(crate) struct Holder {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Holder {
    /// Starts a holder of `dir` by way of `command`, which runs a copy of this test binary.
    pub(crate) fn start_by(mut command: Command, dir: &Path) -> Self {
        command.args(["--exact", "hold", "--ignored", "--nocapture"]).env(FOLDER, dir);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { process, said }
    }

    /// Starts a holder of `dir` under our own account.
    pub(crate) fn start(dir: &Path) -> Self {
        let mut command = Command::new("env");
        // A shell that runs its jobs in the background makes them ignore Ctrl-C; here it must do what it does.
        command.arg("--default-signal=INT").arg(std::env::current_exe().unwrap());
        Self::start_by(command, dir)
    }

    /// The next thing it says; a holder that ends without a word fails the test.
    pub(crate) fn next(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "the holder ended");
            if let Some((_, said)) = line.trim_end().split_once(SAYS) {
                return said.to_owned();
            }
        }
    }

    /// Kills it with a signal, as `kill -SIGNAL` does, and reaps it.
    pub(crate) fn kill(mut self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        assert!(!self.process.wait().unwrap().success());
    }
}

/// Waits until a process is gone, or a zombie that nobody has reaped.
#[expect(clippy::disallowed_methods, reason = "the end of a stranger's process is announced to nobody")]
pub(crate) fn await_end(pid: u32) {
    let end = Instant::now() + Duration::from_secs(30);
    let running = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        (!stat.rsplit_once(") ")?.1.starts_with('Z')).then_some(())
    };
    while running().is_some() {
        assert!(Instant::now() < end, "process {pid} still runs");
        // Whoever is no parent of a process is not told of its end; the wait is bounded above.
        std::thread::sleep(Duration::from_millis(20));
    }
}
