//! How the reads of the hot path are carried out.

use std::path::Path;

use sluice_embedded::testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::READ_INTAKE;

/// The plan of a prepared statement once it is planned for any parameters, with what was really done.
async fn plan(session: &mut PgConnection, sql: &str, types: &str, values: &str) -> String {
    let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE probe({types}) AS {sql}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE probe({values})");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(session).await.unwrap();
    lines.join("\n")
}

async fn filled() -> (TestDatabase, PgConnection) {
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
    let database = TestDatabase::new(migrations).await.unwrap();
    let mut session = PgConnection::connect(database.url()).await.unwrap();
    let fill = "INSERT INTO intake (campaign, node, n, claim_id, body_hash, body, place, estimate_ms, decide_by)
                SELECT ('00000000-0000-0000-0000-00000000000' || c)::uuid, node, n, gen_random_uuid(), sha256('b'),
                       'body', 0, 0, now() + interval '1 h'
                FROM generate_series(1, 3) c, generate_series(1, 2) node, generate_series(1, 3000) n;
                ANALYZE intake";
    sqlx::raw_sql(fill).execute(&mut session).await.unwrap();
    (database, session)
}

#[tokio::test]
async fn reading_intake_probes_the_primary_key_and_reads_no_more_than_it_returns() {
    let (_database, mut session) = filled().await;
    let values =
        "ARRAY['00000000-0000-0000-0000-000000000001','00000000-0000-0000-0000-000000000002']::uuid[],
                  ARRAY[1, 2], ARRAY[10, 2990]::bigint[], 20";
    let plan = plan(&mut session, READ_INTAKE, "uuid[], int[], bigint[], bigint", values).await;
    // The probe itself: whole key in the condition, order from the index, at most twenty rows a cursor.
    assert!(plan.contains("_pkey on intake_"), "{plan}");
    assert!(
        plan.contains("Index Cond: ((campaign = c.campaign) AND (node = c.node) AND (n > c.after))"),
        "{plan}"
    );
    assert!(!plan.contains("Seq Scan"), "{plan}");
    let probes: Vec<&str> =
        plan.lines().filter(|line| line.contains("_pkey on intake_") && !line.contains("never")).collect();
    assert!(!probes.is_empty() && probes.len() <= 2, "only the cursors' partitions are touched:\n{plan}");
    assert_eq!(plan.matches("Sort Method").count(), 1, "only the answer as a whole is sorted:\n{plan}");
}
