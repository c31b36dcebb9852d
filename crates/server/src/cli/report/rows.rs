//! One CSV line per entitlement.

use std::io::Write;

use anyhow::{Context, ensure};
use sluice_chain::Revert;
use sluice_core::ids::{EntitlementId, Millis};
use sluice_core::state::campaign::Campaign;
use sluice_core::state::status::ClaimState;
use sluice_engine::snapshots::Snapshots;

use super::replay::Replayed;

/// Writes all rounds of a campaign.
pub(super) fn write(
    replayed: &Replayed,
    campaign: &Campaign,
    snapshots: &Snapshots,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    writeln!(out, "round,index,recipient,person,amount,state,transaction,time,reason")?;
    for round in campaign.rounds.values() {
        let terms = &round.terms;
        let snapshot = snapshots.get(terms.list_hash)?;
        ensure!(snapshot.root() == terms.root, "the snapshot of round {} has another root", terms.round);
        for index in 0..terms.count {
            let entitlement = snapshot.entitlement(index).context("the snapshot ends early")?;
            let id = EntitlementId { round: terms.round, index };
            let status = campaign.status(id);
            let person = snapshot.person(index).map(|person| person.to_string()).unwrap_or_default();
            let payment = replayed
                .payment(id)
                .filter(|_| matches!(status, Some(ClaimState::Paid(..) | ClaimState::Final)));
            let transaction = payment.map(|p| p.transaction.to_string()).unwrap_or_default();
            let time = payment.map(|p| utc(p.at)).unwrap_or_default();
            let reason = match &status {
                Some(ClaimState::Skipped { reason, .. }) => Revert::decode(reason.clone()).to_string(),
                _ => String::new(),
            };
            let state = status.as_ref().map_or("unclaimed", ClaimState::as_str);
            writeln!(
                out,
                "{},{index},{},{person},{},{state},{transaction},{time},{}",
                terms.round,
                entitlement.recipient,
                entitlement.amount.to_decimal_string(campaign.terms.decimals),
                quoted(&reason)
            )?;
        }
    }
    Ok(())
}

/// A field of CSV (RFC 4180); a token chooses the words of its own refusal.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// A time as RFC 3339 in UTC. The calendar's rule is Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn utc(at: Millis) -> String {
    let (seconds, millis) = (at / 1_000, at % 1_000);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, ahead) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + ahead;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_827_696_007), "2000-02-29T12:34:56.007Z");
        assert_eq!(utc(1_795_305_599_999), "2026-11-21T23:59:59.999Z");
        assert_eq!(utc(4_102_444_800_000), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_reason_cannot_break_a_row() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }
}
