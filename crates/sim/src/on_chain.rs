//! What clients and authorities do on chain by themselves, again and again until it is final: a reorganisation takes
//! back what was mined, and an empty mempool what was not.

use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use anyhow::Context;
use serde_json::{Value, json};
use sluice_chain::At;
use sluice_chain::deploy::Operator;
use sluice_chain::signer::Account;
use tokio::time::Instant;

use crate::ground::{Field, ROUND, Servers};

/// Coin an account is given before it sends, wei: far more than one transaction costs at any base fee that is drawn.
const COIN: &str = "0xde0b6b3a7640000";
/// How long a transaction may take before it is sent again.
const SENT_WITHIN: Duration = Duration::from_secs(8);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// What must have become of an entitlement, or of an address, on chain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// Paid, by whomever, or annulled before that.
    VoidOrPaid(u64),
    /// Barred from receiving the token, or no longer so.
    Barred(Address, bool),
}

impl Servers {
    /// Sends `data` to `to` from an account of its own until what is wanted is final.
    pub(crate) async fn until_final(
        &self,
        field: &Field,
        account: &Account,
        (to, data): (Address, Bytes),
        wanted: Wanted,
        end: Instant,
    ) -> anyhow::Result<()> {
        let operator = Operator { account: account.clone(), ..self.prepared.operator.clone() };
        while Instant::now() < end {
            // While blocks vanish the chain's node does not always have a head.
            if let Ok(head) = operator.chain.head().await
                && self.is(field, wanted, At::Block(head.finalized)).await
            {
                return Ok(());
            }
            if !self.is(field, wanted, At::Latest).await {
                // A reorganisation may have taken the coin given before.
                self.anvil("anvil_setBalance", json!([account.address(), COIN])).await?;
                let sending = operator.send("own transaction", Some(to), data.clone(), U256::ZERO);
                // Whatever came of it, the chain tells.
                let _ = tokio::time::timeout(SENT_WITHIN, sending).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::bail!("{wanted:?} did not become final in campaign {}", field.campaign)
    }

    /// Whether it is so at a block; a block that just vanished says no.
    async fn is(&self, field: &Field, wanted: Wanted, at: At) -> bool {
        let found = match wanted {
            Wanted::VoidOrPaid(index) => match self.is_paid(field, index, at).await {
                Ok(false) => self.is_void(field, index, at).await,
                other => other,
            },
            Wanted::Barred(account, yes) => self.is_barred(account, at).await.map(|barred| barred == yes),
        };
        found.unwrap_or_else(|error| {
            tracing::debug!(error = format!("{error:#}"), "the chain could not be read");
            false
        })
    }

    async fn is_paid(&self, field: &Field, index: u64, at: At) -> anyhow::Result<bool> {
        let chain = &self.prepared.chain;
        let words = chain.paid_words(field.distributor.address, ROUND, [index / 256], at).await?;
        Ok(has(&words, index))
    }

    /// Whether an entitlement is annulled on chain.
    pub(crate) async fn is_void(&self, field: &Field, index: u64, at: At) -> anyhow::Result<bool> {
        let chain = &self.prepared.chain;
        let words = chain.void_words(field.distributor.address, ROUND, [index / 256], at).await?;
        Ok(has(&words, index))
    }

    /// Whether the token refuses an account.
    pub(crate) async fn is_barred(&self, account: Address, at: At) -> anyhow::Result<bool> {
        let data = call("barred(address)", &[account.into_word()]);
        let block = match at {
            At::Block(block) => json!({ "blockHash": block.hash }),
            _ => Value::from("latest"),
        };
        let answer = self.anvil("eth_call", json!([{ "to": self.token, "data": data }, block])).await?;
        let word: U256 = answer.as_str().context("a word")?.parse()?;
        Ok(!word.is_zero())
    }

    /// The call that bars an account or lets it receive again.
    pub(crate) fn bar(&self, account: Address, yes: bool) -> (Address, Bytes) {
        let yes = U256::from(u8::from(yes)).into();
        (self.token, call("bar(address,bool)", &[account.into_word(), yes]))
    }
}

fn has(words: &[[u64; 4]], index: u64) -> bool {
    let (limb, bit) = (usize::try_from(index % 256 / 64).expect("below 4"), index % 64);
    words.first().is_some_and(|word| word[limb] >> bit & 1 == 1)
}

/// A call whose arguments are whole words.
fn call(signature: &str, arguments: &[alloy_primitives::B256]) -> Bytes {
    let selector = keccak256(signature);
    let words = arguments.iter().flat_map(|word| word.0);
    selector[..4].iter().copied().chain(words).collect()
}
