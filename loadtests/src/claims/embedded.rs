//! A node in this process that listens, with rounds of a list, everybody attested who is to be, and every claim signed.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use sluice_core::command::ClaimDemand;
use sluice_engine::node::Node;
use sluice_server::{http, telemetry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::Target;
use super::ground::{Ground, Round, Servers};
use super::wallets::{self, Wallet};
use crate::gated::offices;

/// A node of this process that listens.
pub(crate) struct Serving {
    pub(crate) ground: Arc<Ground>,
    pub(crate) target: Target,
    server: JoinHandle<()>,
}

impl Serving {
    /// Puts the HTTP API before a ground's node.
    pub(crate) async fn start(ground: Arc<Ground>) -> anyhow::Result<Self> {
        let (target, server) = Self::of(ground.node.clone()).await?;
        Ok(Self { ground, target, server })
    }

    /// Puts it before any node of this process.
    pub(crate) async fn of(node: Node) -> anyhow::Result<(Target, JoinHandle<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let target = Target::new(&format!("http://{}", listener.local_addr()?))?;
        let app = http::app(node, http::Options::default(), telemetry::figures()?);
        let server = tokio::spawn(async {
            // Gone when this task is aborted; the door then ends by itself.
            let (_open, closed) = oneshot::channel::<()>();
            let close = async {
                let _ = closed.await;
            };
            if let Err(error) = http::serve_apart(listener, app, close).await {
                eprintln!("the node does not listen: {error}");
            }
        });
        Ok((target, server))
    }

    pub(crate) async fn stop(self) {
        self.server.abort();
        if let Ok(ground) = Arc::try_unwrap(self.ground) {
            ground.stop().await;
        }
    }
}

/// A node with an open round and, if any claim is to be gated, a gated one of the same list, with everybody attested who
/// claims in it.
pub(crate) async fn field(
    servers: &Servers,
    wallets: &[Wallet],
    gated_every: u32,
) -> anyhow::Result<(Serving, Vec<ClaimDemand>)> {
    let ground = Arc::new(Ground::start(servers, "claims").await?);
    let list = ground.prepared.dir.join("list.csv");
    wallets::write_list(wallets, &list)?;
    let stored = ground.snapshot(&list).await?;
    let open = ground.open_round(1, stored.clone(), None).await?;
    let claims = match gated_every {
        0 => signed(&ground, wallets, &open)?,
        every => {
            let [gate, _] = offices::set_up(servers, &ground).await?;
            let gated = ground.open_round(2, stored, Some((gate.version, gate.hash))).await?;
            let is_gated = |i: usize| (i as u64).is_multiple_of(every.into());
            let before: Vec<Wallet> =
                wallets.iter().enumerate().filter_map(|(i, w)| is_gated(i).then_some(*w)).collect();
            attest(&ground, &before).await?;
            let (open, gated) = (signed(&ground, wallets, &open)?, signed(&ground, wallets, &gated)?);
            let both = open.into_iter().zip(gated).enumerate();
            both.map(|(i, (open, gated))| if is_gated(i) { gated } else { open }).collect()
        }
    };
    Ok((Serving::start(ground).await?, claims))
}

fn signed(ground: &Ground, wallets: &[Wallet], round: &Round) -> anyhow::Result<Vec<ClaimDemand>> {
    wallets::signed(wallets, &round.snapshot, round.number, ground.distributor)
}

async fn attest(ground: &Ground, wallets: &[Wallet]) -> anyhow::Result<()> {
    let (start, issuer) = (Instant::now(), offices::issuer()?);
    // In portions: the texts of all of them would fill gigabytes.
    for portion in wallets.chunks(20_000) {
        let texts = portion.par_iter().map(|wallet| offices::attested(&issuer, wallet.address, 0));
        let texts = texts.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
        offices::hand_in(ground.node.attestations(), texts).await?;
    }
    eprintln!("{} attestations signed and handed in within {:?}", wallets.len() * 2, start.elapsed());
    Ok(())
}
