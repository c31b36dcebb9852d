//! The two node processes: started, killed, frozen, and started again when they end.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use sluice_server::api_client::StatusInfo;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::postgres_proxy::PostgresProxy;
use crate::rpc_proxy::RpcProxy;

/// How often the processes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Before a process that ended by itself is started again, as a service manager would.
const RESTART_AFTER: Duration = Duration::from_millis(300);
/// How long a node that is asked to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(25);
/// How long a status may take before the node counts as silent.
const STATUS_WITHIN: Duration = Duration::from_millis(500);

/// What both nodes have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// `sluice-sim` itself.
    pub(crate) program: PathBuf,
    pub(crate) charter: Address,
    pub(crate) lanes: u32,
    pub(crate) snapshots: PathBuf,
    pub(crate) logs: PathBuf,
}

/// One node: its addresses stay, its process comes and goes.
#[derive(Debug)]
struct Slot {
    url: String,
    program: PathBuf,
    command: Vec<String>,
    log: File,
    process: Mutex<Process>,
    _postgres: PostgresProxy,
    _rpc: RpcProxy,
}

#[derive(Debug, Default)]
struct Process {
    child: Option<Child>,
    /// Not before then is it started again.
    rest_until: Option<tokio::time::Instant>,
    /// How often it was started.
    starts: u32,
    /// How it ended by itself, each time.
    exits: Vec<ExitStatus>,
}

/// Both nodes and who watches over them.
#[derive(Debug)]
pub(crate) struct Fleet {
    slots: Arc<[Slot; 2]>,
    keep: Arc<AtomicBool>,
    keeper: JoinHandle<anyhow::Result<()>>,
    http: reqwest::Client,
}

impl Slot {
    fn new(number: usize, common: &Common, postgres: PostgresProxy, rpc: RpcProxy) -> anyhow::Result<Self> {
        // The port is free now, and nobody else on this machine hands it out while the nodes come and go.
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = common.logs.join(format!("node-{}.log", number + 1));
        let log = OpenOptions::new().create(true).append(true).open(&log).context("the node's log")?;
        let arguments = [
            ("--database-url", postgres.url()),
            ("--rpc", rpc.url().to_owned()),
            ("--charter", common.charter.to_string()),
            ("--sequencer", (number + 1).to_string()),
            ("--lanes", common.lanes.to_string()),
            ("--listen", listen.to_string()),
            ("--snapshots", common.snapshots.display().to_string()),
        ];
        let command = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        Ok(Self {
            url: format!("http://{listen}"),
            program: common.program.clone(),
            command,
            log,
            process: Mutex::default(),
            _postgres: postgres,
            _rpc: rpc,
        })
    }

    fn start(&self, process: &mut Process) -> anyhow::Result<()> {
        let child = Command::new(&self.program)
            .arg("node")
            .args(&self.command)
            // Its end tells the node that nobody is there any more.
            .stdin(Stdio::piped())
            .stdout(self.log.try_clone()?)
            .stderr(self.log.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .context("a node process")?;
        process.child = Some(child);
        process.starts += 1;
        process.rest_until = None;
        Ok(())
    }

    /// Notes a process that ended by itself, and starts one when it is time.
    async fn look_after(&self) -> anyhow::Result<()> {
        let mut process = self.process.lock().await;
        if let Some(child) = &mut process.child {
            let Some(status) = child.try_wait()? else { return Ok(()) };
            process.child = None;
            process.exits.push(status);
            process.rest_until = Some(tokio::time::Instant::now() + RESTART_AFTER);
        }
        if process.rest_until.is_none_or(|until| until <= tokio::time::Instant::now()) {
            self.start(&mut process)?;
        }
        Ok(())
    }

    /// Ends the process by a signal; says whether there was one.
    async fn end(&self, signal: Signal, down: Duration) -> anyhow::Result<bool> {
        let mut process = self.process.lock().await;
        let Some(mut child) = process.child.take() else { return Ok(false) };
        send(&child, signal)?;
        if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
            anyhow::bail!("{} did not end within {STOP_WITHIN:?} of {signal:?}", self.url);
        }
        process.rest_until = Some(tokio::time::Instant::now() + down);
        Ok(true)
    }
}

/// Sends a signal to a child of ours that has not been waited for, so that its number is still its own.
fn send(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let Some(id) = child.id() else { return Ok(()) };
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id")?;
    match kill_process(pid, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error).context("a signal to a node"),
        _ => Ok(()),
    }
}

impl Fleet {
    pub(crate) fn start(common: &Common, proxies: [(PostgresProxy, RpcProxy); 2]) -> anyhow::Result<Self> {
        let [(p0, r0), (p1, r1)] = proxies;
        let slots = Arc::new([Slot::new(0, common, p0, r0)?, Slot::new(1, common, p1, r1)?]);
        let keep = Arc::new(AtomicBool::new(true));
        let keeper = {
            let (slots, keep) = (Arc::clone(&slots), Arc::clone(&keep));
            tokio::spawn(async move {
                while keep.load(Ordering::SeqCst) {
                    for slot in slots.iter() {
                        slot.look_after().await?;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok(())
            })
        };
        let http = reqwest::Client::builder().timeout(STATUS_WITHIN).build()?;
        Ok(Self { slots, keep, keeper, http })
    }

    /// Where a node's API is.
    pub(crate) fn url(&self, slot: usize) -> &str {
        &self.slots[slot].url
    }

    pub(crate) async fn kill(&self, slot: usize, down: Duration) -> anyhow::Result<bool> {
        self.slots[slot].end(Signal::KILL, down).await
    }

    pub(crate) async fn terminate(&self, slot: usize, down: Duration) -> anyhow::Result<bool> {
        self.slots[slot].end(Signal::TERM, down).await
    }

    /// Stops a node's process where it stands.
    pub(crate) async fn stop_and_hold(&self, slot: usize) -> anyhow::Result<()> {
        let process = self.slots[slot].process.lock().await;
        send(process.child.as_ref().context("a running node")?, Signal::STOP)
    }

    /// Lets a stopped process go on.
    pub(crate) async fn go_on(&self, slot: usize) -> anyhow::Result<()> {
        let process = self.slots[slot].process.lock().await;
        send(process.child.as_ref().context("a stopped node")?, Signal::CONT)
    }

    /// Stops a node's process where it stands, for a while.
    pub(crate) async fn freeze(&self, slot: usize, length: Duration) -> anyhow::Result<bool> {
        let process = self.slots[slot].process.lock().await;
        let Some(child) = &process.child else { return Ok(false) };
        send(child, Signal::STOP)?;
        tokio::time::sleep(length).await;
        send(child, Signal::CONT)?;
        Ok(true)
    }

    /// What a node says of itself; `None` while it does not answer.
    pub(crate) async fn status(&self, slot: usize) -> Option<StatusInfo> {
        self.http.get(format!("{}/v1/status", self.url(slot))).send().await.ok()?.json().await.ok()
    }

    /// Who leads, if anybody says so.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for slot in 0..2 {
            if self.status(slot).await.is_some_and(|status| status.role == "leader") {
                return Some(slot);
            }
        }
        None
    }

    /// Waits until a node leads.
    pub(crate) async fn wait_for_leader(&self, within: Duration) -> anyhow::Result<usize> {
        let waiting = async {
            loop {
                if let Some(slot) = self.leader().await {
                    return slot;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(within, waiting).await.with_context(|| format!("nobody led within {within:?}"))
    }

    /// How often processes were started, and how often they ended by themselves.
    pub(crate) async fn figures(&self) -> (u32, usize) {
        let (mut starts, mut exits) = (0, 0);
        for slot in self.slots.iter() {
            let process = slot.process.lock().await;
            starts += process.starts;
            exits += process.exits.len();
        }
        (starts, exits)
    }

    /// Asks both to stop, and waits for them.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.keep.store(false, Ordering::SeqCst);
        self.keeper.await??;
        for slot in self.slots.iter() {
            slot.end(Signal::TERM, Duration::ZERO).await?;
        }
        Ok(())
    }
}
