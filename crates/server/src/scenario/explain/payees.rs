//! Where persons are paid. The money is the next round's: its list is made of the register.

use alloy_primitives::Address;

use super::{Facts, Row, at, said};
use crate::scenario::ground::NEXT;
use crate::scenario::races::{Answered, Lapsed, Moved};

/// Why the second of two cannot move a person's payments.
const LOST: [&str; 3] = ["stale", "not_payee", "not_authorized"];

/// Why somebody was refused, in a sentence.
fn why(loser: &Answered, who: &str, first: u64) -> String {
    match loser.verdict.code() {
        "stale" => {
            format!(
                "the {who} had seen the person as of before {first}; what changed since is told with the refusal"
            )
        }
        _ => {
            format!("since {first} the person is paid elsewhere, so the {who}'s key was the payee's no more")
        }
    }
}

pub(super) fn moved(facts: &mut Facts<'_>, moved: &Moved) -> Row {
    let about = format!("person {}", moved.person);
    let one = ("citizen", &moved.citizen);
    let other = ("registrar", &moved.registrar);
    let [(winner, first), (loser, second)] = facts.first_of(&about, one, other, &LOST);
    let person = &facts.scene.people[moved.person];
    let (payee, not) = match winner {
        "citizen" => (person.chosen, person.corrected),
        _ => (person.corrected, person.chosen),
    };
    let money = money(facts, moved.person, payee, not);
    Row {
        race: "citizen's move / registrar's correction",
        why: why(second, loser, first.verdict.position()),
        first: said(first, word(winner)),
        second: said(second, word(loser)),
        won: winner.to_owned(),
        about,
        money,
        shown: true,
    }
}

fn word(who: &str) -> &'static str {
    match who {
        "citizen" => "move",
        "registrar" => "correction",
        _ => "approved by two",
    }
}

pub(super) fn lapsed(facts: &mut Facts<'_>, lapsed: &Lapsed) -> Row {
    let about = format!("person {}", lapsed.person);
    let one = ("citizen", &lapsed.citizen);
    let other = ("two institutions", &lapsed.approved);
    let [(winner, first), (loser, second)] = facts.first_of(&about, one, other, &LOST);
    let position = first.verdict.position();
    let why = match &lapsed.again {
        None => why(second, loser, position),
        Some(again) => {
            let done = again.verdict.done();
            facts.order.that(done.is_some_and(|seq| seq > position), || {
                format!("{about}: approved again, and {:?}", again.verdict)
            });
            let again = done.map_or_else(String::new, |seq| at(seq, "done"));
            format!(
                "both approvals had seen the person as of before {position} and lapsed; given again, {again}"
            )
        }
    };
    // Approved again or not: the institutions' word is the last one.
    let person = &facts.scene.people[lapsed.person];
    let money = money(facts, lapsed.person, person.corrected, person.chosen);
    Row {
        race: "citizen's move / two approvals",
        first: said(first, word(winner)),
        second: said(second, word(loser)),
        won: winner.to_owned(),
        about,
        why,
        money,
        shown: true,
    }
}

/// The next round pays the person there, and nothing at the other address.
fn money(facts: &mut Facts<'_>, person: usize, payee: Address, not: Address) -> String {
    let (id, of) = (facts.index(NEXT, person), facts.scene.people[person].id);
    let bound = facts.audited.persons.get(&of).map(|bound| bound.payee);
    facts.order.that(bound == Some(payee), || {
        format!("person {person}: positions say {payee}, the register {bound:?}")
    });
    let listed = facts.scene.list(NEXT).entitlement(id.index).map(|listed| listed.recipient);
    facts
        .money
        .that(listed == Some(payee), || format!("person {person} is listed at {listed:?}, not {payee}"));
    let has = |address| facts.audited.balances.get(&address).copied();
    let due = if facts.is_paid(id) { facts.amount(id) } else { 0 };
    let (there, elsewhere) = (has(payee), has(not));
    facts.money.that(there == Some(due) && elsewhere == Some(0), || {
        format!("person {person}: {there:?} at {payee} for {due}, {elsewhere:?} at {not}")
    });
    format!("next round: {} at {}", facts.paid_or_held(id), short(payee))
}

/// An address, short.
fn short(address: Address) -> String {
    let text = address.to_string();
    format!("{}…{}", &text[..6], &text[text.len() - 4..])
}
