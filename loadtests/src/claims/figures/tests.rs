use super::*;
use crate::claims::offer::{Seen, Unsent};
use sluice_core::ids::DemandId;
use uuid::Uuid;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn record(outcomes: &[(Outcome, u64)], unsent: &[u64]) -> Record {
    let seen = |(outcome, ms): &(Outcome, u64)| Seen {
        id: DemandId(Uuid::nil()),
        index: 0,
        outcome: outcome.clone(),
        due: Duration::ZERO,
        latency: MS(*ms),
    };
    Record {
        seen: outcomes.iter().map(seen).collect(),
        unsent: unsent.iter().map(|ms| Unsent { due: Duration::ZERO, waited: MS(*ms) }).collect(),
        took: MS(1_000),
        generator: 0.0,
    }
}

const GOALS: Goals = Goals { decided: Some(2.0), of_accepted: Some(0.99), p99: Some(250.0), all_sent: true };

/// Names and values of the figures that have a goal, with whether they reach it.
fn judged(record: &Record, decided: u64) -> Vec<(String, f64, bool)> {
    let in_time = InTime { decided, seconds: 1.0, by: "" };
    let phase = Phase { name: "full", record, in_time, goals: GOALS, used: None, note: "" };
    let mut report = Report::new("test");
    add(&mut report, &phase).unwrap();
    let goals = report.figures.into_iter().filter_map(|figure| Some((figure.goal?, figure)));
    goals.map(|(goal, figure)| (figure.name, figure.value, goal.met_by(figure.value))).collect()
}

#[test]
fn where_nothing_was_accepted_no_goal_is_reached() {
    for empty in [record(&[], &[]), record(&[(Outcome::Refused(429, "busy".into()), 1)], &[])] {
        let judged = judged(&empty, 0);
        assert_eq!(judged.iter().map(|(_, _, met)| *met).collect::<Vec<_>>(), [true, false], "{judged:?}");
        assert!(judged.iter().all(|(_, value, _)| value.is_finite()), "{judged:?}");
    }
    assert!(millis(&latencies([&record(&[], &[])]).unwrap(), 0.99).is_nan());
}

#[test]
fn who_was_due_and_not_sent_is_counted_and_timed() {
    let record = record(&[(Outcome::Decided(1), 10), (Outcome::Waiting, 20)], &[400, 500]);
    assert_eq!(millis(&latencies([&record]).unwrap(), 1.0).round(), 500.0);
    let judged = judged(&record, 2);
    let of =
        |name: &str| judged.iter().find(|(found, ..)| found == name).map(|(_, value, met)| (*value, *met));
    assert_eq!(of("full: due and not sent"), Some((2.0, false)));
    assert!(of("full: p99").is_some_and(|(_, met)| !met), "{judged:?}");
    assert_eq!(of("full: decided / accepted"), Some((1.0, true)));
}

#[test]
fn what_is_decided_later_is_not_decided_in_it() {
    let judged = judged(&record(&[(Outcome::Decided(1), 10), (Outcome::Waiting, 20)], &[]), 1);
    let missed: Vec<_> =
        judged.iter().filter(|(_, _, met)| !met).map(|(name, value, _)| (name.as_str(), *value)).collect();
    assert_eq!(missed, [("full: decided", 1.0), ("full: decided / accepted", 0.5)]);
}
