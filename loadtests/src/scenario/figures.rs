//! What a run prints.

use anyhow::ensure;

use super::decide::Decided;
use super::lists::{Built, Campaign};
use super::paying::Paying;
use super::programme::Programme;
use crate::report::{Figure, Goal, Report};

/// Everything that a run came to.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) built: Built,
    pub(super) decided: Vec<Decided>,
    pub(super) paid: Vec<Paying>,
}

/// The longest that a whole programme may take, minutes.
const MINUTES: f64 = 60.0;

impl Run {
    /// The table.
    pub(super) fn report(&self, programme: &Programme, campaigns: &[Campaign], full: bool) -> Report {
        let mut report = Report::new(programme.name);
        let rows: u64 = campaigns.iter().map(|campaign| campaign.plan.rows).sum();
        let note = format!("{} campaigns", campaigns.len());
        report.add(Figure::new("wallets listed", rows as f64, "").note(note));
        let paid = Figure::new("to be paid", dollars(campaigns) as f64, "tokens");
        report.add(paid.note("each worth a dollar"));
        report.add(Figure::new("lists written", rows as f64 / self.built.list, "rows/s"));
        let note = format!("durable; {:.1} s", self.built.snapshot);
        report.add(Figure::new("snapshots built", rows as f64 / self.built.snapshot, "rows/s").note(note));
        self.add_decided(&mut report);
        self.add_paid(&mut report, full);
        match full {
            true => self.add_whole(&mut report, programme, rows),
            false => self.add_extrapolated(&mut report, programme, campaigns),
        }
        report
    }

    fn sum(&self, of: impl Fn(&Decided) -> u64) -> u64 {
        self.decided.iter().map(of).sum()
    }

    fn seconds(&self, of: impl Fn(&Decided) -> f64) -> f64 {
        self.decided.iter().map(of).sum()
    }

    /// Individual claims through the door, not over HTTP.
    fn through_the_door(&self) -> u64 {
        self.sum(|decided| decided.claims - decided.sample.map_or(0, |sample| sample.accepted))
    }

    fn add_decided(&self, report: &mut Report) {
        for sample in self.decided.iter().filter_map(|decided| decided.sample) {
            let note = format!("{} claims by 256 connections", sample.accepted);
            report.add(Figure::new("claims over HTTP", sample.rate, "claims/s").note(note));
            report.add(Figure::new("  p50", sample.p50, "ms"));
            report.add(Figure::new("  p99", sample.p99, "ms"));
            let differences =
                Figure::new("  client's record and log differ", sample.differences as f64, "claims");
            report.add(differences.goal(Goal::AtMost(0.0)));
        }
        let (claims, pushed) = (self.sum(|decided| decided.claims), self.sum(|decided| decided.pushed));
        let door = self.through_the_door();
        if door > 0 {
            let rate = door as f64 / self.seconds(|decided| decided.claiming);
            let note =
                format!("{door} signed, verified, decided through the door of one node; signing counts");
            report.add(Figure::new("individual claims", rate, "claims/s").note(note));
        }
        let share =
            Figure::new("  their share of all decisions", claims as f64 / (claims + pushed) as f64, "");
        let share = if door > 0 { share.goal(Goal::AtLeast(0.1)) } else { share };
        report.add(share.note(format!("{claims} claims, {pushed} by pushes")));
        let pushing = self.seconds(|decided| decided.pushing);
        report.add(
            Figure::new("pushes", pushed as f64 / pushing, "decisions/s").note(format!("{pushing:.2} s")),
        );
        let differ =
            Figure::new("client's record and log differ", self.sum(|d| d.differences) as f64, "claims");
        report.add(differ.goal(Goal::AtMost(0.0)).note(format!("{} entries read", self.sum(|d| d.entries))));
        let differ = Figure::new("ledger and list differ", self.sum(|d| d.sums_differ) as f64, "campaigns");
        report.add(differ.goal(Goal::AtMost(0.0)).note("reserved, to the base unit"));
        let bytes = self.sum(|decided| decided.database_bytes) as f64;
        let note =
            format!("{} databases one after another, {:.1} GB in all", self.decided.len(), bytes / 1e9);
        report.add(Figure::new("database", bytes / claims.max(1) as f64, "B/claim").note(note));
    }

    fn paid(&self) -> super::pay::Paid {
        self.paid.iter().fold(Default::default(), |all: super::pay::Paid, paying| all.and(paying.paid))
    }

    /// Seconds by the clock that payments took.
    fn paying(&self) -> f64 {
        self.paid.iter().map(|paying| paying.took).sum()
    }

    fn add_paid(&self, report: &mut Report, full: bool) {
        let paid = self.paid();
        let note = format!("planned, encoded, executed in revm{}", if full { ", compared" } else { "" });
        report.add(Figure::new("recipients paid", paid.recipients as f64 / self.paying(), "/s").note(note));
        let note = format!("{} calls, {} of them of whole ranges", paid.calls, paid.dense);
        report
            .add(Figure::new("  gas", paid.gas as f64 / paid.recipients as f64, "gas/recipient").note(note));
        report.add(
            Figure::new("  executed", paid.gas as f64 / paid.paying / 1e6, "Mgas/s")
                .note("by one EVM, while the next calls are planned"),
        );
        let zero = |name: &str, count: u64, unit: &str| {
            Figure::new(name, count as f64, unit).goal(Goal::AtMost(0.0))
        };
        report.add(zero("  calls with other transfers than planned", paid.calls_differ, "calls"));
        report.add(zero("  paid when a call was sent again", paid.paid_twice, "recipients"));
        if full {
            report.add(zero("  balances other than listed", paid.wrong, "wallets"));
            report.add(zero("  others who have tokens", paid.strangers, "wallets"));
        }
    }

    /// Seconds of all steps.
    fn took(&self) -> f64 {
        let deciding = self.seconds(|d| {
            d.set_up + d.claiming + d.pushing + d.sample.map_or(0.0, |s| s.accepted as f64 / s.rate)
        });
        self.built.list + self.built.snapshot + deciding + self.paying()
    }

    fn add_whole(&self, report: &mut Report, programme: &Programme, rows: u64) {
        let paid = self.paid();
        let right = paid.recipients.saturating_sub(paid.wrong);
        let figure = Figure::new("wallets that have what is listed", right as f64, "");
        let note = "every balance compared to the base unit, so every campaign's sum is right";
        report.add(figure.goal(Goal::AtLeast(rows as f64)).note(note));
        let figure = Figure::new("all steps", self.took() / 60.0, "min");
        let figure = if rows >= programme.whole { figure.goal(Goal::AtMost(MINUTES)) } else { figure };
        let set_up = self.seconds(|decided| decided.set_up);
        report.add(figure.note(format!("deployments and openings {set_up:.0} s of it")));
    }

    /// What the whole would take at the rates seen.
    fn add_extrapolated(&self, report: &mut Report, programme: &Programme, campaigns: &[Campaign]) {
        let rows: u64 = campaigns.iter().map(|campaign| campaign.plan.rows).sum();
        let whole = programme.whole as f64;
        let Some(sample) = self.decided.iter().find_map(|decided| decided.sample) else { return };
        let minutes = self.extrapolated(whole, rows as f64, campaigns.len() as f64, sample.rate) / 60.0;
        let note = "EXTRAPOLATED from these rates, nothing but the above was done; --full does it";
        report.add(Figure::new("the whole, all steps", minutes, "min").note(note));
    }

    /// Seconds of the whole, with so many claims a second.
    fn extrapolated(&self, whole: f64, rows: f64, campaigns: f64, rate: f64) -> f64 {
        let lists = (self.built.list + self.built.snapshot) / rows * whole;
        let groups = self.decided.len().max(1) as f64;
        let each = self.seconds(|decided| decided.set_up + decided.pushing) / groups;
        let paid = self.paid();
        lists + whole * 0.1 / rate + each * campaigns + self.paying() / paid.recipients.max(1) as f64 * whole
    }

    /// Fails a run that something was wrong in.
    pub(super) fn ensure_right(&self) -> anyhow::Result<()> {
        let of_log =
            self.sum(|d| d.differences + d.sums_differ + d.sample.map_or(0, |sample| sample.differences));
        let paid = self.paid();
        ensure!(
            of_log + paid.mistakes() == 0,
            "something is wrong: {of_log} differences in the log, {paid:?}"
        );
        Ok(())
    }
}

/// What all campaigns pay together, whole tokens: summed in the finest base units, then rounded down.
fn dollars(campaigns: &[Campaign]) -> u128 {
    const FINEST: u8 = 18;
    let finest = |c: &Campaign| c.plan.total * 10u128.pow(u32::from(FINEST - c.plan.decimals));
    campaigns.iter().map(finest).sum::<u128>() / 10u128.pow(FINEST.into())
}

#[cfg(test)]
mod tests {
    use super::super::pay::Paid;
    use super::*;
    use crate::generate;

    #[test]
    fn decimals_do_not_count() {
        let campaigns = Campaign::all(generate::campaigns(1, 5, 10_000, 4_000_000_000));
        assert_eq!(dollars(&campaigns), 4_000_000_000);
    }

    #[test]
    fn what_is_wrong_fails_the_run_and_the_rest_is_scaled() {
        let paid = Paid { recipients: 1_000, gas: 26_000_000, ..Paid::default() };
        let mut run = Run {
            built: Built { list: 1.0, snapshot: 1.0, ..Built::default() },
            paid: vec![Paying { paid, took: 2.0 }],
            ..Run::default()
        };
        run.ensure_right().unwrap();
        // Twice a second a hundred wallets for lists, a tenth claims, twice a thousandth of a second for a payment.
        assert_eq!(run.extrapolated(10_000.0, 100.0, 1.0, 500.0), 200.0 + 2.0 + 20.0);
        run.paid[0].paid.strangers = 1;
        assert!(run.ensure_right().unwrap_err().to_string().contains("strangers: 1"));
    }
}
