//! `sluice receipt`: checks what a claimant was given, on any machine, with no node, network or database.

mod words;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sluice_core::limits::BODY_BYTES_MAX;
use sluice_core::log::note::LogVerifier;
use sluice_core::log::receipt::{Proof, VerifiedReceipt, VerifiedTicket};

/// Check receipts and tickets offline.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Verify a receipt or a ticket and say what it proves.
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// The receipt or ticket (JSON, as the API gave it); `-` reads it from standard input.
    file: PathBuf,
    /// The log's verifier key, <name>+<id>+<key>, from the operator's page or made from the Charter's log key. Give
    /// co-signers' keys besides it to see them named.
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<LogVerifier>,
    /// Print one line of JSON instead of sentences.
    #[arg(long)]
    json: bool,
}

impl ReceiptArgs {
    /// Prints what is proved. The exit code is not zero when nothing is.
    ///
    /// # Errors
    /// When the file cannot be read or does not prove what it shows.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let What::Verify(verify) = self.what;
        let found = read(&verify.file).and_then(|text| prove(&text, &verify.keys));
        match found {
            Ok(proven) if verify.json => println!("{}", proven.json()),
            Ok(proven) => println!("{}", proven.sentences().join("\n")),
            Err(error) if verify.json => {
                println!("{}", json!({ "verified": false, "reason": format!("{error:#}") }));
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(error.context(format!("{} proves nothing", verify.file.display()))),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a verified file proves.
#[derive(Debug)]
enum Proven {
    Decision(Box<VerifiedReceipt>),
    Promise(Box<VerifiedTicket>),
}

fn read(file: &Path) -> anyhow::Result<String> {
    // A receipt holds one entry, and a demand with the largest body makes the largest; base64 and path are on top.
    let most = 2 * BODY_BYTES_MAX as u64;
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).context("it cannot be opened")?)
    };
    let mut text = String::new();
    source.take(most + 1).read_to_string(&mut text).context("it cannot be read as text")?;
    if text.len() as u64 > most {
        bail!("it has more than {most} bytes; no receipt or ticket does");
    }
    Ok(text)
}

fn prove(text: &str, keys: &[LogVerifier]) -> anyhow::Result<Proven> {
    let proof = serde_json::from_str(text).context("it is not the JSON of a receipt or a ticket")?;
    Ok(match proof {
        Proof::Receipt(receipt) => Proven::Decision(Box::new(receipt.verify(keys)?)),
        Proof::Ticket(ticket) => Proven::Promise(Box::new(ticket.verify(keys)?)),
    })
}

impl Proven {
    fn sentences(&self) -> Vec<String> {
        match self {
            Self::Decision(receipt) => words::of_receipt(receipt),
            Self::Promise(ticket) => words::of_ticket(ticket),
        }
    }

    fn json(&self) -> Value {
        let proves = self.sentences();
        match self {
            Self::Decision(receipt) => json!({
                "verified": true,
                "kind": "receipt",
                "origin": receipt.head.origin.to_string(),
                "signers": receipt.signers,
                "seq": receipt.entry.seq,
                "size": receipt.head.size,
                "epoch": receipt.entry.epoch,
                "recorded_at": receipt.entry.recorded_at,
                "entry_kind": receipt.entry.body.kind(),
                "intake": receipt.entry.body.intake(),
                "proves": proves,
            }),
            Self::Promise(ticket) => json!({
                "verified": true,
                "kind": "ticket",
                "origin": ticket.head.origin.to_string(),
                "signers": ticket.signers,
                "id": ticket.promise.id,
                "intake": ticket.promise.intake,
                "body_hash": ticket.promise.body_hash,
                "accepted_at": ticket.promise.accepted_at,
                "place": ticket.promise.place,
                "estimate_ms": ticket.promise.estimate_ms,
                "decide_by": ticket.promise.decide_by,
                "proves": proves,
            }),
        }
    }
}
