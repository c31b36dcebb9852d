//! The demonstration's claims: signed ones over HTTP, redirected ones, wallets that pay themselves on chain, repeated
//! ones, and races between a relayed claim and the wallet's own.

use alloy_primitives::{Address, Bytes, U256, keccak256};
use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use sluice_chain::calls::{self, Proven};
use sluice_chain::deploy::Operator;
use sluice_chain::signer::Account;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{CampaignId, ContractRef, EntitlementId, RoundNo};
use sluice_core::signing::claim_digest;
use sluice_snapshot::Snapshot;

use super::list::Wallet;
use crate::api_client::{ApiClient, ApiError};
use crate::cli::reach::new_demand;
use crate::dev::wallets::make_contract_wallet;

/// Claims under way at a time: one client's share.
const AT_ONCE: usize = 32;
/// A wallet's coin for its own transaction: a hundredth, far above what one claim costs here.
const COIN_WEI: u64 = 10_000_000_000_000_000;
/// How long a signed claim stays good, seconds: the log asks for a day.
const GOOD_FOR: u64 = 7 * 86_400;

/// How the wallets' claims are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Signed, to the wallet itself.
    pub(super) plain: Vec<Wallet>,
    /// Signed, to another address.
    pub(super) redirected: Vec<(Wallet, Address)>,
    /// Wallets that are made contracts; the account signs as the contract's owner. To themselves and elsewhere by turns.
    pub(super) contracts: Vec<(Wallet, Address)>,
    /// By the wallet's own transaction.
    pub(super) self_paid: Vec<Wallet>,
    /// Both at once: a signed claim and the wallet's own transaction.
    pub(super) raced: Vec<Wallet>,
}

impl Plan {
    /// A tenth redirected, a tenth self-paid, a tenth by contracts, a few raced, the rest plain.
    pub(super) fn new(wallets: Vec<Wallet>) -> anyhow::Result<Self> {
        let tenth = wallets.len().div_ceil(10).min(20);
        let mut left = wallets.into_iter();
        let raced = left.by_ref().take(tenth / 3).collect();
        let self_paid = left.by_ref().take(tenth).collect();
        let redirected = left.by_ref().take(tenth).map(|wallet| {
            let to = elsewhere(&wallet);
            (wallet, to)
        });
        let redirected = redirected.collect();
        let contracts = left.by_ref().take(tenth).enumerate().map(|(number, wallet)| {
            let to = if number % 2 == 0 { wallet.entitlement.recipient } else { elsewhere(&wallet) };
            let owner = keccak256([b"sluice demo owner".as_slice(), to.as_slice()].concat());
            Ok((Wallet { account: Account::from_bytes(&owner)?, ..wallet }, to))
        });
        let contracts = contracts.collect::<anyhow::Result<_>>()?;
        Ok(Self { plain: left.collect(), redirected, contracts, self_paid, raced })
    }

    /// Makes contracts of those that are to be.
    pub(super) async fn place_contracts(&self, rpc: &str) -> anyhow::Result<()> {
        for (wallet, _) in &self.contracts {
            make_contract_wallet(rpc, wallet.entitlement.recipient, wallet.account.address()).await?;
        }
        Ok(())
    }
}

/// An address of its own that a wallet redirects to.
fn elsewhere(wallet: &Wallet) -> Address {
    let recipient = wallet.entitlement.recipient;
    Address::from_word(keccak256([b"sluice demo payee".as_slice(), recipient.as_slice()].concat()))
}

/// What claims are made against.
#[derive(Clone, Debug)]
pub(super) struct Ground<'a> {
    pub(super) api: &'a ApiClient,
    pub(super) operator: &'a Operator,
    pub(super) campaign: CampaignId,
    pub(super) round: RoundNo,
    pub(super) distributor: ContractRef,
    pub(super) snapshot: &'a Snapshot,
}

impl Ground<'_> {
    /// Makes all claims of a plan.
    pub(super) async fn claim(&self, plan: &Plan) -> anyhow::Result<()> {
        let deadline = self.operator.chain.timestamp().await? + GOOD_FOR;
        let to_itself = plan.plain.iter().map(|wallet| (wallet, wallet.entitlement.recipient));
        let elsewhere = plan.redirected.iter().chain(&plan.contracts).map(|(wallet, to)| (wallet, *to));
        let signed: Vec<_> = to_itself
            .chain(elsewhere)
            .map(|(wallet, to)| self.demand(wallet, to, deadline))
            .collect::<anyhow::Result<_>>()?;
        let sending = signed.iter().enumerate().map(|(number, claim)| self.hand_in(claim, number % 10 == 0));
        stream::iter(sending).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        for wallet in plan.self_paid.iter().chain(&plan.raced) {
            self.operator.send_coin(wallet.account.address(), U256::from(COIN_WEI)).await?;
        }
        for wallet in &plan.self_paid {
            self.pay_itself(wallet).await?;
        }
        for wallet in &plan.raced {
            let claim = self.demand(wallet, wallet.entitlement.recipient, deadline)?;
            self.race(wallet, &claim).await?;
        }
        Ok(())
    }

    /// Signs a claim as the recipient does.
    fn demand(&self, wallet: &Wallet, to: Address, deadline: u64) -> anyhow::Result<ClaimDemand> {
        let mut claim = ClaimDemand {
            round: self.round,
            index: wallet.entitlement.index,
            recipient: wallet.entitlement.recipient,
            to,
            amount: wallet.entitlement.amount,
            deadline,
            signature: Bytes::new(),
        };
        claim.signature = wallet.account.sign_digest(claim_digest(&claim, self.distributor))?;
        Ok(claim)
    }

    /// Hands a claim in. A repeated one must get the same answer under the same id, and a refusal under another.
    async fn hand_in(&self, claim: &ClaimDemand, repeat: bool) -> anyhow::Result<()> {
        let id = new_demand();
        let first = self.api.claim(self.campaign, id, claim).await.context("a claim was not taken")?;
        if !repeat {
            return Ok(());
        }
        let again =
            self.api.claim(self.campaign, id, claim).await.context("a repeated claim was not answered")?;
        let same = first.seq.is_none() || again.seq.is_none() || again.seq == first.seq;
        ensure!(same, "the same claim was decided at {:?} and {:?}", first.seq, again.seq);
        match self.api.claim(self.campaign, new_demand(), claim).await {
            Err(error) if is_taken(&error) => Ok(()),
            Err(error) => Err(error).context("a second claim on one entitlement"),
            // It waits for its turn behind the first; the end of the demonstration shows that it paid nothing.
            Ok(answer) if answer.seq.is_none() => Ok(()),
            Ok(answer) => bail!("a second claim on entitlement {} was decided: {answer:?}", claim.index),
        }
    }

    /// The wallet's own transaction.
    async fn pay_itself(&self, wallet: &Wallet) -> anyhow::Result<()> {
        let data = self.own_call(wallet)?;
        let itself = Operator { account: wallet.account.clone(), ..self.operator.clone() };
        itself
            .send("claim", Some(self.distributor.address), data, U256::ZERO)
            .await
            .context("a self-paid claim")?;
        Ok(())
    }

    fn own_call(&self, wallet: &Wallet) -> anyhow::Result<Bytes> {
        let index = wallet.entitlement.index;
        let proof = self.snapshot.proof(index)?;
        let entitlement = EntitlementId { round: self.round, index };
        Ok(calls::claim(Proven { entitlement, bucket: proof.bucket, proof: &proof.path }))
    }

    /// Both ways at once. Whichever is later pays nothing: the log refuses, or the contract does.
    async fn race(&self, wallet: &Wallet, claim: &ClaimDemand) -> anyhow::Result<()> {
        let (own, relayed) =
            tokio::join!(self.pay_itself(wallet), self.api.claim(self.campaign, new_demand(), claim));
        match &relayed {
            Err(error) if !is_taken(error) => bail!("a raced claim: {error}"),
            Err(_) => own,
            // Relayed: the wallet's own transaction may have come first or too late; the check at the end tells.
            Ok(_) => Ok(()),
        }
    }
}

/// Whether a refusal says that the entitlement is decided or paid already.
fn is_taken(error: &ApiError) -> bool {
    matches!(error.code(), Some("already_decided" | "already_paid" | "payment_seen"))
}
