//! Receipts and tickets, verified offline with the Charter's log key alone; and verdicts, against the entries they name.

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::ids::DemandId;
use sluice_core::log::entry::Body;
use sluice_core::log::note::LogVerifier;
use sluice_store::Store;

use super::{Replayed, STREAM};
use crate::records::{Handed, Records, Verdict};
use crate::report::Report;

/// Refusals that mean: another demand, or the wallet itself, was first.
const TAKEN: [&str; 3] = ["already_decided", "already_paid", "payment_seen"];

pub(super) fn proofs(
    keys: &[LogVerifier],
    records: &Records,
    replayed: &Replayed,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let receipts = records.receipts.lock().expect("no panic inside");
    let mut positions: BTreeMap<DemandId, u64> = BTreeMap::new();
    for (id, receipt) in receipts.iter() {
        match receipt.verify(keys) {
            Err(error) => wrong.push(format!("the receipt of claim {id}: {error}")),
            Ok(verified) => {
                let names = match &verified.entry.body {
                    Body::ClaimDecided(claim) => claim.id == *id,
                    Body::ClaimRefused(claim) => claim.id == *id,
                    _ => false,
                };
                if !names {
                    wrong.push(format!("the receipt of claim {id} is of another entry"));
                }
                if replayed.roots.get(&verified.head.size) != Some(&verified.head.root) {
                    wrong.push(format!(
                        "the receipt of claim {id} is of another log at {}",
                        verified.head.size
                    ));
                }
            }
        }
        let first = *positions.entry(*id).or_insert(receipt.seq);
        if first != receipt.seq {
            wrong.push(format!("claim {id} has receipts of positions {first} and {}", receipt.seq));
        }
    }
    report.check("receipts verify offline and are of this log", receipts.len(), wrong);
    let tickets = records.tickets.lock().expect("no panic inside");
    let mut wrong = Vec::new();
    let mut promises: BTreeMap<DemandId, _> = BTreeMap::new();
    for (id, ticket) in tickets.iter() {
        match ticket.verify(keys) {
            Err(error) => wrong.push(format!("the ticket of claim {id}: {error}")),
            Ok(verified) if verified.promise.id != *id => {
                wrong.push(format!("the ticket of claim {id} is another claim's"));
            }
            Ok(verified) => {
                let first = promises.entry(*id).or_insert_with(|| verified.promise.clone());
                if *first != verified.promise {
                    wrong.push(format!("claim {id} has two different tickets"));
                }
            }
        }
    }
    report.check("tickets verify offline, one for each claim", tickets.len(), wrong);
    Ok(())
}

/// What clients were told in the end, against the entries.
pub(super) async fn verdicts(store: &Store, records: &Records, report: &mut Report) -> anyhow::Result<()> {
    let handed = records.handed.lock().expect("no panic inside").clone();
    let acknowledged: BTreeSet<DemandId> = handed.iter().filter(|h| h.acknowledged).map(|h| h.id).collect();
    let expected = super::expected(records);
    let voids = records.void_ordered.lock().expect("no panic inside").clone();
    // Somebody was first: another demand, the wallet, or a void.
    let right_code = |claim: &Handed, code: &str| {
        let id = (claim.campaign, claim.index);
        TAKEN.contains(&code) && expected.contains(&id) || code == "voided" && voids.contains(&id)
    };
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for claim in &handed {
        let (name, bad) = match &claim.verdict {
            Verdict::Decided(seq) => {
                let body =
                    store.read_log(STREAM, seq - 1, 1).await?.pop().map(|row| row.decode()).transpose()?;
                let right = matches!(body.map(|e| e.body), Some(Body::ClaimDecided(ref c)) if c.id == claim.id
                    && c.entitlement.index == claim.index
                    && c.redirect.as_ref().map(|r| r.to) == claim.redirected.then_some(claim.to));
                ("claims decided", (!right).then(|| format!("entry {seq} does not decide it")))
            }
            Verdict::Refused(seq, code) => {
                let body =
                    store.read_log(STREAM, seq - 1, 1).await?.pop().map(|row| row.decode()).transpose()?;
                let right = matches!(body.map(|e| e.body), Some(Body::ClaimRefused(c)) if c.id == claim.id
                    && c.code.as_str() == code);
                let bad = (!right || !right_code(claim, code)).then(|| format!("refused at {seq} as {code}"));
                ("claims refused by an entry", bad)
            }
            Verdict::Declined(code) => {
                let bad = !right_code(claim, code);
                ("claims refused before an entry", bad.then(|| format!("refused as {code}")))
            }
            Verdict::Conflict => {
                let other = acknowledged.contains(&claim.id)
                    || handed.iter().any(|h| h.id == claim.id && h.verdict != Verdict::Conflict);
                (
                    "claims in conflict with their id's other body",
                    (!other).then(|| "in conflict with nothing".into()),
                )
            }
            Verdict::Nothing => ("claims nobody answered", Some("was never answered".into())),
        };
        *counts.entry(name).or_default() += 1;
        if let Some(bad) = bad {
            wrong.push(format!("claim {} on {}: {bad}", claim.id, claim.index));
        }
    }
    for (name, count) in counts {
        report.figure(name, count);
    }
    report.check("every claim was answered, by the entry it was told of", handed.len(), wrong);
    Ok(())
}
