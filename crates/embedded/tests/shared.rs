//! The tests' shared cluster: databases of one's own, cloned from a template that is migrated once.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::fs;

use sluice_embedded::testing::TestDatabase;
use sqlx::{Connection, PgConnection};

async fn numbers(database: &TestDatabase) -> Vec<i32> {
    let mut session = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar("SELECT n FROM number ORDER BY n").fetch_all(&mut session).await.unwrap()
}

async fn add(database: &TestDatabase, number: i32) {
    let mut session = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("INSERT INTO number VALUES ($1)").bind(number).execute(&mut session).await.unwrap();
}

async fn exists(name: &str) -> bool {
    let other = TestDatabase::empty().await.unwrap();
    let mut session = PgConnection::connect(other.url()).await.unwrap();
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    query.bind(name).fetch_one(&mut session).await.unwrap()
}

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own() {
    let migrations = tempfile::tempdir().unwrap();
    // Unique, so that an earlier run's template does not serve.
    let comment = format!("-- {:?}\n", migrations.path());
    fs::write(migrations.path().join("1_number.sql"), comment + "CREATE TABLE number (n int);").unwrap();
    // All at once: one of them makes the template, the others wait for it.
    let making: Vec<_> = (0..6)
        .map(|_| {
            let path = migrations.path().to_owned();
            tokio::spawn(async move { TestDatabase::new(&path).await })
        })
        .collect();
    let mut made = Vec::new();
    for task in making {
        made.push(task.await.unwrap().unwrap());
    }
    for (at, database) in made.iter().enumerate() {
        add(database, i32::try_from(at).unwrap()).await;
    }
    for (at, database) in made.iter().enumerate() {
        assert_eq!(numbers(database).await, [i32::try_from(at).unwrap()]);
    }
    // Another content is another template.
    fs::write(migrations.path().join("2_more.sql"), "INSERT INTO number VALUES (7);").unwrap();
    assert_eq!(numbers(&TestDatabase::new(migrations.path()).await.unwrap()).await, [7]);
}

#[tokio::test]
async fn a_broken_migration_is_named_and_leaves_no_template() {
    let migrations = tempfile::tempdir().unwrap();
    let comment = format!("-- {:?}\n", migrations.path());
    fs::write(migrations.path().join("1_bad.sql"), comment + "CREATE TABLE oops (;").unwrap();
    for _ in 0..2 {
        let error = TestDatabase::new(migrations.path()).await.unwrap_err().to_string();
        assert!(
            error.contains("syntax error") && error.contains(migrations.path().to_str().unwrap()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn dropping_it_drops_the_database_even_when_in_use() {
    let database = TestDatabase::empty().await.unwrap();
    let name = database.name().to_owned();
    let _session = PgConnection::connect(database.url()).await.unwrap();
    assert!(exists(&name).await);
    drop(database);
    assert!(!exists(&name).await);
}
