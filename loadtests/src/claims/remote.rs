//! The claims' measurement at a node elsewhere. What was told is compared with what the node says afterwards, claim by
//! claim; its log is not read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use sluice_core::ids::{CampaignId, ContractRef, DemandId};
use sluice_server::api_client::{ApiClient, ApiError, ClaimInfo};
use sluice_snapshot::Snapshot;

use super::client::Target;
use super::figures::{self, Counts, Goals, InTime};
use super::ground::eventually;
use super::offer::{Offer, Outcome, Pace, Record, Seen, prepare};
use super::{ClaimsArgs, ROUND, wallets};
use crate::report::{Figure, Goal, Report};

/// Claims told as decided that are asked about again, and refused ones.
const ASKED_AGAIN: usize = 5_000;
const REFUSED_ASKED: usize = 1_000;
/// The code of an id that the node does not know.
const UNKNOWN: &str = "unknown_id";

/// What asking again came to.
#[derive(Debug, Default)]
struct Asked {
    /// Claims asked about, and of them those not answered at first that the node knows.
    asked: u64,
    found: u64,
    /// Claims with a ticket or without an answer that were decided in the end.
    decided_later: u64,
    /// Told as accepted, and not known.
    lost: u64,
    /// Decided elsewhere than told, or decided while told refused.
    contradicted: u64,
    /// Accepted, then refused.
    broken: u64,
    /// Accepted, and not decided yet after minutes.
    waiting: u64,
    /// Why nobody else was asked about.
    failed: Option<anyhow::Error>,
}

impl Asked {
    fn differences(&self) -> u64 {
        self.lost + self.contradicted + self.broken + self.waiting
    }

    /// Notes what the node says now of a claim; `None` if it does not know it.
    fn note(&mut self, seen: &Seen, now: Option<&ClaimInfo>) {
        self.asked += 1;
        let Some(now) = now else {
            self.lost += u64::from(matches!(seen.outcome, Outcome::Decided(_) | Outcome::Waiting));
            return;
        };
        let (refused, decided) = (now.state == "refused", now.seq.is_some());
        match &seen.outcome {
            Outcome::Decided(seq) => self.contradicted += u64::from(refused || now.seq != Some(*seq)),
            Outcome::Refused(..) => self.contradicted += u64::from(!refused),
            Outcome::Waiting | Outcome::Unknown(_) => {
                self.found += u64::from(matches!(seen.outcome, Outcome::Unknown(_)));
                self.broken += u64::from(decided && refused);
                self.decided_later += u64::from(decided && !refused);
                self.waiting += u64::from(!decided);
            }
        }
    }
}

/// Measures and prints.
pub(super) async fn measure(args: &ClaimsArgs) -> anyhow::Result<()> {
    let (Some(campaign), Some(path)) = (args.campaign.map(CampaignId), &args.snapshot) else {
        bail!(
            "a node elsewhere needs --campaign and --snapshot: write a list with --write-list, build its snapshot, publish \
             and open it there"
        );
    };
    let mut report = Report::new("claims");
    let api = ApiClient::new(&args.target, None)?;
    let info = api.campaign(campaign).await?;
    let distributor = ContractRef { chain_id: info.head.chain_id, address: info.head.distributor };
    let snapshot = Snapshot::open(path).with_context(|| path.display().to_string())?;
    let (skip, count) = (args.skip.unwrap_or(0), args.wallets());
    let wallets = wallets::wallets(count)?.split_off(skip as usize);
    let claims = prepare(wallets::signed(&wallets, &snapshot, args.round.unwrap_or(ROUND), distributor)?);
    let offer = Offer {
        target: Target::new(&args.target)?,
        campaign,
        pace: Pace::PerSecond(args.remote_rate()),
        connections: args.connections as usize,
        at_most: Duration::from_secs(args.seconds),
        stop: Arc::new(AtomicBool::new(false)),
    };
    let (record, left) = offer.make(claims).await?;
    let next = count as usize - left.len();
    eprintln!("claims: wallets {skip} to {next} have claimed; another run begins with --skip {next}");
    let asked = ask_again(&api, campaign, &record).await;
    add(&mut report, &record, &asked)?;
    report.print(args.show)?;
    let differences = asked.differences();
    if let Some(error) = asked.failed {
        return Err(error.context("not every claim could be asked about"));
    }
    ensure!(differences == 0, "{differences} claims are not what was told");
    let accepted = Counts::of(&record).accepted();
    ensure!(
        accepted > 0,
        "no claim was accepted: nothing was measured; --skip passes over wallets that have claimed"
    );
    Ok(())
}

fn add(report: &mut Report, record: &Record, asked: &Asked) -> anyhow::Result<()> {
    let in_time = InTime {
        decided: Counts::of(record).decided,
        seconds: record.took.as_secs_f64(),
        by: "at once, by the node's answers",
    };
    let goals = Goals { all_sent: true, ..Goals::default() };
    figures::add(report, &figures::Phase { name: "offered", record, in_time, goals, used: None, note: "" })?;
    let figure = Figure::new("reconciliation: differences", asked.differences() as f64, "claims");
    report.add(figure.goal(Goal::AtMost(0.0)).note(format!(
        "of {} asked about again: lost {}, contradicted {}, accepted and then refused {}, not decided yet {}; with a ticket \
         or without an answer and decided later {}, of these without an answer {}",
        asked.asked, asked.lost, asked.contradicted, asked.broken, asked.waiting, asked.decided_later, asked.found
    )));
    Ok(())
}

/// Some of the claims with one outcome, evenly through all of them.
fn evenly(record: &Record, most: usize, of: fn(&Outcome) -> bool) -> impl Iterator<Item = &Seen> {
    let count = record.seen.iter().filter(|seen| of(&seen.outcome)).count();
    record.seen.iter().filter(move |seen| of(&seen.outcome)).step_by(count.div_ceil(most).max(1))
}

/// Asks about every claim with a ticket or without an answer until it is decided, and about some of the decided and of
/// the refused ones.
async fn ask_again(api: &ApiClient, campaign: CampaignId, record: &Record) -> Asked {
    let mut asked = Asked::default();
    let open = |outcome: &Outcome| matches!(outcome, Outcome::Waiting | Outcome::Unknown(_));
    let decided = |outcome: &Outcome| matches!(outcome, Outcome::Decided(_));
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(..));
    // Once one was waited for in vain, the others are not.
    let mut patient = true;
    let all = evenly(record, usize::MAX, open).chain(evenly(record, ASKED_AGAIN, decided)).chain(evenly(
        record,
        REFUSED_ASKED,
        refused,
    ));
    for seen in all {
        let mut now = state(api, campaign, seen.id).await;
        let waits = |now: &ClaimInfo| now.seq.is_none();
        if patient && open(&seen.outcome) && now.as_ref().is_ok_and(|now| now.as_ref().is_some_and(waits)) {
            let decided = eventually("a claim that was accepted is decided", || async {
                Ok(state(api, campaign, seen.id).await?.filter(|now| !waits(now)))
            });
            match decided.await {
                Ok(claim) => now = Ok(Some(claim)),
                Err(error) => {
                    eprintln!("claims: {error:#}");
                    patient = false;
                }
            }
        }
        match now {
            Ok(now) => asked.note(seen, now.as_ref()),
            Err(error) => {
                asked.failed = Some(error);
                break;
            }
        }
    }
    asked
}

/// What the node says of a claim; `None` if it does not know it.
async fn state(api: &ApiClient, campaign: CampaignId, id: DemandId) -> anyhow::Result<Option<ClaimInfo>> {
    match api.claim_status(campaign, id).await {
        Ok(claim) => Ok(Some(claim)),
        Err(ApiError::Refused(refused)) if refused.code == UNKNOWN => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn seen(outcome: Outcome) -> Seen {
        let (id, zero) = (DemandId(Uuid::nil()), Duration::ZERO);
        Seen { id, index: 0, outcome, due: zero, latency: zero }
    }

    fn now(state: &str, seq: Option<u64>) -> ClaimInfo {
        let id = DemandId(Uuid::nil());
        let (code, transaction, receipt, ticket) = (None, None, None, None);
        ClaimInfo {
            id,
            state: state.into(),
            sentence: String::new(),
            code,
            transaction,
            seq,
            receipt,
            ticket,
        }
    }

    #[test]
    fn what_the_node_tells_otherwise_is_a_difference() {
        let (decided, refused) = (now("decided", Some(7)), now("refused", Some(8)));
        let waiting = now("waiting", None);
        let refusal = || Outcome::Refused(422, "already_decided".into());
        let unknown = || Outcome::Unknown("cut".into());
        for (outcome, now, differs) in [
            (Outcome::Decided(7), Some(&decided), false),
            (Outcome::Decided(6), Some(&decided), true),
            (Outcome::Decided(8), Some(&refused), true),
            (Outcome::Decided(7), None, true),
            (Outcome::Waiting, Some(&decided), false),
            (Outcome::Waiting, Some(&refused), true),
            (Outcome::Waiting, Some(&waiting), true),
            (Outcome::Waiting, None, true),
            (refusal(), Some(&decided), true),
            (refusal(), Some(&refused), false),
            (refusal(), None, false),
            (unknown(), Some(&decided), false),
            (unknown(), Some(&refused), true),
            (unknown(), None, false),
        ] {
            let mut asked = Asked::default();
            asked.note(&seen(outcome.clone()), now);
            assert_eq!(asked.differences() == 1, differs, "{outcome:?} {now:?}");
        }
    }

    #[test]
    fn a_sample_goes_evenly_through_all() {
        let seen: Vec<Seen> = (0..10).map(|seq| seen(Outcome::Decided(seq))).collect();
        let record = Record { seen, ..Record::default() };
        let sample = evenly(&record, 4, |outcome| matches!(outcome, Outcome::Decided(_)));
        let seqs: Vec<_> = sample.map(|seen| seen.outcome.clone()).collect();
        assert_eq!(seqs, [0, 3, 6, 9].map(Outcome::Decided));
    }
}
