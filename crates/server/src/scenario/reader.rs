//! The auditor reads all the while, at both nodes; and everybody asks for everything once more at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sluice_core::ids::RoundNo;
use tokio::task::JoinSet;

use super::cast::Role;
use super::client::Client;
use super::draw::Draw;
use super::ground::{GATED, NEXT, PUSHED, Scene};
use super::record::Asked;

/// How many pairs are read at once.
const HANDS: u64 = 4;
/// Between two pairs of readings of a hand: altogether some hundred a second, below what a key may ask.
const READ_EVERY: Duration = Duration::from_millis(10);
/// How often a pair is read again until both nodes answer at one position. The log grows by a few entries a second.
const PAIR_ATTEMPTS: u32 = 40;

/// The auditor, reading until told to stop; dropped, it is stopped.
pub(super) struct Reading {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Reading {
    pub(super) fn start(scene: Arc<Scene>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for hand in 0..HANDS {
            let (scene, stopped) = (Arc::clone(&scene), Arc::clone(&stop));
            let draw = Draw::new(seed, &format!("auditor reads {hand}"));
            tasks.spawn(read(scene, stopped, draw));
        }
        Self { stop, tasks }
    }

    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn read(scene: Arc<Scene>, stopped: Arc<AtomicBool>, mut draw: Draw) -> anyhow::Result<()> {
    let (subjects, client) = (subjects(&scene, &[PUSHED, GATED]), scene.client(Role::Auditor.name()));
    while !stopped.load(Ordering::Relaxed) {
        let at = usize::try_from(draw.below(subjects.len() as u64)).unwrap_or(0);
        let first = draw.node();
        let one = client.state(first, &subjects[at], None).await?;
        // The other node, at the position that this one was at: never from before it.
        client.state(1 - first, &subjects[at], Some(one.as_of)).await?;
        tokio::time::sleep(READ_EVERY).await;
    }
    Ok(())
}

/// Everything about which State can be asked.
fn subjects(scene: &Scene, rounds: &[RoundNo]) -> Vec<String> {
    let mut all: Vec<String> =
        ["/v1/holds", "/v1/rule-sets", "/v1/authorities", "/v1/mandates"].map(str::to_owned).into();
    all.push(format!("/v1/campaigns/{}", scene.campaign));
    for person in &scene.people {
        all.push(format!("/v1/persons/{}", person.id));
    }
    for round in rounds {
        all.push(format!("/v1/campaigns/{}/rounds/{round}", scene.campaign));
        all.extend((0..scene.list(*round).count()).map(|index| scene.entitlement(*round, index)));
    }
    all
}

/// Asks both nodes for everything at one position, and what became of every demand. How many pairs were read at one
/// position.
pub(super) async fn once_more(scene: &Scene) -> anyhow::Result<usize> {
    let client = scene.client(Role::Auditor.name());
    let mut pairs = 0;
    for subject in subjects(scene, &[PUSHED, GATED, NEXT]) {
        pairs += usize::from(pair(client, &subject).await?);
    }
    for (path, who) in demands(scene) {
        for node in [0, 1] {
            scene.client(&who).standing(node, &path).await?;
        }
    }
    Ok(pairs)
}

async fn pair(client: &Client, subject: &str) -> anyhow::Result<bool> {
    for _ in 0..PAIR_ATTEMPTS {
        let (one, other) = tokio::try_join!(client.state(0, subject, None), client.state(1, subject, None))?;
        if one.as_of == other.as_of {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where to ask what became of each demand that was recorded, and who handed it in.
fn demands(scene: &Scene) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for heard in scene.record.all().iter().filter(|heard| heard.asked == Asked::Demand) {
        let (id, campaign) = (&heard.body["id"], &heard.body["campaign"]);
        if let (Value::String(id), Value::String(campaign)) = (id, campaign) {
            let kind = if heard.path.ends_with("/claims") {
                format!("/v1/campaigns/{campaign}/claims/{id}")
            } else {
                format!("/v1/commands/{campaign}/{id}")
            };
            if heard.body["seq"].is_u64() {
                all.push((kind, heard.who.clone()));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}
