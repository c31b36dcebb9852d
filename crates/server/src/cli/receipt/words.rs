//! What receipts and tickets prove, in sentences for people.

use sluice_core::command::{Action, Command};
use sluice_core::ids::{BlockRef, CampaignId, Millis};
use sluice_core::log::entry::{Body, ClaimDecided, Due};
use sluice_core::log::receipt::{VerifiedReceipt, VerifiedTicket};

pub(super) fn of_receipt(receipt: &VerifiedReceipt) -> Vec<String> {
    let VerifiedReceipt { entry, head, signers } = receipt;
    let mut said = vec![
        format!("Verified: this is the entry at position {} of the log {}.", entry.seq, head.origin),
        format!("It was recorded at {} in epoch {}.", utc(entry.recorded_at), entry.epoch),
        format!("It says: {}", of_body(&entry.body)),
        format!(
            "The head that contains it covers {} entries and is signed by {}.",
            head.size,
            signers.join(", ")
        ),
    ];
    if entry.body.intake().is_some() {
        said.push(
            "The log can neither change nor lose this entry without contradicting its own signature.".into(),
        );
    }
    said
}

pub(super) fn of_ticket(ticket: &VerifiedTicket) -> Vec<String> {
    let VerifiedTicket { promise, head, signers } = ticket;
    let intake = promise.intake;
    vec![
        format!("Verified: node {} promised this for the log {}.", intake.node, head.origin.log()),
        format!(
            "It accepted {} as number {} of {} at {}; the demand's SHA-256 is {}.",
            promise.id,
            intake.n,
            queue(intake.campaign),
            utc(promise.accepted_at),
            promise.body_hash
        ),
        format!(
            "{} stood before it; the wait was estimated at {} ms (an estimate, not a promise).",
            match promise.place {
                0 => "None".to_owned(),
                place => place.to_string(),
            },
            promise.estimate_ms
        ),
        format!(
            "It is promised to be decided by {}. If the log has no decision recorded by then, this ticket is the proof.",
            utc(promise.decide_by)
        ),
        format!("The promise is signed by {}.", signers.join(", ")),
    ]
}

fn of_body(body: &Body) -> String {
    match body {
        Body::ClaimDecided(claim) => of_claim(claim),
        Body::ClaimRefused(claim) => format!(
            "claim {} on entitlement {} of round {} in campaign {} is refused ({}): {}",
            claim.id,
            claim.entitlement.index,
            claim.entitlement.round,
            claim.intake.campaign,
            claim.code,
            claim.code.sentence()
        ),
        Body::CampaignCreated(c) => {
            format!("command {} took {} into the log.", c.id, campaign(c.outcome.campaign))
        }
        Body::RoundPublished(r) => format!(
            "command {} published round {} of {}: {} entitlements, {} base units in all, root {}.",
            r.command.id,
            r.terms.round,
            campaign(r.terms.campaign),
            r.terms.count,
            r.terms.total,
            r.terms.root
        ),
        Body::Pushed(p) => {
            let decided: u64 = p.decided.iter().map(|(_, count, _)| u64::from(*count)).sum();
            format!(
                "command {} decided {decided} entitlements: {}.",
                p.command.id,
                of_command(&p.command.command)
            )
        }
        Body::Voided(v) => {
            format!(
                "command {} annulled {} entitlements of {}.",
                v.command.id,
                v.items.len(),
                campaign(v.command.intake.campaign.of_queue())
            )
        }
        Body::CommandRefused(c) => {
            let changed =
                c.changed_at.map(|seq| format!(" It changed at position {seq}.")).unwrap_or_default();
            format!("command {} is refused ({}): {}{changed}", c.id, c.code, c.code.sentence())
        }
        other => of_record(other),
    }
}

fn of_claim(claim: &ClaimDecided) -> String {
    let to = match &claim.redirect {
        Some(redirect) => format!("{}, as {} signed", redirect.to, claim.recipient),
        None => claim.recipient.to_string(),
    };
    format!(
        "claim {} is decided: entitlement {} of round {} in {} will be paid, {} base units to {to}.",
        claim.id,
        claim.entitlement.index,
        claim.entitlement.round,
        campaign(claim.intake.campaign),
        claim.amount
    )
}

fn of_command(command: &Command) -> String {
    match &command.action {
        Action::Push { campaign: id, round, from, to } => {
            format!("indexes {from} up to and without {to} of round {round} in {}", campaign(*id))
        }
        other => format!("a command on {}", campaign(other.queue())),
    }
}

/// Entries that answer nobody's demand.
fn of_record(body: &Body) -> String {
    let at = |block: &BlockRef| format!("block {} ({})", block.number, block.hash);
    match body {
        Body::CharterRead(c) => format!("the Charter {} was read at {}.", c.charter.address, at(&c.block)),
        Body::EpochBegan(e) => format!("node {} began to lead as sequencer {}.", e.node, e.sequencer),
        Body::Due(Due::RoundCloses { campaign: id, round }) => {
            format!("round {round} of {} closes.", campaign(*id))
        }
        Body::Due(Due::SkipRetry { campaign: id, entitlement }) => format!(
            "entitlement {} of round {} in {} may be tried again.",
            entitlement.index,
            entitlement.round,
            campaign(*id)
        ),
        Body::BatchPlanned(b) => {
            format!("batch {} of {} was planned: {} base units.", b.batch, campaign(b.campaign), b.total)
        }
        Body::AttemptSigned(a) => {
            format!("transaction {} was signed for batch {} of {}.", a.tx_hash, a.batch, campaign(a.campaign))
        }
        Body::BatchMined(b) => format!(
            "batch {} of {} was mined in {}: {} base units paid, {} payments failed.",
            b.batch,
            campaign(b.campaign),
            at(&b.block),
            b.paid_total,
            b.skipped.len()
        ),
        Body::BatchUnmined(b) => {
            format!("batch {} of {} was reorganised out of {}.", b.batch, campaign(b.campaign), at(&b.block))
        }
        Body::BatchFinal(b) => format!("batch {} of {} is final.", b.batch, campaign(b.campaign)),
        Body::BatchReplanned(b) => {
            format!("the content of batch {} of {} was given up.", b.batch, campaign(b.campaign))
        }
        Body::EventsMined(e) => {
            format!("{} events of {} were seen in {}.", e.events.len(), campaign(e.campaign), at(&e.block))
        }
        Body::EventsUnmined(e) => {
            format!("{} of {} was reorganised away.", at(&e.block), campaign(e.campaign))
        }
        Body::EventsFinal(e) => {
            format!("the events of {} in {} are final.", campaign(e.campaign), at(&e.block))
        }
        Body::ChainCursor(c) => format!("chain {} was read up to {}.", c.chain_id, at(&c.seen)),
        Body::EpochOnChain(e) => format!("epoch {} is final on chain {}.", e.epoch, e.chain_id),
        answered => format!("an entry of kind {}.", answered.kind()),
    }
}

fn campaign(id: CampaignId) -> String {
    format!("campaign {id}")
}

/// In which queue a demand stands.
fn queue(id: CampaignId) -> String {
    match id {
        stream if stream == CampaignId::default() => {
            "the commands that concern no single campaign".to_owned()
        }
        orders if orders.is_orders() => format!("the commands of {}", campaign(orders.of_queue())),
        claims => campaign(claims),
    }
}

/// A moment as people write it, in UTC. The day is reckoned as in Howard Hinnant's `civil_from_days`, from years that
/// begin in March, so that a leap day is a year's last.
fn utc(at: Millis) -> String {
    let (seconds, millis) = (at / 1_000, at % 1_000);
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS`.
        let known = [
            (0, "1970-01-01 00:00:00.000 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00.000 UTC"),
            (951_868_799_999, "2000-02-29 23:59:59.999 UTC"),
            (1_763_710_060_500, "2025-11-21 07:27:40.500 UTC"),
            (1_798_761_599_000, "2026-12-31 23:59:59.000 UTC"),
            (1_798_761_600_000, "2027-01-01 00:00:00.000 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
        ];
        for (at, text) in known {
            assert_eq!(utc(at), text);
        }
        assert!(utc(u64::MAX).ends_with("UTC"), "any number is a moment");
    }
}
