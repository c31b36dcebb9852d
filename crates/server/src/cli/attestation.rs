//! `sluice attestation`: signing attestations, handing them in, and revoking them in the log.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use sluice_core::command::Action;

use super::block_on;
use super::order::{Order, OrderArgs, listed_actions};
use super::reach::{NodeArgs, answer};
use super::words;

/// One request with its answer.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Attempts at one attestation while the node asks to come back: some minutes.
const ATTEMPTS: u32 = 60;

mod sign;

/// Sign, hand in and revoke attestations.
#[derive(Debug, Args)]
pub struct Attestation {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is parsed for each run")]
enum What {
    Sign(sign::Sign),
    /// Hand attestations in, one in each line as the systems' programs write them. What was handed in before is no error,
    /// so a second run goes on where the first was cut.
    Submit(Submit),
    /// Let an attestation count no more, whatever its registry says.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Submit {
    /// The file.
    file: PathBuf,
    /// Begin at this line, from 1.
    #[arg(long, value_name = "LINE", default_value_t = 1)]
    from: u64,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The attestation's id, as `submit` or the API gives it.
    #[arg(required_unless_present = "list", value_parser = words::id)]
    uid: Option<B256>,
    /// Revoke many under one signature: a CSV file with the column uid.
    #[arg(long, value_name = "FILE", conflicts_with = "uid")]
    list: Option<PathBuf>,
    #[command(flatten)]
    order: OrderArgs,
}

impl Attestation {
    /// Does it.
    ///
    /// # Errors
    /// When the node refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self.what {
                What::Sign(sign) => sign.run(),
                What::Submit(submit) => submit.run().await,
                What::Revoke(revoke) => revoke.run().await,
            }
        })
    }
}

impl Submit {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let named = || format!("cannot read {}", self.file.display());
        let file = std::fs::File::open(&self.file).with_context(named)?;
        let http = reqwest::Client::builder().timeout(REQUEST_WITHIN).build()?;
        let url = format!("{}/v1/attestations", self.node.node.trim_end_matches('/'));
        let (mut kept, mut refused) = (0_u64, 0_u64);
        for (line, text) in (1..).zip(BufReader::new(file).lines()) {
            let text = text.with_context(named)?;
            if line < self.from || text.trim().is_empty() {
                continue;
            }
            let told = hand_in(&http, &url, text)
                .await
                .with_context(|| format!("line {line}; go on with --from {line}, {kept} are kept"))?;
            match told {
                Ok(id) => {
                    kept += 1;
                    if !self.json {
                        println!("line {line}: kept as {id}");
                    }
                }
                Err(why) => {
                    refused += 1;
                    eprintln!("line {line}: refused, {why}");
                }
            }
        }
        let facts = [("kept", kept.to_string()), ("refused", refused.to_string())];
        answer(self.json, &json!({ "kept": kept, "refused": refused }), &facts)?;
        Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Revoke {
    async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(list) = &self.list {
            let actions = listed_actions(list, &["uid"], |row| {
                Ok(Action::RevokeAttestation { uid: row.get("uid", words::id)? })
            })?;
            return self.order.give_list(actions).await;
        }
        let uid = self.uid.context("UID, or --list FILE")?;
        let order = Order::to_log(format!("revoke attestation {uid}"), Action::RevokeAttestation { uid });
        self.order.give(order, |_| Vec::new()).await
    }
}

/// Hands one attestation in; the inner error is why it does not count.
async fn hand_in(http: &reqwest::Client, url: &str, text: String) -> anyhow::Result<Result<String, String>> {
    for _ in 0..ATTEMPTS {
        let request = http.post(url).header("content-type", "application/json").body(text.clone());
        let response = request.send().await.with_context(|| format!("{url} does not answer (--node)"))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let body: Value = response.json().await.unwrap_or_default();
        let said = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        match status {
            status if status.is_success() => return Ok(Ok(said("id").unwrap_or_default())),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                tokio::time::sleep(Duration::from_secs(after.unwrap_or(1))).await;
            }
            status if status.is_client_error() && status != StatusCode::NOT_FOUND => {
                let why = [said("code"), said("detail")].into_iter().flatten().collect::<Vec<_>>();
                return Ok(Err(if why.is_empty() { status.to_string() } else { why.join(": ") }));
            }
            status => bail!("{url} answers {status}"),
        }
    }
    bail!("the node's queue of attestations stayed full; try later")
}
