//! A long log: claims decided, applied and encoded by the leader's own pure step, at the rate a leader reaches, and stored
//! by `COPY`, because appending ten million through the fence takes five minutes and more disk than the log itself.

use alloy_primitives::{Bytes, keccak256};
use anyhow::{Context, bail, ensure};
use sluice_core::command::ClaimDemand;
use sluice_core::decide::{ClaimVerdict, Input, VerifiedClaim};
use sluice_core::ids::{DemandId, IntakeKey, NodeId, Seq};
use sluice_core::limits::GROUP_INPUTS_MAX;
use sluice_core::log::entry::{Body, SignedBy};
use sluice_core::sequencer::{Decider, Group};
use sluice_engine::follower::Follower;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{STREAM, Start};
use crate::claims::ground::{FAR, Ground, Round};

/// Milliseconds of the log's clock between two groups: some 30,000 claims a second.
const GROUP_EVERY: u64 = 8;
/// Groups in one piece of `COPY`.
const PIECE: usize = 16;
/// What binary `COPY` begins and ends with.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Entitlements are claimed in an order that jumps over the list, as people come: each is this many behind the last.
const STRIDE: u64 = 7_368_787;

/// A log that is as long as it was to be.
pub(super) struct Filled {
    pub(super) head: Seq,
    /// Of the table without its indexes.
    pub(super) bytes: u64,
}

/// Rows of some groups, in `COPY`'s binary form.
struct Piece {
    log: Vec<u8>,
    tiles: Vec<u8>,
}

/// Decides `count` claims on the round and stores them.
pub(super) async fn fill(
    start: &Start,
    ground: &Ground,
    round: &Round,
    count: u64,
) -> anyhow::Result<Filled> {
    let follower = Follower::new(STREAM, start.log_key());
    follower.to_head(&start.store).await?;
    let node = start.store.register_node("sluice-load start").await?;
    let epoch = follower.read(|state| state.epoch);
    let (head, decider) = (follower.seq() + count, follower.decider(epoch));
    drop(follower);
    let mut raw = PgConnection::connect(&start.url).await?;
    sqlx::query("SELECT ensure_log_partitions($1)").bind(i64::try_from(head)?).execute(&mut raw).await?;

    let (into, mut pieces) = mpsc::channel(4);
    let claims = Claims {
        ground: (ground.campaign, node),
        number: round.number,
        snapshot: round.snapshot.clone(),
        count,
    };
    let deciding = tokio::task::spawn_blocking(move || claims.decide(decider, &into));
    let mut tiles = HEADER.to_vec();
    let mut copy = raw.copy_in_raw("COPY log FROM STDIN (FORMAT binary)").await?;
    copy.send(HEADER.as_slice()).await?;
    while let Some(Piece { log, tiles: more }) = pieces.recv().await {
        copy.send(log).await?;
        tiles.extend(more);
    }
    deciding.await??;
    copy.send(TRAILER.as_slice()).await?;
    let stored = copy.finish().await?;
    ensure!(stored == count, "{stored} rows were stored of {count}");
    tiles.extend(TRAILER);
    let mut copy = raw.copy_in_raw("COPY tile FROM STDIN (FORMAT binary)").await?;
    copy.send(tiles).await?;
    copy.finish().await?;
    // As autovacuum leaves a log in production, so that no reader of this run pays for the first look at its rows.
    sqlx::raw_sql("VACUUM ANALYZE log").execute(&mut raw).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut raw).await?;
    let sql =
        "SELECT sum(pg_table_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'log'::regclass";
    let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&mut raw).await?;
    raw.close().await?;
    Ok(Filled { head, bytes: bytes.unsigned_abs() })
}

/// The claims to decide.
struct Claims {
    ground: (sluice_core::ids::CampaignId, NodeId),
    number: u64,
    snapshot: std::sync::Arc<sluice_snapshot::Snapshot>,
    count: u64,
}

impl Claims {
    fn decide(&self, mut decider: Decider, into: &mpsc::Sender<Piece>) -> anyhow::Result<()> {
        let mut now = decider.state().recorded_at;
        let (mut n, mut piece, mut groups) = (0, Piece { log: Vec::new(), tiles: Vec::new() }, 0);
        while n < self.count {
            let last = self.count.min(n + GROUP_INPUTS_MAX as u64);
            let inputs = (n..last).map(|n| self.claim(n, now)).collect::<anyhow::Result<Vec<_>>>()?;
            now += GROUP_EVERY;
            let group = decider.group(inputs, now)?;
            ensure!(group.entries.len() as u64 == last - n, "something else was decided, too");
            write(&group, &mut piece)?;
            (n, groups) = (last, groups + 1);
            if groups % PIECE == 0 || n == self.count {
                let full = std::mem::replace(&mut piece, Piece { log: Vec::new(), tiles: Vec::new() });
                into.blocking_send(full).ok().context("the rows are no longer stored")?;
            }
        }
        Ok(())
    }

    fn claim(&self, n: u64, now: u64) -> anyhow::Result<Input> {
        let index = n.wrapping_mul(STRIDE) % self.count;
        let listed = self.snapshot.entitlement(index).context("an index of the list")?;
        let (campaign, node) = self.ground;
        let hash = keccak256(n.to_be_bytes());
        let claim = ClaimDemand {
            round: self.number,
            index,
            recipient: listed.recipient,
            to: listed.recipient,
            amount: listed.amount,
            deadline: FAR,
            signature: Bytes::new(),
        };
        Ok(Input::Claim(VerifiedClaim {
            key: IntakeKey { campaign, node, n: n + 1 },
            id: DemandId(Uuid::from_slice(&hash[..16])?),
            accepted_at: now,
            claim,
            body_hash: hash.0,
            verdict: Ok(ClaimVerdict {
                signed_by: SignedBy::Key,
                looked_at: None,
                valid_until: FAR * 1_000,
                person: None,
                gate: None,
            }),
        }))
    }
}

/// Rows of a group, the columns in the order of the tables.
fn write(group: &Group, piece: &mut Piece) -> anyhow::Result<()> {
    let stream = i32::try_from(STREAM.0)?.to_be_bytes();
    for ((entry, bytes), leaf) in group.entries.iter().zip(&group.encoded).zip(&group.leaves) {
        let (Body::ClaimDecided(_), Some(key)) = (&entry.body, entry.body.intake()) else {
            bail!("a good claim was not decided: {:?}", entry.body);
        };
        let out = &mut piece.log;
        out.extend(9_i16.to_be_bytes());
        column(out, &stream)?;
        column(out, &entry.seq.to_be_bytes())?;
        column(out, &entry.epoch.to_be_bytes())?;
        column(out, &entry.body.kind().to_be_bytes())?;
        column(out, bytes)?;
        column(out, leaf)?;
        column(out, key.campaign.0.as_bytes())?;
        column(out, &key.node.to_be_bytes())?;
        column(out, &key.n.to_be_bytes())?;
    }
    for tile in &group.appended.tiles {
        let out = &mut piece.tiles;
        out.extend(4_i16.to_be_bytes());
        column(out, &stream)?;
        column(out, &i16::from(tile.level).to_be_bytes())?;
        column(out, &tile.n.to_be_bytes())?;
        column(out, tile.hashes.as_flattened())?;
    }
    Ok(())
}

fn column(out: &mut Vec<u8>, bytes: &[u8]) -> anyhow::Result<()> {
    out.extend(i32::try_from(bytes.len())?.to_be_bytes());
    out.extend(bytes);
    Ok(())
}
