//! The chain: who was paid, how often, where to; against what was decided, and against the ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256};
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_chain::At;
use sluice_chain::events::{CampaignEvent, Event, Watched};
use sluice_core::ids::{CampaignId, EntitlementId};
use sluice_core::limits::{LOG_BLOCKS_MAX, SKIP_RETRIES_MAX};
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;
use sluice_store::Store;

use super::log::balance;
use super::{Entitlement, Replayed};
use crate::ground::{Field, ROUND, Servers};
use crate::records::{Records, Verdict};
use crate::report::Report;

/// Balances asked for at once.
const AT_ONCE: usize = 16;

/// How an entitlement was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Settled,
    Redirected(Address),
    Claimed(Address),
}

/// Everything the chain's events say of one campaign.
#[derive(Default)]
struct Seen {
    paid: BTreeMap<Entitlement, Vec<Way>>,
    batches: BTreeMap<u64, Vec<B256>>,
}

#[derive(Default)]
struct Wrong {
    twice: Vec<String>,
    lost: Vec<String>,
    void: Vec<String>,
    skipped: Vec<String>,
    let_in: Vec<String>,
    unasked: Vec<String>,
    astray: Vec<String>,
    balances: Vec<String>,
    ledger: Vec<String>,
    attempts: Vec<String>,
}

pub(super) async fn check(
    servers: &Servers,
    store: &Store,
    fields: &[Field],
    records: &Records,
    expected: &BTreeSet<Entitlement>,
    replayed: &Replayed,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut wrong = Wrong::default();
    let (mut payments, mut batches, mut addresses) = (0, 0, 0);
    let (mut kept, mut contracts) = (Kept::default(), 0);
    for field in fields {
        let seen = seen(servers, field).await?;
        payments += seen.paid.len();
        contracts += seen.paid.keys().filter(|(_, index)| field.is_contract(*index)).count();
        batches += seen.batches.len();
        let mine = kept_back(servers, field, records, replayed, &seen, &mut wrong).await?;
        entitlements(field, records, expected, replayed, (&seen, &mine), &mut wrong);
        addresses += balances(servers, field, &seen, &mut wrong).await?;
        ledger(servers, store, (field, &mine), replayed, &seen, &mut wrong).await?;
        kept.add(mine);
        attempts(store, &seen, &mut wrong).await?;
    }
    report.figure("batches settled", batches);
    report.check("no entitlement is paid twice", payments, wrong.twice);
    report.figure("paid to wallets that are contracts", contracts);
    report.figure("annulled entitlements that a payment under way reached first", kept.lost_races);
    report.figure(
        "voids refused because the payment was final",
        *records.voids_late.lock().expect("no panic inside"),
    );
    report.check("everything acknowledged is paid, void or skipped", expected.len(), wrong.lost);
    report.check("void in the log is void on chain, ordered, and unpaid", kept.void.len(), wrong.void);
    report.check("skipped is barred, after bounded retries, and reserved", kept.skipped.len(), wrong.skipped);
    report.figure("let in by the token after a failure, and paid", kept.let_in_paid);
    report.figure("let in when the last retry had failed", kept.let_in_late);
    let let_in = records.let_in.lock().expect("no panic inside").len();
    report.check("let in again is paid, unless its retries had run out", let_in, wrong.let_in);
    report.check("nothing else is paid", payments, wrong.unasked);
    report.check("paid to the listed, or where they signed", payments, wrong.astray);
    report.check("balances are the listed amounts", addresses, wrong.balances);
    report.check("ledger, replayed funds and chain say the same", fields.len(), wrong.ledger);
    report.check("every settlement has its attempt's row, every batch one", batches, wrong.attempts);
    Ok(())
}

async fn seen(servers: &Servers, field: &Field) -> anyhow::Result<Seen> {
    let prepared = &servers.prepared;
    let distributor = field.distributor.address;
    let watched = [Watched { campaign: field.campaign, distributor, token: servers.token }];
    let latest = prepared.chain.latest().await?.number;
    let (mut seen, mut from) = (Seen::default(), field.deployed_at);
    while from <= latest {
        let to = latest.min(from + LOG_BLOCKS_MAX - 1);
        for block in prepared.chain.events(from, to, &watched, None).await?.blocks {
            for located in block.events {
                if let Event::Campaign { event, .. } = located.event {
                    seen.take(field.campaign, located.tx_hash, &event);
                }
            }
        }
        from = to + 1;
    }
    Ok(seen)
}

impl Seen {
    fn take(&mut self, campaign: CampaignId, transaction: B256, event: &CampaignEvent) {
        let mut paid = |index, way| self.paid.entry((campaign, index)).or_default().push(way);
        match event {
            CampaignEvent::BatchSettled { batch, .. } => {
                self.batches.entry(*batch).or_default().push(transaction);
            }
            CampaignEvent::Settled(mask) => mask.indexes().for_each(|index| paid(index, Way::Settled)),
            CampaignEvent::Redirected { entitlement, to } => paid(entitlement.index, Way::Redirected(*to)),
            CampaignEvent::Claimed { entitlement, to } => paid(entitlement.index, Way::Claimed(*to)),
            _ => {}
        }
    }
}

/// What is decided or annulled and was not paid.
#[derive(Default)]
struct Kept {
    void: BTreeSet<Entitlement>,
    skipped: BTreeSet<Entitlement>,
    /// Annulled by an entry, and paid nevertheless.
    lost_races: usize,
    /// Let in by the token after a failure, and paid.
    let_in_paid: usize,
    /// Let in when the last retry had failed already.
    let_in_late: usize,
}

impl Kept {
    fn add(&mut self, other: Self) {
        self.void.extend(other.void);
        self.skipped.extend(other.skipped);
        self.lost_races += other.lost_races;
        self.let_in_paid += other.let_in_paid;
        self.let_in_late += other.let_in_late;
    }
}

/// Voids and skips, as the replayed log has them, against the chain and what was ordered.
async fn kept_back(
    servers: &Servers,
    field: &Field,
    records: &Records,
    replayed: &Replayed,
    seen: &Seen,
    wrong: &mut Wrong,
) -> anyhow::Result<Kept> {
    let ordered = records.void_ordered.lock().expect("no panic inside").clone();
    let let_in = records.let_in.lock().expect("no panic inside").clone();
    let campaign = replayed.state.campaign(field.campaign).context("the campaign is not in the log")?;
    let round = campaign.round(ROUND).context("the round is not in the log")?;
    let mut kept = Kept::default();
    for index in 0..field.count() {
        let id = (field.campaign, index);
        let is_void = servers.is_void(field, index, At::Latest).await?;
        let paid = seen.paid.contains_key(&id);
        match campaign.status(EntitlementId { round: ROUND, index }) {
            Some(ClaimState::Voided) => {
                if !is_void || paid || !ordered.contains(&id) {
                    wrong.void.push(format!("{index}: void on chain {is_void}, paid {paid}"));
                }
                kept.void.insert(id);
            }
            Some(ClaimState::Skipped { retry, .. }) => {
                let times = round.skips.get(&index).map_or(0, |skip| skip.times);
                let barred = servers.is_barred(field.recipient(index)?, At::Latest).await?;
                // Who was let in is judged below.
                if retry || times != SKIP_RETRIES_MAX + 1 || paid || barred == let_in.contains_key(&id) {
                    let what = format!("tried {times} times, again {retry}, paid {paid}, barred {barred}");
                    wrong.skipped.push(format!("{index}: {what}"));
                }
                kept.skipped.insert(id);
            }
            _ if is_void => wrong.void.push(format!("{index} is void on chain alone")),
            _ => kept.lost_races += usize::from(paid && replayed.voided.contains(&id)),
        }
        if let Some(since) = let_in.get(&id) {
            let failed = replayed.last_failed.get(&id).copied();
            // Its last retry failed before it was let in; nothing tries again after that but an authority.
            let ran_out = kept.skipped.contains(&id) && failed.is_some_and(|block| block <= *since);
            kept.let_in_paid += usize::from(paid);
            kept.let_in_late += usize::from(ran_out);
            if !paid && !ran_out {
                wrong
                    .let_in
                    .push(format!("{index}: let in by block {since}, last failed at {failed:?}, unpaid"));
            }
        }
    }
    Ok(kept)
}

/// Each payment against what was asked, decided and signed.
fn entitlements(
    field: &Field,
    records: &Records,
    expected: &BTreeSet<Entitlement>,
    replayed: &Replayed,
    (seen, kept): (&Seen, &Kept),
    wrong: &mut Wrong,
) {
    let handed = records.handed.lock().expect("no panic inside");
    let decided =
        handed.iter().filter(|h| h.campaign == field.campaign && matches!(h.verdict, Verdict::Decided(_)));
    let signed: HashMap<u64, (bool, Address)> = decided.map(|h| (h.index, (h.redirected, h.to))).collect();
    let self_paid = records.self_paid.lock().expect("no panic inside");
    for id in expected.iter().filter(|(campaign, _)| *campaign == field.campaign) {
        if !seen.paid.contains_key(id) && !kept.void.contains(id) && !kept.skipped.contains(id) {
            wrong.lost.push(format!("{} of {} was not paid", id.1, id.0));
        }
    }
    for (id, ways) in &seen.paid {
        if ways.len() > 1 {
            wrong.twice.push(format!("{} of {} was paid {ways:?}", id.1, id.0));
        }
        if !expected.contains(id) {
            wrong.unasked.push(format!("{} of {} was paid {ways:?} and nobody asked", id.1, id.0));
        }
        for way in ways {
            let listed = field.snapshot.entitlement(id.1).map(|e| e.recipient);
            let right = match way {
                Way::Settled => {
                    replayed.decided.contains_key(id) && signed.get(&id.1).is_none_or(|(r, _)| !r)
                }
                Way::Redirected(to) => {
                    replayed.decided.contains_key(id) && signed.get(&id.1) == Some(&(true, *to))
                }
                Way::Claimed(to) => self_paid.contains(id) && listed == Some(*to),
            };
            if !right {
                wrong.astray.push(format!(
                    "{} of {} was paid {way:?}, signed {:?}",
                    id.1,
                    id.0,
                    signed.get(&id.1)
                ));
            }
        }
    }
}

/// What every listed address and every signed destination must hold. Returns how many were looked at.
async fn balances(servers: &Servers, field: &Field, seen: &Seen, wrong: &mut Wrong) -> anyhow::Result<usize> {
    let mut due: BTreeMap<Address, u128> = BTreeMap::new();
    for index in 0..field.count() {
        let listed = field.snapshot.entitlement(index).context("the list ends early")?;
        due.entry(listed.recipient).or_default();
        for way in seen.paid.get(&(field.campaign, index)).map_or(&[][..], Vec::as_slice) {
            let to = match way {
                Way::Settled => listed.recipient,
                Way::Redirected(to) | Way::Claimed(to) => *to,
            };
            *due.entry(to).or_default() += listed.amount.get();
        }
    }
    let prepared = &servers.prepared;
    let asking = due.iter().map(|(owner, due)| async move {
        let held = prepared.chain.token_balance(servers.token, *owner, At::Latest).await?.get();
        anyhow::Ok((owner, *due, held))
    });
    let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
    while let Some((owner, due, held)) = answers.try_next().await? {
        if due != held {
            wrong.balances.push(format!("{owner} holds {held} and should hold {due}"));
        }
    }
    Ok(due.len())
}

/// Rows, replayed state and chain: what came in, what went out, what is left.
async fn ledger(
    servers: &Servers,
    store: &Store,
    (field, held): (&Field, &Kept),
    replayed: &Replayed,
    seen: &Seen,
    wrong: &mut Wrong,
) -> anyhow::Result<()> {
    let rows = store.ledger(field.campaign).await?;
    let row = |account: Account| rows.get(&account).copied().unwrap_or(0);
    for account in Account::ALL {
        let replayed = balance(&replayed.state, field.campaign, account);
        if row(account) != replayed {
            wrong.ledger.push(format!("{account:?}: rows say {}, the replayed log {replayed}", row(account)));
        }
    }
    let amount = |(_, index): &Entitlement| field.snapshot.entitlement(*index).map_or(0, |e| e.amount.get());
    let paid: u128 = seen.paid.iter().map(|(id, ways)| amount(id) * ways.len() as u128).sum();
    let (chain, token) = (&servers.prepared.chain, servers.token);
    let left = chain.token_balance(token, field.distributor.address, At::Latest).await?.get();
    let kept = row(Account::Free) + row(Account::Reserved) + row(Account::Voided);
    let number = |value: u128| i128::try_from(value).context("a sum above 2^127");
    let pairs = [
        ("funded", -row(Account::Funded), number(field.snapshot.total().get())?),
        ("paid", row(Account::Paid), number(paid)?),
        ("kept", kept, number(left)?),
        ("reserved", row(Account::Reserved), number(held.skipped.iter().map(amount).sum())?),
        ("voided", row(Account::Voided), number(held.void.iter().map(amount).sum())?),
    ];
    for (what, ledger, chain) in pairs {
        if ledger != chain {
            wrong.ledger.push(format!("{what}: the ledger says {ledger}, the chain {chain}"));
        }
    }
    Ok(())
}

async fn attempts(store: &Store, seen: &Seen, wrong: &mut Wrong) -> anyhow::Result<()> {
    for (batch, transactions) in &seen.batches {
        if transactions.len() > 1 {
            wrong.attempts.push(format!("batch {batch} was settled by {transactions:?}"));
        }
        for transaction in transactions {
            match store.attempt_by_hash(*transaction).await? {
                Some(attempt) if attempt.batch == *batch => {}
                Some(attempt) => {
                    wrong.attempts.push(format!("{transaction} settled {batch}, not {}", attempt.batch))
                }
                None => wrong.attempts.push(format!("{transaction} settled batch {batch} without a row")),
            }
        }
    }
    Ok(())
}
