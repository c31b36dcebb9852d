//! A list of orders as CSV: one in each row, under a header.

use std::path::Path;

use anyhow::{Context, ensure};
use csv::StringRecord;
use sluice_core::command::Action;
use sluice_core::limits::LIST_ITEMS_MAX;

/// A row with its columns' names.
#[derive(Debug)]
pub struct Row<'a> {
    header: &'a StringRecord,
    record: &'a StringRecord,
}

impl Row<'_> {
    /// A column's value.
    ///
    /// # Errors
    /// Naming the column whose value is none.
    pub fn get<T>(&self, column: &str, read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
        let at = self.header.iter().position(|name| name == column);
        let text = at.and_then(|at| self.record.get(at)).with_context(|| format!("no column {column}"))?;
        read(text).map_err(|why| anyhow::anyhow!("column {column}: {text:?}: {why}"))
    }
}

/// Reads the rows as actions; all of them or none.
///
/// # Errors
/// Naming the row that is wrong.
pub fn read(
    path: &Path,
    columns: &[&str],
    action: impl Fn(&Row<'_>) -> anyhow::Result<Action>,
) -> anyhow::Result<Vec<Action>> {
    let named = || format!("--list {}", path.display());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).with_context(named)?;
    let header = reader.headers().with_context(named)?.clone();
    let missing: Vec<&&str> = columns.iter().filter(|name| !header.iter().any(|h| h == **name)).collect();
    ensure!(
        missing.is_empty(),
        "{}: the header lacks {missing:?}; the columns are {}",
        named(),
        columns.join(",")
    );
    let mut actions = Vec::new();
    for (row, record) in (2..).zip(reader.records()) {
        let at = || format!("{}, row {row}", named());
        let record = record.with_context(at)?;
        actions.push(action(&Row { header: &header, record: &record }).with_context(at)?);
        ensure!(
            actions.len() <= LIST_ITEMS_MAX,
            "{}: more than {LIST_ITEMS_MAX} rows; sign several lists",
            named()
        );
    }
    ensure!(!actions.is_empty(), "{}: no rows below the header", named());
    Ok(actions)
}
