//! A programme of campaigns, from its lists to every balance, step by step: lists and snapshots of all, then group by group
//! decisions and payments. Finished steps stand in a journal, so that an interrupted run goes on behind the last.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use clap::Args;

use super::decide::{self, Decided, Wanted};
use super::figures::Run;
use super::groups::groups;
use super::lists::{Built, Campaign};
use super::needs;
use super::paying::{self, Paying};
use crate::claims::ground::Servers;
use crate::claims::run;
use crate::generate;
use crate::report::Show;
use crate::resume::Journal;

/// What may be chosen about a run.
#[derive(Debug, Args)]
pub(crate) struct ProgrammeArgs {
    /// Wallets of all lists together, `40M` or `400k`; everything shrinks with it but the number of campaigns [default:
    /// the whole with --full, else 400k].
    #[arg(long, value_parser = generate::count)]
    pub(super) wallets: Option<u64>,
    /// Decide and pay everybody, and compare every balance. Without it, one campaign in part, and the rest extrapolated.
    #[arg(long)]
    pub(super) full: bool,
    /// Claims over HTTP, by wallets of the first campaign.
    #[arg(long, default_value_t = 20_000)]
    over_http: u64,
    /// Chooses keys and amounts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where lists, snapshots and the journal lie.
    #[arg(long, default_value = "/tmp/sluice-load")]
    work: PathBuf,
    /// Keep the snapshots at the end.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    show: Show,
}

/// What is told of a programme.
#[derive(Debug)]
pub(crate) struct Programme {
    pub(super) name: &'static str,
    campaigns: u64,
    /// Paid out by all campaigns together, each token worth one.
    dollars: u128,
    /// Wallets of the whole.
    pub(super) whole: u64,
}

/// What TokenTable says it has paid out.
pub(crate) const TOKENTABLE: Programme =
    Programme { name: "tokentable-40m", campaigns: 200, dollars: 4_000_000_000, whole: 40_000_000 };
/// A month of 40 dollars on average for everybody.
pub(crate) const NATION: Programme =
    Programme { name: "nation-50m", campaigns: 1, dollars: 2_000_000_000, whole: 50_000_000 };

/// Wallets of a run in part that does not say how many.
const WALLETS: u64 = 400_000;
/// Calls that a run in part executes at most: some twenty thousand recipients.
const CALLS_IN_PART: u64 = 40;

impl Programme {
    /// Runs it and prints.
    pub(crate) fn run(&self, args: &ProgrammeArgs) -> anyhow::Result<()> {
        run::to_the_end(self.run_all(args))
    }

    async fn run_all(&self, args: &ProgrammeArgs) -> anyhow::Result<()> {
        let folder = args.work.join(self.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let wallets = args.wallets.unwrap_or(if args.full { self.whole } else { WALLETS });
        ensure!(
            wallets >= self.campaigns * 100,
            "{wallets} wallets are too few for {} campaigns; a hundred each at least",
            self.campaigns
        );
        ensure!(
            args.full || args.over_http > 0,
            "--over-http 0: what is not done is extrapolated from the claims over HTTP; take some, or --full"
        );
        let campaigns = Campaign::all(generate::campaigns(args.seed, self.campaigns, wallets, self.dollars));
        let groups: Vec<Vec<Campaign>> = match args.full {
            true => groups(&campaigns).into_iter().map(<[Campaign]>::to_vec).collect(),
            false => vec![campaigns[..1].to_vec()],
        };
        let (needs, servers) = needs::of(&campaigns, &groups);
        needs.announce_with_servers(self.name, &folder, servers)?;
        let parameters = (self.name, wallets, args.seed, args.full, args.over_http);
        let journal = Journal::open(&folder.join("journal"), &parameters)?;
        let mut steps = Steps {
            folder,
            journal: Arc::new(Mutex::new(journal)),
            stop: Arc::new(AtomicBool::new(false)),
            servers: None,
        };
        let begun = std::time::Instant::now();
        let mut done = Run { built: steps.build(&campaigns).await?, ..Run::default() };
        for (number, group) in (1..).zip(&groups) {
            let wanted =
                Wanted { over_http: if number == 1 { args.over_http } else { 0 }, everybody: args.full };
            done.decided.push(steps.decide(group, number, wanted).await?);
            let calls_at_most = (!args.full).then_some(CALLS_IN_PART);
            let decided = done.decided.last().context("just done")?;
            done.paid.push(steps.pay(group, number, decided, calls_at_most).await?);
            eprintln!(
                "{}: {number} of {} groups done after {:.0?}",
                self.name,
                groups.len(),
                begun.elapsed()
            );
        }
        steps.stop_servers().await;
        let report = done.report(self, &campaigns, args.full);
        report.print(args.show)?;
        // What a mistake can be looked for in stays.
        done.ensure_right().with_context(|| {
            format!(
                "snapshots, claims and journal are kept in {}; delete it to begin anew",
                steps.folder.display()
            )
        })?;
        steps.clear(&campaigns, args.keep)
    }
}

/// What the steps of a run share. When it is dropped, what still works for it on other threads ends.
struct Steps {
    folder: PathBuf,
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
    /// Started for the first group that is to be decided.
    servers: Option<Servers>,
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Steps {
    /// Snapshots of all campaigns.
    async fn build(&self, campaigns: &[Campaign]) -> anyhow::Result<Built> {
        let mut all = Built::default();
        for campaign in campaigns {
            let (campaign, folder, journal) =
                (campaign.clone(), self.folder.clone(), Arc::clone(&self.journal));
            let built = tokio::task::spawn_blocking(move || {
                let step = format!("snapshot {}", campaign.number);
                let mut journal = journal.lock().expect("no panic inside");
                if journal.done::<Built>(&step).is_some() && campaign.open(&folder).is_err() {
                    // Deleted meanwhile.
                    return campaign.build(&folder);
                }
                journal.step(&step, || campaign.build(&folder))
            });
            all = all.and(built.await??);
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        eprintln!("{} snapshots built in {:.0} s, lists in {:.0} s", campaigns.len(), all.snapshot, all.list);
        Ok(all)
    }

    /// The decisions of a group.
    async fn decide(&mut self, group: &[Campaign], number: usize, wanted: Wanted) -> anyhow::Result<Decided> {
        let step = format!("group {number} decided");
        if let Some(decided) = self.journal.lock().expect("no panic inside").done::<Decided>(&step) {
            return Ok(decided);
        }
        if self.servers.is_none() {
            self.servers = Some(Servers::start().await?);
        }
        let servers = self.servers.as_ref().context("just started")?;
        let decided = decide::group(servers, &self.folder, group, number, wanted).await?;
        self.journal.lock().expect("no panic inside").step(&step, || Ok(decided))
    }

    /// The payments of a group.
    async fn pay(
        &self,
        group: &[Campaign],
        number: usize,
        decided: &Decided,
        calls_at_most: Option<u64>,
    ) -> anyhow::Result<Paying> {
        let paying = paying::Group {
            folder: self.folder.clone(),
            campaigns: group.to_vec(),
            decided: decided.clone(),
            calls_at_most,
            journal: Arc::clone(&self.journal),
            stop: Arc::clone(&self.stop),
        };
        tokio::task::spawn_blocking(move || paying.pay())
            .await?
            .with_context(|| format!("group {number} cannot be paid"))
    }

    async fn stop_servers(&mut self) {
        if let Some(servers) = self.servers.take() {
            servers.stop().await;
        }
    }

    /// Leaves nothing: the next run begins anew.
    fn clear(&self, campaigns: &[Campaign], keep: bool) -> anyhow::Result<()> {
        for campaign in campaigns {
            for ending in ["claimed", "chain"] {
                remove(&campaign.file(&self.folder, ending))?;
            }
            if !keep {
                remove(&campaign.file(&self.folder, "snapshot"))?;
            }
        }
        remove(&self.folder.join("journal"))
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
