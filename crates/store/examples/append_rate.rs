//! How many rows a second the log takes in appends of 256, and intake in its groups, beside COPY of the same rows in the same run.
//!
//! `cargo run --release -p sluice-store --example append_rate [GROUPS] [ROWS A GROUP]`
//!
//! It uses the tests' PostgreSQL (fsync on). Only the ratios mean anything on another machine: COPY is the most that
//! this server takes in any way, in one transaction, without a fence, a ledger, or an answer per group.

// Figures for people; no amount is a float.
#![allow(clippy::float_arithmetic)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_core::decide::About;
use sluice_core::ids::{CampaignId, DemandId, IntakeKey, StreamId};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::sequencer::Facts;
use sluice_core::state::funds::{Account, Posting};
use sluice_embedded::testing::TestDatabase;
use sluice_store::{Append, IntakeWriter, LeaderSession, LogRow, NewIntake, Options, SealKey, Store};
use sqlx::postgres::PgPoolCopyExt;
use uuid::Uuid;

/// Bytes of a decided claim's entry, about.
const ENTRY: usize = 330;
/// Bytes of a claim's facts with one attestation, about.
const FACTS: usize = 416;

fn campaign() -> CampaignId {
    CampaignId(Uuid::from_u128(0xca))
}

fn group(first: u64, size: u64) -> Append {
    let row = |seq: u64| {
        let mut entry = vec![0; ENTRY];
        // Bytes that do not compress, as signatures and hashes do not.
        for (part, chunk) in entry.chunks_mut(32).enumerate() {
            let hash = leaf_hash(&[seq.to_le_bytes(), (part as u64).to_le_bytes()].concat());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
        let intake = IntakeKey { campaign: campaign(), node: 1, n: seq };
        LogRow { kind: 5, leaf: leaf_hash(&entry), entry, intake: Some(intake) }
    };
    let posting = |account, delta| Posting { campaign: campaign(), account, delta };
    Append {
        first,
        rows: (first..first + size).map(row).collect(),
        postings: vec![posting(Account::Free, -1_000), posting(Account::Reserved, 1_000)],
        ..Append::default()
    }
}

/// Facts of every third row, each about somebody else.
fn facts(first: u64, size: u64) -> Vec<Facts> {
    let one = |seq: u64| {
        let person = leaf_hash(&seq.to_le_bytes());
        Facts { seq, about: About::Person(person.into()), bytes: person.repeat(FACTS / 32).into() }
    };
    (first..first + size).step_by(3).map(one).collect()
}

/// The same rows in COPY's binary format (PostgreSQL manual, "COPY"), for another stream.
fn copy_bytes(groups: &[Append]) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for append in groups {
        for (row, seq) in append.rows.iter().zip(append.first..) {
            let (stream, epoch, node) = (1_i32.to_be_bytes(), 1_u64.to_be_bytes(), 1_i32.to_be_bytes());
            let (seq, kind, campaign) = (seq.to_be_bytes(), row.kind.to_be_bytes(), campaign());
            let fields: [&[u8]; 9] =
                [&stream, &seq, &epoch, &kind, &row.entry, &row.leaf, campaign.0.as_bytes(), &node, &seq];
            bytes.extend(9_i16.to_be_bytes());
            for field in fields {
                bytes.extend(u32::try_from(field.len()).expect("fields are short").to_be_bytes());
                bytes.extend(field);
            }
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

fn rate(rows: u64, took: Duration) -> u128 {
    u128::from(rows) * 1_000_000 / took.as_micros().max(1)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(400), |groups| groups.parse())?;
    let size: u64 = std::env::args().nth(2).map_or(Ok(256), |size| size.parse())?;
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
    let database = TestDatabase::new(migrations).await?;
    let store = Store::connect(database.url(), Options::default()).await?;
    let store = store.with_seal_key(SealKey::new(&[1; 32]));
    let groups: Vec<Append> = (0..count).map(|n| group(n * size + 1, size)).collect();
    let rows = count * size;
    let pool = sqlx::PgPool::connect(database.url()).await?;

    let before = server_seconds(&pool).await?;
    let intake = intake(&store, count, size).await?;
    let intake_server = server_seconds(&pool).await? - before;
    let mut session = LeaderSession::open(&store, StreamId(0)).await?;
    session.take_epoch("append_rate", Duration::from_secs(3), 0).await?.ok_or("somebody leads already")?;
    let (start, before) = (Instant::now(), server_seconds(&pool).await?);
    for append in &groups {
        session.append(append).await?;
    }
    let appended = start.elapsed();
    let append_server = server_seconds(&pool).await? - before;

    // The same again, in turns: without facts, and with those of a third of the rows, which is what gates decide.
    let (mut plain, mut sealed, mut next, mut kept) = (Duration::ZERO, Duration::ZERO, rows + 1, 0_i64);
    for turn in 0..count / 2 * 2 {
        let mut append = group(next, size);
        if turn % 2 == 1 {
            append.facts = facts(next, size);
            kept += i64::try_from(append.facts.len())?;
        }
        let start = Instant::now();
        session.append(&append).await?;
        *if turn % 2 == 1 { &mut sealed } else { &mut plain } += start.elapsed();
        next += size;
    }
    let on_disk: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('fact')").fetch_one(&pool).await?;

    let bytes = copy_bytes(&groups);
    let (start, before) = (Instant::now(), server_seconds(&pool).await?);
    let mut copy = pool.copy_in_raw("COPY log FROM STDIN (FORMAT binary)").await?;
    copy.send(bytes).await?;
    let copied_rows = copy.finish().await?;
    let copied = start.elapsed();
    let copy_server = server_seconds(&pool).await? - before;
    pool.close().await;
    assert_eq!(copied_rows, rows);

    println!("intake  {rows} rows in groups of {size}: {} rows/s", rate(rows, intake));
    println!(
        "append  {rows} rows in groups of {size}: {} rows/s, {} µs a group",
        rate(rows, appended),
        appended.as_micros() / u128::from(count)
    );
    println!(
        "with sealed facts for a third of the rows: {} % of without",
        plain.as_micros() * 100 / sealed.as_micros().max(1)
    );
    println!(
        "a fact of {FACTS} bytes: {:.1} µs of an append and {} bytes on disk",
        sealed.saturating_sub(plain).as_secs_f64() * 1e6 / kept as f64,
        on_disk / kept
    );
    println!("COPY    {rows} rows at once: {} rows/s", rate(rows, copied));
    for (what, seconds) in [("intake", intake_server), ("append", append_server), ("COPY", copy_server)] {
        println!("{what}: {:.1} µs of the server's sessions a row", seconds * 1e6 / rows as f64);
    }
    println!("append / COPY: {} %", copied.as_micros() * 100 / appended.as_micros().max(1));
    Ok(())
}

/// The same number of demands through the intake writer.
async fn intake(store: &Store, count: u64, size: u64) -> Result<Duration, Box<dyn Error>> {
    let node = store.register_node("append_rate").await?;
    let mut writer = IntakeWriter::new(store.clone(), node);
    let demand = |n: u64| NewIntake {
        campaign: campaign(),
        id: DemandId(Uuid::now_v7()),
        body_hash: leaf_hash(&n.to_le_bytes()),
        body: vec![7; 220],
        place: n,
        estimate_ms: 0,
        decide_within: Duration::from_secs(60),
    };
    let groups: Vec<Vec<NewIntake>> =
        (0..count).map(|g| (0..size).map(|i| demand(g * size + i)).collect()).collect();
    let start = Instant::now();
    for group in groups {
        writer.append(group).await?;
    }
    Ok(start.elapsed())
}

/// Processor seconds of all sessions of the database that are open now.
async fn server_seconds(pool: &sqlx::PgPool) -> Result<f64, Box<dyn Error>> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()";
    let pids: Vec<(i32,)> = sqlx::query_as(sql).fetch_all(pool).await?;
    let ticks = pids.into_iter().filter_map(|(pid,)| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    // Linux counts in hundredths of a second.
    Ok(ticks.sum::<f64>() / 100.0)
}
