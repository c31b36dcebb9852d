//! The tables a cycle is made of: a list, its changes, the last round's states.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, B256};
use anyhow::{Context, bail, ensure};
use csv::StringRecord;
use sluice_core::amount::Amount;

/// Who an entitlement is for.
pub(super) type Key = (Address, Option<B256>);

/// What is to happen with an entitlement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// List it.
    Add(Amount),
    /// Take it off the list.
    Remove,
    /// Give it another amount.
    Amend(Amount),
}

/// States of a report in which nothing is owed any more, or nothing must be paid again.
const SETTLED: [&str; 3] = ["final", "paid", "voided"];

/// A list by address and person, and whether it names persons.
pub(super) fn list(path: &Path, decimals: u8) -> anyhow::Result<(BTreeMap<Key, Amount>, bool)> {
    let table = Table::read(path, &["address", "amount"])?;
    let persons = table.has("person");
    let mut list = BTreeMap::new();
    for (row, record) in &table.rows {
        let key = table.key(*row, record, persons)?;
        let amount = table.amount(*row, record, decimals)?;
        ensure!(
            list.insert(key, amount).is_none(),
            "{}, row {row}: {} is listed twice",
            path.display(),
            name(&key)
        );
    }
    Ok((list, persons))
}

/// Changes with their rows, in the file's order.
pub(super) fn changes(path: &Path, persons: bool, decimals: u8) -> anyhow::Result<Vec<(u64, Key, Change)>> {
    let mut columns = vec!["change", "address", "amount"];
    columns.extend(persons.then_some("person"));
    let table = Table::read(path, &columns)?;
    let mut changes = Vec::with_capacity(table.rows.len());
    for (row, record) in &table.rows {
        let key = table.key(*row, record, persons)?;
        let change = match table.get(record, "change") {
            "add" => Change::Add(table.amount(*row, record, decimals)?),
            "remove" => Change::Remove,
            "change" => Change::Amend(table.amount(*row, record, decimals)?),
            other => {
                bail!(
                    "{}, row {row}, column change: {other:?} is none of add, remove, change",
                    path.display()
                )
            }
        };
        changes.push((*row, key, change));
    }
    Ok(changes)
}

/// What of a round is neither paid nor annulled. A payment that is seen on chain but not final counts as paid: run the
/// report again once it is final.
pub(super) fn unpaid(path: &Path, round: u64, decimals: u8) -> anyhow::Result<Vec<(Key, Amount)>> {
    let table = Table::read(path, &["round", "recipient", "person", "amount", "state"])?;
    let wanted = round.to_string();
    let of_round: Vec<_> = table.rows.iter().filter(|(_, r)| table.get(r, "round") == wanted).collect();
    ensure!(!of_round.is_empty(), "{} has no rows of round {round}", path.display());
    let mut unpaid = Vec::new();
    for (row, record) in of_round {
        if SETTLED.contains(&table.get(record, "state")) {
            continue;
        }
        let at = || format!("{}, row {row}", path.display());
        let recipient = table.get(record, "recipient");
        let recipient =
            recipient.parse().with_context(|| format!("{}: {recipient:?} is no address", at()))?;
        let person = match table.get(record, "person") {
            "" => None,
            text => Some(text.parse().with_context(|| format!("{}: {text:?} is no person's id", at()))?),
        };
        unpaid.push(((recipient, person), table.amount(*row, record, decimals)?));
    }
    Ok(unpaid)
}

/// How an entitlement is named in messages.
pub(super) fn name((address, person): &Key) -> String {
    match person {
        Some(person) => format!("{address} for person {person}"),
        None => address.to_string(),
    }
}

/// A CSV file with its header.
struct Table<'a> {
    path: &'a Path,
    header: StringRecord,
    rows: Vec<(u64, StringRecord)>,
}

impl<'a> Table<'a> {
    fn read(path: &'a Path, columns: &[&str]) -> anyhow::Result<Self> {
        let named = || format!("cannot read {}", path.display());
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).with_context(named)?;
        let header = reader.headers().with_context(named)?.clone();
        let missing: Vec<_> = columns.iter().filter(|name| !header.iter().any(|h| h == **name)).collect();
        ensure!(
            missing.is_empty(),
            "{}: the header lacks {missing:?}; the columns are {}",
            path.display(),
            columns.join(",")
        );
        let rows: Result<Vec<_>, _> =
            (2..).zip(reader.records()).map(|(row, record)| record.map(|record| (row, record))).collect();
        Ok(Self { path, header, rows: rows.with_context(named)? })
    }

    fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    fn get<'r>(&self, record: &'r StringRecord, column: &str) -> &'r str {
        let at = self.header.iter().position(|name| name == column);
        at.and_then(|at| record.get(at)).unwrap_or_default()
    }

    fn key(&self, row: u64, record: &StringRecord, persons: bool) -> anyhow::Result<Key> {
        let at = |column: &str, what: &str, text: &str| {
            format!("{}, row {row}, column {column}: {text:?} is no {what}", self.path.display())
        };
        let address = self.get(record, "address");
        let address: Address = address.parse().with_context(|| at("address", "address", address))?;
        let person = self.get(record, "person");
        let person = match persons {
            true => Some(person.parse().with_context(|| at("person", "person's id", person))?),
            false => None,
        };
        Ok((address, person))
    }

    fn amount(&self, row: u64, record: &StringRecord, decimals: u8) -> anyhow::Result<Amount> {
        let text = self.get(record, "amount");
        let amount = Amount::parse_decimal(text, decimals).map_err(|error| {
            anyhow::anyhow!("{}, row {row}, column amount: {text:?} {error}", self.path.display())
        })?;
        ensure!(amount.get() > 0, "{}, row {row}, column amount: 0 is no entitlement", self.path.display());
        Ok(amount)
    }
}
