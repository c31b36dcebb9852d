//! Deeds on chain that papers hold: asked for before they are done, so that a second run goes on where the first was cut.

use alloy_primitives::{Address, U256, keccak256};
use anyhow::{Context, bail};
use sluice_chain::calls::{self, Approvals};
use sluice_chain::deploy::Operator;
use sluice_chain::{At, Chain, ChainError, RevertKind};
use sluice_core::log::entry::WordMask;

use crate::api_client::CharterInfo;
use crate::cli::sign::papers::{Deed, OnChain, Papers, mask_of_all};

/// How far back a hold is looked for by its mask: holds of the same minute, not a history.
const HOLDS_LOOKED_BACK: u64 = 64;

/// How many institutions a deed takes at least (CONTRACTS.md).
pub(super) fn takes(deed: &Deed, charter: &CharterInfo) -> u16 {
    match deed {
        Deed::Hold { .. } | Deed::ConfirmHold { .. } | Deed::Release { .. } | Deed::Pause { .. } => 1,
        _ => charter.threshold,
    }
}

/// Does every deed; what to tell of each.
pub(super) async fn all(operator: &Operator, papers: &Papers) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut told = Vec::new();
    for paper in &papers.actions {
        let approvals = papers.approvals(|deed| *deed == paper.action).unwrap_or_default();
        let warden = operator.chain.warden(papers.charter.address, At::Latest).await?;
        told.push(("transaction", one(operator, warden, paper, &approvals).await?));
        if let Deed::Hold { distributor, round, indexes, .. } = &paper.action {
            let mask = mask_of_all(*round, indexes)?;
            told.push(("hold on chain", hold_id(operator, warden, *distributor, mask).await?.to_string()));
        }
    }
    Ok(told)
}

/// Does one deed; its transaction, or "before" if it was done.
async fn one(
    operator: &Operator,
    warden: Address,
    paper: &OnChain,
    approvals: &Approvals,
) -> anyhow::Result<String> {
    let (chain, together) = (&operator.chain, paper.together);
    let (call, to, data, done) = match paper.action.clone() {
        Deed::InstallGate { distributor, version, signer, rules_hash } => {
            let known = chain.gate_version(warden, distributor, version.into(), At::Latest).await?;
            if let Some(known) = known.as_ref().filter(|k| k.signer != signer || k.rules_hash != rules_hash) {
                bail!(
                    "gate version {version} is installed with key {} and rules {}; take the next number",
                    known.signer,
                    known.rules_hash
                );
            }
            let data = calls::install_gate(version.into(), signer, rules_hash, approvals)?;
            ("installGate", distributor, data, known.is_some())
        }
        Deed::Hold { distributor, round, indexes, reason, nonce } => {
            let mask = mask_of_all(round, &indexes)?;
            let held = chain.held_words(distributor, round, [mask.word], At::Latest).await?;
            let all = held.first().is_some_and(|w| w.iter().zip(mask.mask).all(|(w, m)| w & m == m));
            let data = calls::hold(mask, keccak256(reason.as_bytes()), together, nonce, approvals);
            // Several may hold again, for longer, what one institution holds; the contract knows which approval served.
            ("hold", distributor, data, all && together == 1)
        }
        Deed::ConfirmHold { distributor, hold, nonce } => {
            let known = chain.hold(warden, distributor, hold, At::Latest).await?;
            let known = known.with_context(|| format!("there is no hold {hold} on chain"))?;
            let data = calls::confirm_hold(hold, together, nonce, approvals);
            // Several renew what is confirmed; the contract knows which approval served.
            ("confirmHold", distributor, data, known.firm && together == 1)
        }
        Deed::Release { distributor, hold, nonce } => {
            let known = chain.hold(warden, distributor, hold, At::Latest).await?;
            let known = known.with_context(|| format!("there is no hold {hold} on chain"))?;
            let ended = known.mask.mask == [0; 4];
            ("release", distributor, calls::release(hold, together, nonce, approvals), ended)
        }
        Deed::HoldCampaign { distributor, until, nonce } => {
            let present = chain.held_until(distributor, At::Latest).await?;
            let done = stopped_already(chain, present, until).await?;
            ("holdCampaign", distributor, calls::hold_campaign(until, together, nonce, approvals), done)
        }
        Deed::Pause { distributor, until, nonce } => {
            let present = chain.paused_until(distributor, At::Latest).await?;
            let done = stopped_already(chain, present, until).await?;
            ("pause", distributor, calls::pause(until, together, nonce, approvals), done)
        }
        Deed::RegisterDistributor { .. } | Deed::Publish { .. } | Deed::Void { .. } => {
            bail!("this deed belongs to `sluice campaign` or `sluice void`")
        }
    };
    if done {
        return Ok("before".to_owned());
    }
    match operator.send(call, Some(to), data, U256::ZERO).await {
        Ok(receipt) => Ok(receipt.tx_hash.to_string()),
        Err(ChainError::Reverted { revert, .. }) if revert.kind == RevertKind::Already => {
            Ok("before".to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a stop ends already when it is to end: at that second, or where it is to be past, in the past.
async fn stopped_already(chain: &Chain, present: u64, until: u64) -> anyhow::Result<bool> {
    let now = chain.timestamp().await?;
    Ok(present == until || present.max(until) <= now)
}

/// The newest hold of exactly these entitlements.
async fn hold_id(
    operator: &Operator,
    warden: Address,
    distributor: Address,
    mask: WordMask,
) -> anyhow::Result<u64> {
    let count = operator.chain.hold_count(warden, distributor, At::Latest).await?;
    for id in (count.saturating_sub(HOLDS_LOOKED_BACK) + 1..=count).rev() {
        let known = operator.chain.hold(warden, distributor, id, At::Latest).await?;
        if known.is_some_and(|hold| hold.mask == mask) {
            return Ok(id);
        }
    }
    bail!(
        "the hold stands on chain, but none of the last {HOLDS_LOOKED_BACK} covers exactly these entitlements"
    )
}
