//! `sluice-load scenario mojaloop-1h`: what the Mojaloop foundation asks of a national switch, 1,000 transfers a second for an
//! hour of which no more than one in a hundred takes longer than a second, asked of claims from submission to decision.

use std::time::Duration;

use clap::Args;

use crate::claims::cluster;
use crate::claims::offer::prepare;
use crate::claims::{options, run};
use crate::estimate::Needs;
use crate::report::{Figure, Goal, Report, Show};
use crate::soak::{DISK_EACH, MEMORY_EACH};
use crate::stage::{Plan, Stage};
use crate::steady::{End, Listed, Steady};

/// `sluice-load scenario mojaloop-1h`.
#[derive(Debug, Args)]
pub(crate) struct MojaloopArgs {
    /// Claims a second.
    #[arg(long, default_value_t = 1_000, value_parser = options::whole_rate())]
    rate: u32,
    /// How long they are offered, seconds.
    #[arg(long, default_value_t = 3_600, value_parser = options::seconds())]
    seconds: u64,
    #[command(flatten)]
    show: Show,
}

impl MojaloopArgs {
    /// Measures and prints.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let count = u64::from(self.rate) * self.seconds;
        let needs = Needs {
            time: Duration::from_secs(self.seconds + count / 8_000 + 60),
            disk: count * DISK_EACH + cluster::DISK,
            memory: count * MEMORY_EACH + (1 << 29),
        };
        needs.announce("mojaloop-1h", &std::env::temp_dir())?;
        run::to_the_end(self.measure())
    }

    async fn measure(&self) -> anyhow::Result<()> {
        let steady = Steady { name: "mojaloop-1h", rate: self.rate.into(), seconds: self.seconds };
        let mut listed = Listed::new(steady.claims().try_into()?).await?;
        let plan = Plan {
            name: "mojaloop".into(),
            list: listed.path(),
            campaigns: 1,
            rounds: 1,
            core: None,
            decisions_per_second: None,
            settles: None,
        };
        let stage = Stage::start(&plan).await?;
        let claims = prepare(stage.signed(&listed.wallets, 0)?);
        listed.wallets = Vec::new();
        eprintln!("mojaloop-1h: {} claims signed; the node listens at {}", claims.len(), stage.set.url);
        let course = steady.offer(&stage, claims).await?;
        let mut report = Report::new("scenario mojaloop-1h");
        let late = Figure::new("not decided within a second", course.late(), "% of claims");
        report.add(late.goal(Goal::AtMost(1.0)).note("from when each was due until its receipt was read"));
        course.add(&mut report, false)?;
        End { stage: &stage, records: &course.thirds, paid_rounds: None, show: self.show }.print(report).await
    }
}
