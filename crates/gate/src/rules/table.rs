//! Decision tables: rules as CSV, compiled to Cedar.
//!
//! Each row after the header is a rule. A column's header names a fact and, if need be, an operator; an empty cell sets
//! no condition. Rows are not tried one after another: a payment needs a `permit` row whose conditions all hold, and no
//! `forbid` row whose conditions all hold.
//!
//! | header | cell |
//! |---|---|
//! | `amount <=`, `<`, `>=`, `>` | token units, at most four digits after the point |
//! | `round`, `index`, `date` (yyyymmdd, UTC), `year`, `month`, `day`, `weekday` (1 is Monday), `hour` | a whole number; any operator |
//! | `recipient`, `to`, `person`, `campaign` | text, addresses in lower case |
//! | `redirected` | `true` or `false` |
//! | `residency.country`, or `country` if one attestation has it | by the field's type; a set of strings must contain the cell |
//! | `outcome` (needed) | `permit` or `forbid` |
//! | `reason`, `message`, `claimant` | the annotations of that name |
//! | `id` | the policy's id; `row-2`, `row-3`, … where there is no such column |
//!
//! Operators are `=` (or none), `!=`, `<=`, `<`, `>=`, `>`. With `=`, several values stand in a cell between `|`.

use super::facts::Fixed4;
use super::policies::{POLICIES_MAX, is_id};
use super::problem::{Problem, Problems};
use super::types::{AttestationTypes, FieldType};

/// Columns of a table.
const COLUMNS_MAX: usize = 64;

/// The Cedar policies of a decision table. Every problem names its row (the header is row 1) and column.
pub fn to_cedar(csv: &str, attestations: &AttestationTypes) -> Result<String, Problems> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(csv.as_bytes());
    let header = reader.headers().map_err(|error| problem(1, 0, format!("no header: {error}")))?.clone();
    let columns = columns(&header, attestations)?;
    let mut problems = Vec::new();
    let mut text = String::new();
    for (index, record) in reader.records().enumerate() {
        let row = index + 2;
        match record {
            Err(error) => problems.push(problem(row, 0, format!("not a row of this table: {error}"))),
            Ok(_) if index >= POLICIES_MAX => {
                problems.push(problem(row, 0, format!("at most {POLICIES_MAX} rows are taken")));
                break;
            }
            Ok(record) => match policy(&columns, &record, row) {
                Ok(policy) => text.push_str(&policy),
                Err(found) => problems.extend(found),
            },
        }
    }
    if text.is_empty() && problems.is_empty() {
        problems.push(problem(1, 0, "no rows below the header, so nothing would be permitted"));
    }
    if problems.is_empty() { Ok(text) } else { Err(Problems(problems)) }
}

fn problem(row: usize, column: usize, message: impl Into<String>) -> Problem {
    Problem { part: "table", line: row, column, message: message.into() }
}

enum Column {
    Id,
    Outcome,
    Annotation(&'static str),
    Condition { fact: Fact, op: Op },
}

/// Something that a condition is about.
struct Fact {
    /// Its Cedar expression; empty for the amount, which has two.
    path: String,
    kind: Kind,
    /// What must be there before it can be read.
    guard: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Amount,
    Field(FieldType),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Eq,
    NotEq,
    AtMost,
    Below,
    AtLeast,
    Above,
}

impl Op {
    /// Longer spellings first, so that `<=` is not read as `<`.
    const SPELLINGS: [(&'static str, Self); 6] = [
        ("!=", Self::NotEq),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("=", Self::Eq),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    fn sign(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::NotEq => "!=",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::AtLeast => ">=",
            Self::Above => ">",
        }
    }

    /// The method that compares decimals; they have none for equality other than `==`.
    fn decimal(self) -> Option<&'static str> {
        match self {
            Self::Eq | Self::NotEq => None,
            Self::AtMost => Some("lessThanOrEqual"),
            Self::Below => Some("lessThan"),
            Self::AtLeast => Some("greaterThanOrEqual"),
            Self::Above => Some("greaterThan"),
        }
    }
}

fn columns(header: &csv::StringRecord, attestations: &AttestationTypes) -> Result<Vec<Column>, Problems> {
    let mut problems = Vec::new();
    let mut columns = Vec::with_capacity(header.len());
    if header.len() > COLUMNS_MAX {
        return Err(
            problem(1, 0, format!("{} columns; at most {COLUMNS_MAX} are taken", header.len())).into()
        );
    }
    for (index, name) in header.iter().enumerate() {
        if header.iter().take(index).any(|earlier| earlier == name) {
            problems.push(problem(1, index + 1, format!("the column {name:?} stands there twice")));
        }
        match column(name, attestations) {
            Ok(column) => columns.push(column),
            Err(message) => problems.push(problem(1, index + 1, message)),
        }
    }
    if !header.iter().any(|name| name == "outcome") {
        problems.push(problem(1, 0, "no column `outcome`, whose cells say permit or forbid"));
    }
    if problems.is_empty() { Ok(columns) } else { Err(Problems(problems)) }
}

fn column(header: &str, attestations: &AttestationTypes) -> Result<Column, String> {
    match header {
        "id" => return Ok(Column::Id),
        "outcome" => return Ok(Column::Outcome),
        "reason" => return Ok(Column::Annotation("reason")),
        "message" => return Ok(Column::Annotation("message")),
        "claimant" => return Ok(Column::Annotation("claimant")),
        _ => {}
    }
    let spelled = Op::SPELLINGS
        .iter()
        .find_map(|(spelling, op)| header.strip_suffix(spelling).map(|name| (name.trim_end(), *op)));
    let (name, op) = spelled.unwrap_or((header, Op::Eq));
    let fact = fact(name, attestations)?;
    let ordered = !matches!(op, Op::Eq | Op::NotEq);
    match fact.kind {
        Kind::Amount if !ordered => {
            Err("amounts are rounded, so they have no equality: write `amount <=`, `amount <`, `amount >=` or `amount >`".into())
        }
        Kind::Field(FieldType::Bool | FieldType::String | FieldType::Strings) if ordered => {
            Err(format!("{name} has no order; use `{name}` or `{name} !=`"))
        }
        _ => Ok(Column::Condition { fact, op }),
    }
}

fn fact(name: &str, attestations: &AttestationTypes) -> Result<Fact, String> {
    let plain =
        |path: &str, kind| Ok(Fact { path: format!("context.{path}"), kind: Kind::Field(kind), guard: None });
    match name {
        "amount" => return Ok(Fact { path: String::new(), kind: Kind::Amount, guard: None }),
        "round" | "index" => return plain(name, FieldType::Long),
        "date" | "year" | "month" | "day" | "weekday" | "hour" => {
            return plain(&format!("accepted.{name}"), FieldType::Long);
        }
        "recipient" | "to" | "campaign" => return plain(name, FieldType::String),
        "redirected" => return plain(name, FieldType::Bool),
        "person" => {
            let guard = Some("context has person".to_owned());
            return Ok(Fact { path: "context.person".into(), kind: Kind::Field(FieldType::String), guard });
        }
        _ => {}
    }
    let fields = attestations.iter().flat_map(|(attestation, shape)| {
        shape.fields.iter().map(move |(field, kind)| (attestation, shape.required, field, *kind))
    });
    let mut found = fields.filter(|(attestation, _, field, _)| match name.split_once('.') {
        Some((wanted, wanted_field)) => *attestation == wanted && *field == wanted_field,
        None => *field == name,
    });
    let Some((attestation, required, field, kind)) = found.next() else {
        return Err(format!("{name:?} is no fact and no field of the manifest's attestations"));
    };
    if let Some((other, ..)) = found.next() {
        return Err(format!(
            "{name:?} is a field of {attestation} and of {other}; write `{attestation}.{name}`"
        ));
    }
    Ok(Fact {
        path: format!("context.attestations.{attestation}.{field}"),
        kind: Kind::Field(kind),
        guard: (!required).then(|| format!("context.attestations has {attestation}")),
    })
}

fn policy(columns: &[Column], record: &csv::StringRecord, row: usize) -> Result<String, Vec<Problem>> {
    let cells =
        || columns.iter().zip(record).enumerate().map(|(index, (column, cell))| (index + 1, column, cell));
    let mut problems = Vec::new();
    let mut permits = false;
    let mut id = format!("row-{row}");
    let mut annotations = String::new();
    for (number, column, cell) in cells() {
        match column {
            Column::Outcome if cell == "permit" || cell == "forbid" => permits = cell == "permit",
            Column::Outcome => {
                problems.push(problem(row, number, format!("{cell:?} is neither permit nor forbid")))
            }
            Column::Id if is_id(cell) => id = cell.to_owned(),
            Column::Id => problems.push(problem(
                row,
                number,
                format!("{cell:?} is no id: 1 to 64 of a-z, A-Z, 0-9, -, _ and ."),
            )),
            Column::Annotation(key) if !cell.is_empty() => match quoted(cell) {
                Ok(text) => annotations.push_str(&format!("@{key}({text})\n")),
                Err(message) => problems.push(problem(row, number, message)),
            },
            Column::Annotation(_) | Column::Condition { .. } => {}
        }
    }
    let (mut guards, mut conditions) = (Vec::new(), Vec::new());
    for (number, column, cell) in cells().filter(|(_, _, cell)| !cell.is_empty()) {
        let Column::Condition { fact, op } = column else { continue };
        match condition(fact, *op, cell, permits) {
            Ok(text) => conditions.push(text),
            Err(message) => problems.push(problem(row, number, message)),
        }
        if let Some(guard) = fact.guard.as_ref().filter(|guard| !guards.contains(*guard)) {
            guards.push(guard.clone());
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    guards.append(&mut conditions);
    let effect = if permits { "permit" } else { "forbid" };
    let when = if guards.is_empty() {
        String::new()
    } else {
        format!("\nwhen {{\n  {}\n}}", guards.join(" &&\n  "))
    };
    Ok(format!(
        "@id(\"{id}\")\n{annotations}{effect} (principal, action == Action::\"pay\", resource){when};\n\n"
    ))
}

fn condition(fact: &Fact, op: Op, cell: &str, permits: bool) -> Result<String, String> {
    let path = &fact.path;
    match fact.kind {
        Kind::Amount => {
            // Away from permission: a cap looks at the amount rounded up, a minimum at the amount rounded down, and in
            // a forbid it is the other way about.
            let caps = matches!(op, Op::AtMost | Op::Below);
            let bound = if caps == permits { "amount_up" } else { "amount_down" };
            let method = op.decimal().ok_or("amounts have no equality")?;
            Ok(format!("context.{bound}.{method}({})", decimal(cell)?))
        }
        Kind::Field(FieldType::Decimal) => match op.decimal() {
            Some(method) => Ok(format!("{path}.{method}({})", decimal(cell)?)),
            None => equality(path, op, cell, decimal),
        },
        Kind::Field(FieldType::Bool) => equality(path, op, cell, |value| match value {
            "true" | "false" => Ok(value.to_owned()),
            _ => Err(format!("{value:?} is neither true nor false")),
        }),
        Kind::Field(FieldType::Long) if matches!(op, Op::Eq | Op::NotEq) => equality(path, op, cell, long),
        Kind::Field(FieldType::Long) => Ok(format!("{path} {} {}", op.sign(), long(cell)?)),
        Kind::Field(FieldType::String) => equality(path, op, cell, quoted),
        Kind::Field(FieldType::Strings) => {
            let values: Vec<String> =
                cell.split('|').map(|value| quoted(value.trim())).collect::<Result<_, _>>()?;
            let not = if op == Op::NotEq { "!" } else { "" };
            Ok(format!("{not}{path}.containsAny([{}])", values.join(", ")))
        }
    }
}

fn equality(
    path: &str,
    op: Op,
    cell: &str,
    value: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let values: Vec<String> = cell.split('|').map(|part| value(part.trim())).collect::<Result<_, _>>()?;
    Ok(match (values.as_slice(), op) {
        ([one], _) => format!("{path} {} {one}", op.sign()),
        (many, Op::NotEq) => format!("![{}].contains({path})", many.join(", ")),
        (many, _) => format!("[{}].contains({path})", many.join(", ")),
    })
}

fn decimal(cell: &str) -> Result<String, String> {
    let value: Fixed4 = cell.parse().map_err(|error: super::Fixed4Error| error.to_string())?;
    Ok(format!("decimal(\"{value}\")"))
}

fn long(cell: &str) -> Result<String, String> {
    cell.parse::<i64>().map(|value| value.to_string()).map_err(|_| format!("{cell:?} is not a whole number"))
}

fn quoted(cell: &str) -> Result<String, String> {
    if cell.is_empty() || cell.chars().any(char::is_control) {
        return Err(format!("{cell:?} is empty or holds a control character"));
    }
    Ok(format!("\"{}\"", cell.replace('\\', "\\\\").replace('"', "\\\"")))
}
