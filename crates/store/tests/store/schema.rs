//! The schema itself refuses what must not be, whoever asks.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::database;

/// A table with a row it takes, and values of single columns that it does not.
struct Table {
    name: &'static str,
    row: &'static [(&'static str, &'static str)],
    refused: &'static [(&'static str, &'static str)],
    /// Sets of columns of which no two rows may agree in all: everything else is changed in the second row.
    unique: &'static [&'static [&'static str]],
}

const HASH: &str = "sha256('x')";
const ID: &str = "'00000000-0000-0000-0000-000000000001'";
const MISSING: &str = "NULL";

const TABLES: &[Table] = &[
    Table {
        name: "project",
        row: &[("id", ID), ("name", "'p'")],
        refused: &[("id", MISSING), ("name", "''"), ("name", "repeat('n', 201)"), ("name", MISSING)],
        unique: &[&["id"], &["name"]],
    },
    Table {
        name: "api_key",
        row: &[("id", ID), ("project", "(SELECT id FROM project)"), ("hash", HASH), ("label", "'l'")],
        refused: &[
            ("hash", "'short'"),
            ("hash", MISSING),
            ("project", "'00000000-0000-0000-0000-0000000000ff'"),
            ("project", MISSING),
            ("label", MISSING),
        ],
        unique: &[&["id"], &["hash"]],
    },
    Table {
        name: "node",
        row: &[("holder", "'h'")],
        refused: &[("holder", "''"), ("holder", MISSING)],
        unique: &[],
    },
    Table {
        name: "snapshot",
        row: &[("list_hash", HASH), ("uri", "'u'"), ("size", "1")],
        refused: &[
            ("list_hash", "'short'"),
            ("uri", "''"),
            ("size", "0"),
            ("size", MISSING),
            ("uri", MISSING),
        ],
        unique: &[&["list_hash"]],
    },
    Table {
        name: "intake",
        row: &[
            ("campaign", ID),
            ("node", "1"),
            ("n", "1"),
            ("claim_id", ID),
            ("body_hash", HASH),
            ("body", "'b'"),
            ("place", "0"),
            ("estimate_ms", "0"),
            ("accepted_at", "'2026-11-21 10:00:00.123Z'"),
            ("decide_by", "'2026-11-21 10:01:00Z'"),
        ],
        refused: &[
            ("campaign", MISSING),
            ("node", "0"),
            ("n", "0"),
            ("claim_id", MISSING),
            ("body_hash", "'short'"),
            ("body", "''"),
            ("body", "repeat('b', 1048577)::bytea"),
            ("place", "-1"),
            ("estimate_ms", "-1"),
            ("accepted_at", "'2026-11-21 10:00:00.1234Z'"),
            ("decide_by", "'2026-11-21 09:59:59Z'"),
            ("decide_by", MISSING),
        ],
        unique: &[&["campaign", "node", "n"], &["campaign", "claim_id"]],
    },
    Table {
        name: "head",
        row: &[("stream", "0"), ("epoch", "1"), ("holder", "'h'"), ("lease_until", "now()")],
        refused: &[("stream", "-1"), ("epoch", "0"), ("holder", "''"), ("lease_until", MISSING)],
        unique: &[&["stream"]],
    },
    Table {
        name: "log",
        row: &[
            ("stream", "0"),
            ("seq", "1"),
            ("epoch", "1"),
            ("kind", "1"),
            ("entry", "'ee'"),
            ("leaf", HASH),
            ("campaign", ID),
            ("node", "1"),
            ("n", "1"),
        ],
        refused: &[
            ("stream", "-1"),
            ("seq", "0"),
            ("epoch", "0"),
            ("kind", "0"),
            ("entry", "'e'"),
            ("leaf", "'short'"),
            ("campaign", MISSING),
            ("node", MISSING),
            ("n", MISSING),
            ("node", "0"),
            ("n", "0"),
            ("seq", "990000000000"),
        ],
        unique: &[&["stream", "seq"]],
    },
    Table {
        name: "tile",
        row: &[("stream", "0"), ("level", "1"), ("n", "0"), ("hashes", "repeat('h', 8192)::bytea")],
        refused: &[("stream", "-1"), ("level", "0"), ("level", "8"), ("n", "-1"), ("hashes", HASH)],
        unique: &[&["stream", "level", "n"]],
    },
    Table {
        name: "attempt",
        row: &[
            ("stream", "0"),
            ("seq", "1"),
            ("campaign", ID),
            ("batch", "0"),
            ("chain", "1"),
            ("lane", "substr(sha256('l'), 1, 20)"),
            ("nonce", "0"),
            ("hash", HASH),
            ("raw", "'r'"),
        ],
        refused: &[
            ("stream", "-1"),
            ("seq", "0"),
            ("campaign", MISSING),
            ("batch", "-1"),
            ("chain", "0"),
            ("lane", HASH),
            ("nonce", "-1"),
            ("hash", "'short'"),
            ("raw", "''"),
            ("raw", "repeat('r', 131073)::bytea"),
        ],
        unique: &[&["chain", "lane", "nonce", "hash"], &["hash"]],
    },
    Table {
        name: "checkpoint",
        row: &[("stream", "0"), ("size", "1"), ("note", "'n'"), ("state_hash", HASH)],
        refused: &[("stream", "-1"), ("size", "0"), ("note", "''"), ("state_hash", "'short'")],
        unique: &[&["stream", "size"]],
    },
    Table {
        name: "fact",
        row: &[
            ("stream", "0"),
            ("seq", "1"),
            ("about", HASH),
            ("body", "repeat('b', 17)::bytea"),
            ("seal_key", "'8 bytes.'"),
            ("wrapped", "repeat('w', 72)::bytea"),
        ],
        refused: &[
            ("stream", "-1"),
            ("seq", "0"),
            ("about", "substr(sha256('x'), 1, 21)"),
            ("about", MISSING),
            ("body", "repeat('b', 16)::bytea"),
            ("body", "repeat('b', 65553)::bytea"),
            ("body", MISSING),
            ("seal_key", HASH),
            ("seal_key", MISSING),
            ("wrapped", HASH),
            ("wrapped", MISSING),
        ],
        unique: &[&["stream", "seq"]],
    },
    Table {
        name: "state_page",
        row: &[("stream", "0"), ("seq", "1"), ("page", "0"), ("pages", "1"), ("bytes", "'b'")],
        refused: &[
            ("stream", "-1"),
            ("seq", "0"),
            ("page", "-1"),
            ("page", "1"),
            ("pages", "0"),
            ("bytes", "''"),
            ("bytes", "repeat('b', 1048577)::bytea"),
        ],
        unique: &[&["stream", "seq", "page"]],
    },
    Table {
        name: "outbox",
        row: &[("project", "(SELECT id FROM project)"), ("topic", "'t'"), ("body", "'b'"), ("tries", "0")],
        refused: &[("topic", "''"), ("body", "''"), ("tries", "-1"), ("project", ID)],
        unique: &[],
    },
];

async fn run(session: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.map(drop)
}

fn insert(table: &str, row: &[(&str, &str)]) -> String {
    let columns: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
    let values: Vec<&str> = row.iter().map(|(_, value)| *value).collect();
    format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), values.join(", "))
}

fn with<'a>(row: &[(&'a str, &'a str)], column: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    row.iter().map(|(name, old)| (*name, if *name == column { value } else { *old })).collect()
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

#[tokio::test]
async fn every_constraint_refuses_what_it_is_there_for() {
    let db = database().await;
    let mut session = db.raw().await;
    run(&mut session, "INSERT INTO project VALUES ('00000000-0000-0000-0000-0000000000aa', 'owner')")
        .await
        .unwrap();
    for table in TABLES {
        // The row as such is taken, so each refusal below is due to the one value that differs.
        let mut attempt = session.begin().await.unwrap();
        run(&mut attempt, &insert(table.name, table.row))
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", table.name));
        attempt.rollback().await.unwrap();
        for (column, value) in table.refused {
            let sql = insert(table.name, &with(table.row, column, value));
            let error = run(&mut session, &sql).await.expect_err(&sql);
            assert!(code(&error).starts_with("23"), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn every_key_is_unique() {
    let db = database().await;
    let mut session = db.raw().await;
    run(&mut session, "INSERT INTO project VALUES ('00000000-0000-0000-0000-0000000000aa', 'owner')")
        .await
        .unwrap();
    // Another valid value for each column that may stand in a key.
    let other = |column: &str| match column {
        "id" | "claim_id" | "campaign" => "'00000000-0000-0000-0000-000000000002'",
        "name" => "'another'",
        "hash" | "list_hash" => "sha256('y')",
        "lane" => "substr(sha256('m'), 1, 20)",
        "pages" => "9",
        _ => "7",
    };
    for table in TABLES {
        for key in table.unique {
            let mut attempt = session.begin().await.unwrap();
            run(&mut attempt, &insert(table.name, table.row)).await.unwrap();
            let mut changed = table.row.to_vec();
            let keys: Vec<&str> = table.unique.iter().flat_map(|key| key.iter().copied()).collect();
            for column in keys.iter().filter(|column| !key.contains(column)) {
                changed = with(&changed, column, other(column));
            }
            let error = run(&mut attempt, &insert(table.name, &changed)).await.expect_err(table.name);
            assert_eq!(code(&error), "23505", "{} {key:?}: {error}", table.name);
            attempt.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn postings_balance_per_position_and_campaign() {
    let db = database().await;
    let mut session = db.raw().await;
    let (a, b) = (ID, "'00000000-0000-0000-0000-000000000002'");
    let values = |rows: &[(u64, &str, u8, &str)]| {
        let rows: Vec<_> =
            rows.iter().map(|(seq, c, kind, amount)| format!("(0, {seq}, {c}, {kind}, {amount})")).collect();
        format!("INSERT INTO posting VALUES {}", rows.join(", "))
    };
    for refused in [
        values(&[(1, a, 2, "5")]),
        values(&[(1, a, 1, "-5"), (1, a, 2, "4")]),
        values(&[(1, a, 1, "-5"), (1, b, 2, "5")]),
        values(&[(1, a, 1, "-5"), (2, a, 2, "5")]),
        values(&[(1, a, 1, "-5"), (1, a, 2, "5"), (1, a, 3, "0")]),
        values(&[(1, a, 0, "-5"), (1, a, 2, "5")]),
        values(&[(1, a, 7, "-5"), (1, a, 2, "5")]),
        values(&[(0, a, 1, "-5"), (0, a, 2, "5")]),
    ] {
        let error = run(&mut session, &refused).await.expect_err(&refused);
        assert_eq!(code(&error), "23514", "{refused}: {error}");
    }
    let wide = "99999999999999999999999999999999999999";
    run(&mut session, &values(&[(1, a, 1, &format!("-{wide}")), (1, a, 2, wide)])).await.unwrap();
    let error = run(&mut session, &values(&[(1, a, 2, "-1"), (1, a, 3, "1")])).await.unwrap_err();
    assert_eq!(code(&error), "23505", "an account has one posting a position: {error}");
}

#[tokio::test]
async fn what_is_written_is_never_changed() {
    let db = database().await;
    let mut session = db.raw().await;
    run(&mut session, "INSERT INTO project VALUES ('00000000-0000-0000-0000-0000000000aa', 'owner')")
        .await
        .unwrap();
    for table in TABLES.iter().filter(|table| table.name != "project") {
        run(&mut session, &insert(table.name, table.row)).await.unwrap();
    }
    // Parents and partitions alike; a statement that would touch no row, too.
    let fixed =
        ["project", "snapshot", "intake", "intake_03", "log", "log_0000000000", "tile", "attempt", "posting"];
    for table in fixed.into_iter().chain(["checkpoint"]) {
        let column = if ["project"].contains(&table) { "name = 'x'" } else { "" };
        let set = match table {
            "snapshot" => "size = 2",
            "attempt" | "posting" => "seq = 2",
            "checkpoint" => "note = 'x'",
            _ if column.is_empty() => "n = 2",
            _ => column,
        };
        for sql in [
            format!("UPDATE {table} SET {set}"),
            format!("UPDATE {table} SET {set} WHERE false"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ] {
            let error = run(&mut session, &sql).await.expect_err(&sql);
            assert_eq!(code(&error), "23001", "{sql}: {error}");
        }
    }
    for table in ["node", "head", "api_key"] {
        for sql in [format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
            let error = run(&mut session, &sql).await.expect_err(&sql);
            assert_eq!(code(&error), "23001", "{sql}: {error}");
        }
    }
    let error = run(&mut session, "UPDATE state_page SET seq = 2").await.unwrap_err();
    assert_eq!(code(&error), "23001", "{error}");
}

#[tokio::test]
async fn the_few_changes_that_are_allowed_go_one_way() {
    let db = database().await;
    let mut session = db.raw().await;
    run(&mut session, "INSERT INTO project VALUES ('00000000-0000-0000-0000-0000000000aa', 'owner')")
        .await
        .unwrap();
    for table in TABLES.iter().filter(|table| ["head", "api_key", "node"].contains(&table.name)) {
        run(&mut session, &insert(table.name, table.row)).await.unwrap();
    }
    run(&mut session, "UPDATE head SET lease_until = now(); UPDATE head SET epoch = 5, holder = 'i'")
        .await
        .unwrap();
    for sql in ["UPDATE head SET epoch = 4", "UPDATE head SET holder = 'j'", "UPDATE head SET stream = 1"] {
        assert_eq!(code(&run(&mut session, sql).await.expect_err(sql)), "23001", "{sql}");
    }
    let error = run(&mut session, "UPDATE api_key SET label = 'x'").await.unwrap_err();
    assert_eq!(code(&error), "23001", "{error}");
    run(&mut session, "UPDATE api_key SET revoked_at = now() + interval '1 s'").await.unwrap();
    for sql in
        ["UPDATE api_key SET revoked_at = NULL", "UPDATE api_key SET revoked_at = now() + interval '1 h'"]
    {
        assert_eq!(code(&run(&mut session, sql).await.expect_err(sql)), "23001", "{sql}");
    }
    let sql = "UPDATE node SET last_seen = started_at - interval '1 s'";
    assert_eq!(code(&run(&mut session, sql).await.unwrap_err()), "23514");
    let sql = "INSERT INTO node (id, holder) VALUES (77, 'chosen')";
    assert_eq!(code(&run(&mut session, sql).await.unwrap_err()), "428C9", "numbers are given, not chosen");
}
