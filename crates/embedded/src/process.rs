//! A child process that ends with us, however we end.
//!
//! Three ways lead there: dropping the [`Child`], an orderly exit, and death by a signal nobody can catch. The
//! last is the kernel's parent-death signal, which has two traps. It fires when the *thread* that forked ends
//! (tokio's threads come and go), so each child has a keeper thread that forks it and waits for it. And the
//! kernel forgets it when the credentials change, so it is set after `setuid` (`pre_exec` runs after it).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// A signal, and how long its effect is awaited before the next one is tried.
pub(crate) type Step = (Signal, Duration);

/// A running child with its keeper thread.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    fate: Arc<Fate>,
    steps: &'static [Step],
}

/// How the child ended, shared with its keeper. The lock is held while it is reaped and while it is
/// signalled, so that a signal never reaches a stranger who got its process id.
#[derive(Debug, Default)]
struct Fate {
    status: Mutex<Option<ExitStatus>>,
    ended: Condvar,
}

impl Fate {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Starts `command` in a process group of its own (a terminal's Ctrl-C goes to us, and we stop it).
    ///
    /// `steps` is how it is stopped: the first signal is also what it gets when this process dies.
    pub(crate) fn spawn(mut command: Command, steps: &'static [Step]) -> io::Result<Self> {
        let parent = rustix::process::getpid();
        let signal = steps[0].0;
        command.process_group(0);
        // SAFETY: between fork and exec only async-signal-safe work is allowed; this makes two system calls.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(signal))?;
                // The parent may have died before the line above.
                if rustix::process::getppid() == Some(parent) {
                    Ok(())
                } else {
                    Err(io::ErrorKind::Other.into())
                }
            });
        }
        let fate = Arc::new(Fate::default());
        let (started, start) = mpsc::channel();
        let keeper_fate = Arc::clone(&fate);
        std::thread::Builder::new()
            .name("sluice-child-keeper".to_owned())
            .spawn(move || keep(command, &keeper_fate, &started))?;
        let pid = start.recv().map_err(|_| io::Error::other("the keeper thread ended"))??;
        Ok(Self { pid, fate, steps })
    }

    /// The child's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal, unless the child has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let status = self.fate.lock();
        if status.is_none() {
            // It can only fail for a child that is gone or not ours, and it is neither.
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// How the child ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.fate.lock()
    }

    /// Waits for the end, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        let mut status = self.fate.lock();
        while status.is_none() {
            let left = end.checked_duration_since(Instant::now())?;
            status = self.fate.ended.wait_timeout(status, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *status
    }

    /// Stops the child step by step, each bounded.
    pub(crate) fn stop(&self) {
        self.stop_by(self.steps);
    }

    /// Stops the child by other steps than the ones it was started with.
    pub(crate) fn stop_by(&self, steps: &[Step]) {
        if self.status().is_some() {
            return;
        }
        for &(signal, patience) in steps {
            self.signal(signal);
            if self.wait(patience).is_some() {
                return;
            }
            tracing::warn!(pid = self.pid(), ?signal, ?patience, "child did not end in time");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The keeper thread: forks the child, reports, waits for its end.
fn keep(mut command: Command, fate: &Fate, started: &mpsc::Sender<io::Result<Pid>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_child(&child);
    // The command holds our copies of the child's files (a lock may be among them); they end here.
    drop(command);
    let _ = started.send(Ok(pid));
    // Wait without reaping, so that the process id stays the child's until the lock is held.
    let leave = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), leave) {}
    let mut status = fate.lock();
    *status = child.wait().ok().or(Some(ExitStatus::default()));
    fate.ended.notify_all();
}
