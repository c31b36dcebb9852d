//! Many orders under one signature: every item is a command of its own, with its own position and answer.

use std::process::ExitCode;

use alloy_primitives::B256;
use anyhow::{Context, bail, ensure};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use sluice_chain::signer::Account;
use sluice_core::command::{Action, Approval, Command, ListPlace, list_tree};
use sluice_core::ids::{ContractRef, DemandId, Seq};
use sluice_core::signing::{command_hash, list_digest};

use super::{OrderArgs, told};
use crate::api_client::{ApiClient, ApiError, CharterInfo};
use crate::cli::reach::{answer, client_now, new_demand};
use crate::cli::sign::papers::{COLLECT_SECONDS, OffChain};

/// Items handed in at once: a few, so that a list is no flood.
const IN_FLIGHT: usize = 8;

/// Signs and hands in a list.
pub(super) async fn give(order: &OrderArgs, actions: Vec<Action>) -> anyhow::Result<ExitCode> {
    ensure!(
        order.signing.papers.is_none(),
        "--list is signed at once by one institution; leave out --papers"
    );
    ensure!(order.id.is_none(), "--id names one command; a list's items have ids of their own");
    let account = order.signing.keys.open_one().context("a list is signed by one institution")?;
    let api = order.node.client()?;
    let charter = api.charter().await?;
    let authority = authority(order, &charter, &account)?;
    let seen = order.seen(&api).await?;
    let items = signed(order, &charter, authority, &account, actions, seen)?;
    tell(order, &api, items).await
}

fn authority(order: &OrderArgs, charter: &CharterInfo, account: &Account) -> anyhow::Result<B256> {
    match order.authority.or_else(|| charter.institution_of(account.address())) {
        Some(authority) => Ok(authority),
        None => {
            bail!("{} is a key of none of the Charter's institutions; say --authority ID", account.address())
        }
    }
}

/// The commands, each with its place under the one signature.
fn signed(
    order: &OrderArgs,
    charter: &CharterInfo,
    authority: B256,
    account: &Account,
    actions: Vec<Action>,
    seen: Seq,
) -> anyhow::Result<Vec<OffChain>> {
    let now = client_now();
    let deadline = order.deadline.unwrap_or(now + COLLECT_SECONDS).saturating_mul(1_000);
    let command = |action| Command {
        action,
        subject_version: seen,
        reason: order.reason.clone(),
        valid_at: order.valid_at.unwrap_or(now).saturating_mul(1_000),
        deadline,
        mandate: order.mandate.unwrap_or_default(),
        delegation: order.delegation.unwrap_or_default(),
        listed_at: None,
        approvals: Vec::new(),
    };
    let mut items: Vec<OffChain> =
        actions.into_iter().map(|action| OffChain { id: new_demand(), command: command(action) }).collect();
    let hashes: Vec<B256> =
        items.iter().map(|item| command_hash(&item.command, item.id, authority)).collect();
    let (root, paths) = list_tree(&hashes);
    let list: DemandId = new_demand();
    let count = u32::try_from(items.len()).context("a list has at most 10,000 items")?;
    let charter = ContractRef { chain_id: charter.chain_id, address: charter.address };
    let digest = list_digest(root, count, list, deadline, authority, charter);
    let (signer, signature) = (account.signer_bytes(), account.sign_digest(digest)?);
    for ((at, item), path) in (0..).zip(&mut items).zip(paths) {
        item.command.listed_at = Some(ListPlace { list, count, at, path });
        item.command.approvals =
            vec![Approval { authority, signer: signer.clone(), signature: signature.clone() }];
    }
    Ok(items)
}

/// Hands every item in, in order and a few at once, and tells each answer.
async fn tell(order: &OrderArgs, api: &ApiClient, items: Vec<OffChain>) -> anyhow::Result<ExitCode> {
    let one = |item: OffChain| async move {
        match api.command(item.id, &item.command).await {
            Ok(done) => Ok((item.id, done.seq, None)),
            Err(error @ ApiError::Refused(_)) => {
                let code = error.code().unwrap_or_default().to_owned();
                Ok((item.id, None, Some(code)))
            }
            Err(error) => Err(told(error, &item.command)),
        }
    };
    let mut answers = stream::iter(items.into_iter().map(one)).buffered(IN_FLIGHT);
    let (mut told, mut refused, mut row) = (Vec::<Value>::new(), 0_u64, 2);
    while let Some(item) = answers.next().await {
        let (id, seq, code) = item.with_context(|| format!("row {row}; rows before it are handed in"))?;
        refused += u64::from(code.is_some());
        if !order.json {
            match (&seq, &code) {
                (Some(seq), _) => println!("row {row}: decided at {seq}"),
                (None, Some(code)) => println!("row {row}: refused, {code}"),
                (None, None) => println!("row {row}: not decided yet, command {id}"),
            }
        }
        told.push(json!({ "row": row, "id": id, "seq": seq, "code": code }));
        row += 1;
    }
    let done = told.len() as u64 - refused;
    let value = json!({ "items": told, "done": done, "refused": refused });
    answer(order.json, &value, &[("done", done.to_string()), ("refused", refused.to_string())])?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
