//! The gate-signer of the story, with the gate's key: it verifies again what the nodes decided, and hands its masks in.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_core::ids::StreamId;
use sluice_engine::gate_signer::{GateSigner, GateSignerConfig};
use tokio::task::JoinHandle;

use super::cast;
use super::client::Client;
use crate::dev::{self, Prepared};

/// How often it reads the log.
const GATE_STEP: Duration = Duration::from_millis(100);

/// Starts it.
pub(super) fn start(prepared: &Prepared, client: Client) -> anyhow::Result<JoinHandle<()>> {
    Ok(tokio::spawn(sign(gate_config(prepared)?, client)))
}

/// A gate-signer beside the nodes: it may only read the database.
fn gate_config(prepared: &Prepared) -> anyhow::Result<GateSignerConfig> {
    let url = &prepared.database_url;
    let and = if url.contains('?') { '&' } else { '?' };
    Ok(GateSignerConfig {
        stream: StreamId(0),
        database_url: format!("{url}{and}options[default_transaction_read_only]=on"),
        snapshots: prepared.snapshots(),
        chains: BTreeMap::from([(prepared.chain.id(), (prepared.chain.clone(), prepared.charter))]),
        home: prepared.chain.id(),
        key: cast::key("gate")?,
        seal_secret: dev::seal_secret(),
        interval: GATE_STEP,
    })
}

async fn sign(config: GateSignerConfig, client: Client) {
    let mut signer = match GateSigner::start(config).await {
        Ok(signer) => signer,
        Err(error) => return tracing::error!(%error, "the gate-signer did not start"),
    };
    loop {
        match signer.tick().await {
            Ok(due) => {
                for words in due {
                    let body = serde_json::to_value(&words).expect("masks are JSON");
                    if let Err(error) = client.post(0, "/v1/gate-words", &body).await {
                        tracing::warn!(error = format!("{error:#}"), "masks were not handed in");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the gate-signer tries again"),
        }
        tokio::time::sleep(GATE_STEP).await;
    }
}
