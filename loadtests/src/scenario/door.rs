//! Claims through a node's door in this process: every signature is verified, every row is written, every decision is
//! waited for, as behind HTTP.

use futures::stream::{self, StreamExt, TryStreamExt};
use sluice_core::command::ClaimDemand;
use sluice_core::ids::CampaignId;
use sluice_engine::node::Node;
use tokio::sync::mpsc;

use crate::gated::turns::decide;

/// Claims under way at once: enough that groups are full, few enough that nobody waits long for a decision.
const AT_ONCE: usize = 1_024;

/// Hands in all of these and waits until each is decided.
///
/// # Errors
/// When one is refused: all of them are good.
pub(super) async fn decide_all(
    node: &Node,
    campaign: CampaignId,
    claims: mpsc::Receiver<ClaimDemand>,
) -> anyhow::Result<()> {
    let claims = stream::unfold(claims, async |mut claims| claims.recv().await.map(|claim| (claim, claims)));
    claims
        .map(anyhow::Ok)
        .try_for_each_concurrent(AT_ONCE, |claim| async move {
            let node = node.clone();
            tokio::spawn(async move { decide(&node, campaign, claim).await }).await?
        })
        .await
}
