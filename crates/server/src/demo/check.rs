//! What really happened, from the chain and the database alone: no counter of this program is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sluice_chain::events::{CampaignEvent, Event, Watched};
use sluice_chain::{At, Chain};
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, EntitlementId, RoundNo, StreamId};
use sluice_core::limits::{FOLLOW_ROWS_MAX, LOG_BLOCKS_MAX};
use sluice_core::log::entry::{Body, SignedBy};
use sluice_core::state::funds::Account;
use sluice_snapshot::Snapshot;
use sluice_store::Store;

/// Balances asked in one JSON-RPC batch.
const BALANCES_AT_ONCE: usize = 2_000;
/// Batches under way.
const BATCHES_AT_ONCE: usize = 2;
/// Transaction receipts asked at once.
const RECEIPTS_AT_ONCE: usize = 16;

/// What is looked at.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) chain: &'a Chain,
    pub(super) rpc: &'a str,
    pub(super) store: &'a Store,
    pub(super) stream: StreamId,
    pub(super) campaign: CampaignId,
    pub(super) distributor: Address,
    pub(super) deployed_at: u64,
    pub(super) token: Address,
    pub(super) round: RoundNo,
    pub(super) snapshot: &'a Snapshot,
}

/// How an entitlement was paid on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// In a batch, to the listed address.
    Settled,
    /// In a batch, where its recipient signed.
    Redirected,
    /// By a wallet's own transaction.
    Claimed,
}

/// What the log decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Decided {
    /// Signed claims.
    pub(super) claims: u64,
    /// Of them, redirected ones.
    pub(super) redirected: u64,
    /// Of them, those that the recipient's contract said it signed (ERC-1271).
    pub(super) by_contract: u64,
    /// Entitlements pushed.
    pub(super) pushed: u64,
    /// Refused claims, by code.
    pub(super) refused: BTreeMap<&'static str, u64>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Payments on chain.
    pub(super) paid: u64,
    /// Entitlements that were paid more than once.
    pub(super) twice: u64,
    /// Expected entitlements that were not paid, and addresses whose balance is not what it should be.
    pub(super) lost: u64,
    /// Payments of entitlements nobody decided.
    pub(super) unasked: u64,
    /// The first few differences, in words.
    pub(super) differences: Vec<String>,
    /// By way: payments, gas of their transactions, transactions.
    pub(super) ways: BTreeMap<Way, (u64, u64, u64)>,
    /// Batches settled.
    pub(super) batches: u64,
    /// Whether ledger and chain say the same.
    pub(super) ledger_is_chain: bool,
    /// What the ledger says.
    pub(super) ledger: BTreeMap<Account, i128>,
    /// Sum of all checked balances, base units.
    pub(super) sum: Total,
    /// Addresses whose balance was compared.
    pub(super) balances: u64,
    /// What the log decided.
    pub(super) decided: Decided,
}

impl Found {
    /// Whether everything is as it should be.
    pub(super) fn is_right(&self) -> bool {
        self.twice == 0 && self.lost == 0 && self.unasked == 0 && self.ledger_is_chain
    }

    fn differs(&mut self, what: String) {
        if self.differences.len() < 20 {
            self.differences.push(what);
        }
    }
}

/// Payments as the chain's events tell them.
#[derive(Debug, Default)]
struct Payments {
    ways: HashMap<EntitlementId, Vec<(Way, Option<Address>)>>,
    transactions: BTreeMap<B256, BTreeMap<Way, u64>>,
    funded: u128,
    batches: BTreeSet<u64>,
}

/// Looks at everything. `expected` are the entitlements that should be paid.
pub(super) async fn check(
    subject: &Subject<'_>,
    expected: &(dyn Fn(u64) -> bool + Sync),
) -> anyhow::Result<Found> {
    let mut found = Found { decided: decided(subject).await?, ..Found::default() };
    let payments = payments(subject).await?;
    found.batches = payments.batches.len() as u64;
    let due = owed(subject, expected, &payments, &mut found)?;
    balances(subject, &due, &mut found).await?;
    gas(subject, &payments, &mut found).await?;
    ledger(subject, &payments, &mut found).await?;
    Ok(found)
}

/// Counts decisions in the log's rows.
async fn decided(subject: &Subject<'_>) -> anyhow::Result<Decided> {
    let mut decided = Decided::default();
    let mut after = 0;
    loop {
        let rows = subject.store.read_log(subject.stream, after, FOLLOW_ROWS_MAX).await?;
        let Some(last) = rows.last() else { return Ok(decided) };
        after = last.seq;
        for row in &rows {
            match row.decode()?.body {
                Body::ClaimDecided(claim) => {
                    decided.claims += 1;
                    decided.redirected += u64::from(claim.redirect.is_some());
                    decided.by_contract += u64::from(claim.signed_by == SignedBy::Contract);
                }
                Body::Pushed(pushed) => {
                    decided.pushed +=
                        pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum::<u64>();
                }
                Body::ClaimRefused(refused) => {
                    *decided.refused.entry(refused.code.as_str()).or_default() += 1
                }
                _ => {}
            }
        }
    }
}

/// Reads every event of the campaign's contracts.
async fn payments(subject: &Subject<'_>) -> anyhow::Result<Payments> {
    let watched =
        [Watched { campaign: subject.campaign, distributor: subject.distributor, token: subject.token }];
    let latest = subject.chain.latest().await?.number;
    let mut payments = Payments::default();
    let mut from = subject.deployed_at;
    while from <= latest {
        let to = latest.min(from + LOG_BLOCKS_MAX - 1);
        for block in subject.chain.events(from, to, &watched, None).await?.blocks {
            for located in block.events {
                if let Event::Campaign { event, .. } = located.event {
                    payments.take(located.tx_hash, event);
                }
            }
        }
        from = to + 1;
    }
    Ok(payments)
}

impl Payments {
    fn take(&mut self, transaction: B256, event: CampaignEvent) {
        match event {
            CampaignEvent::Funded { amount, .. } => self.funded += amount.get(),
            CampaignEvent::BatchSettled { batch, .. } => {
                self.batches.insert(batch);
            }
            CampaignEvent::Settled(mask) => {
                for index in mask.indexes() {
                    self.paid(transaction, EntitlementId { round: mask.round, index }, Way::Settled, None);
                }
            }
            CampaignEvent::Redirected { entitlement, to } => {
                self.paid(transaction, entitlement, Way::Redirected, Some(to));
            }
            CampaignEvent::Claimed { entitlement, to } => {
                self.paid(transaction, entitlement, Way::Claimed, Some(to));
            }
            _ => {}
        }
    }

    fn paid(&mut self, transaction: B256, id: EntitlementId, way: Way, to: Option<Address>) {
        self.ways.entry(id).or_default().push((way, to));
        *self.transactions.entry(transaction).or_default().entry(way).or_default() += 1;
    }
}

/// What each address must hold: listed amounts, where the chain says each entitlement went.
fn owed(
    subject: &Subject<'_>,
    expected: &(dyn Fn(u64) -> bool + Sync),
    payments: &Payments,
    found: &mut Found,
) -> anyhow::Result<HashMap<Address, u128>> {
    let mut due: HashMap<Address, u128> = HashMap::new();
    for index in 0..subject.snapshot.count() {
        let entitlement = subject.snapshot.entitlement(index).context("the snapshot ends early")?;
        let id = EntitlementId { round: subject.round, index };
        let paid = payments.ways.get(&id).map_or(&[][..], Vec::as_slice);
        found.paid += paid.len() as u64;
        if paid.len() > 1 {
            found.twice += 1;
            found.differs(format!("entitlement {index} was paid {} times: {paid:?}", paid.len()));
        }
        match (expected(index), paid.first()) {
            (true, None) => {
                found.lost += 1;
                found.differs(format!("entitlement {index} was not paid"));
            }
            (false, Some(_)) => {
                found.unasked += 1;
                found.differs(format!("entitlement {index} was paid and nobody asked"));
            }
            _ => {}
        }
        // Listed recipients that hold nothing yet are asked too: nobody may have got what is another's.
        let to = paid.first().and_then(|(_, to)| *to).unwrap_or(entitlement.recipient);
        *due.entry(entitlement.recipient).or_default() += 0;
        *due.entry(to).or_default() += if paid.is_empty() { 0 } else { entitlement.amount.get() };
    }
    Ok(due)
}

/// Compares every address's balance on chain with what it must hold, and the sum with what left the Distributor.
async fn balances(
    subject: &Subject<'_>,
    due: &HashMap<Address, u128>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    let addresses: Vec<Address> = due.keys().copied().collect();
    let asking = addresses.chunks(BALANCES_AT_ONCE).map(|chunk| balances_of(&http, subject, chunk));
    let mut answers = stream::iter(asking).buffer_unordered(BATCHES_AT_ONCE);
    let mut sum: u128 = 0;
    while let Some(answer) = answers.try_next().await? {
        for (address, balance) in answer {
            found.balances += 1;
            sum = sum.checked_add(balance).context("balances overflow")?;
            if balance != due[&address] {
                found.lost += 1;
                found.differs(format!(
                    "{address} holds {balance} base units and should hold {}",
                    due[&address]
                ));
            }
        }
    }
    found.sum = Total(sum);
    Ok(())
}

/// Balances by one JSON-RPC batch: a quarter of a million single requests would take minutes.
async fn balances_of(
    http: &reqwest::Client,
    subject: &Subject<'_>,
    addresses: &[Address],
) -> anyhow::Result<Vec<(Address, u128)>> {
    let request = |(id, address): (usize, &Address)| {
        let data = [&hex!("70a08231")[..], address.into_word().as_slice()].concat();
        let call = json!({ "to": subject.token, "data": Bytes::from(data) });
        json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": [call, "latest"] })
    };
    let body: Vec<Value> = addresses.iter().enumerate().map(request).collect();
    let answers: Vec<Value> = http.post(subject.rpc).json(&body).send().await?.json().await?;
    ensure!(
        answers.len() == addresses.len(),
        "asked for {} balances, got {}",
        addresses.len(),
        answers.len()
    );
    let read = |answer: &Value| {
        let id = answer["id"].as_u64().and_then(|id| usize::try_from(id).ok());
        let address = id.and_then(|id| addresses.get(id)).context("an answer to nothing asked")?;
        let balance = answer["result"].as_str().and_then(|text| text.parse::<U256>().ok());
        let balance = balance.with_context(|| format!("no balance of {address}: {answer}"))?;
        Ok((*address, u128::try_from(balance).context("a balance above 2^128")?))
    };
    answers.iter().map(read).collect()
}

/// Gas of the paying transactions, from their receipts. A transaction pays in one way.
async fn gas(subject: &Subject<'_>, payments: &Payments, found: &mut Found) -> anyhow::Result<()> {
    let asking = payments.transactions.iter().map(|(hash, ways)| async move {
        let receipt = subject.chain.receipt(*hash).await?;
        Ok::<_, anyhow::Error>((receipt.with_context(|| format!("transaction {hash} has no receipt"))?, ways))
    });
    let mut receipts = stream::iter(asking).buffer_unordered(RECEIPTS_AT_ONCE);
    while let Some((receipt, ways)) = receipts.try_next().await? {
        for (way, count) in ways {
            let (paid, gas, transactions) = found.ways.entry(*way).or_default();
            *paid += count;
            *gas += receipt.gas_used;
            *transactions += 1;
        }
    }
    Ok(())
}

/// Compares the ledger's rows with the chain: what came in, what went out, what is left.
async fn ledger(subject: &Subject<'_>, payments: &Payments, found: &mut Found) -> anyhow::Result<()> {
    found.ledger = subject.store.ledger(subject.campaign).await?;
    let balance = |account: Account| found.ledger.get(&account).copied().unwrap_or(0);
    let left = subject.chain.token_balance(subject.token, subject.distributor, At::Latest).await?;
    let number = |value: u128| i128::try_from(value).context("a sum above 2^127");
    let kept = balance(Account::Free) + balance(Account::Reserved) + balance(Account::Voided);
    let pairs = [
        ("funded", -balance(Account::Funded), number(payments.funded)?),
        ("paid", balance(Account::Paid), number(found.sum.get())?),
        ("kept", kept, number(left.get())?),
    ];
    found.ledger_is_chain = pairs.iter().all(|(_, ledger, chain)| ledger == chain);
    for (what, ledger, chain) in pairs {
        if ledger != chain {
            found.differs(format!("{what}: the ledger says {ledger} base units, the chain {chain}"));
        }
    }
    Ok(())
}
