//! Who claims alone, and what they sign: every tenth wallet of a list. Lists are sorted by address, and addresses are
//! hashes, so claimants are spread over the list as by chance.

use alloy_primitives::{Address, Bytes};
use anyhow::Context;
use rayon::prelude::*;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{ContractRef, RoundNo};
use sluice_core::signing::claim_digest;
use sluice_snapshot::Snapshot;

use crate::claims::ground::FAR;
use crate::claims::wallets::Wallet;
use crate::generate::{Plan, keys};

/// Every so many-th wallet claims.
const EVERY: u64 = 10;

/// How many of a list's wallets claim alone: a tenth or a little more.
pub(super) fn claimants(rows: u64) -> u64 {
    rows.div_ceil(EVERY)
}

/// Blocks of wallets that a list has; claims are signed block by block.
pub(super) fn blocks(plan: &Plan) -> u64 {
    plan.rows.div_ceil(keys::BLOCK)
}

/// The signed claims of some blocks' claimants.
///
/// # Errors
/// When a claimant is not in the list.
pub(super) fn signed(
    plan: &Plan,
    blocks: std::ops::Range<u64>,
    snapshot: &Snapshot,
    round: RoundNo,
    distributor: ContractRef,
) -> anyhow::Result<Vec<ClaimDemand>> {
    let all = blocks.into_par_iter().map(|block| {
        let addresses = keys::addresses(plan.seed, plan.first_wallet / keys::BLOCK + block);
        let listed = addresses.into_iter().zip(block * keys::BLOCK..plan.rows);
        let claiming = listed.filter(|(_, row)| row.is_multiple_of(EVERY));
        claiming
            .map(|(address, row)| {
                let secret = keys::secret(plan.seed, plan.first_wallet + row);
                sign(&Wallet::known(secret, address.into()), snapshot, round, distributor)
            })
            .collect::<anyhow::Result<Vec<_>>>()
    });
    Ok(all.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn sign(
    wallet: &Wallet,
    snapshot: &Snapshot,
    round: RoundNo,
    distributor: ContractRef,
) -> anyhow::Result<ClaimDemand> {
    let recipient: Address = wallet.address;
    let index = snapshot.find(recipient).start;
    let listed = snapshot.entitlement(index).filter(|listed| listed.recipient == recipient);
    let mut claim = ClaimDemand {
        round,
        index,
        recipient,
        to: recipient,
        amount: listed.with_context(|| format!("{recipient} is not in the list"))?.amount,
        deadline: FAR,
        signature: Bytes::new(),
    };
    claim.signature = wallet.sign(claim_digest(&claim, distributor));
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::super::bitmap::Bitmap;
    use super::super::lists::Campaign;
    use super::*;
    use crate::generate;
    use secp256k1::Message;
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

    #[test]
    fn a_tenth_of_a_list_claims_and_signs_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let campaign = Campaign::all(generate::campaigns(3, 2, 30_001, 1_000_000)).remove(1);
        campaign.build(folder.path()).unwrap();
        let snapshot = campaign.open(folder.path()).unwrap();
        let at = ContractRef { chain_id: 1, address: Address::repeat_byte(7) };
        let claims = signed(&campaign.plan, 0..blocks(&campaign.plan), &snapshot, 1, at).unwrap();
        assert_eq!(claims.len() as u64, claimants(campaign.plan.rows));
        let mut seen = Bitmap::new(campaign.plan.rows);
        for claim in &claims {
            assert!(seen.set(claim.index), "index {} claims twice", claim.index);
            assert_eq!(signer(claim, at), claim.recipient);
        }
        let elsewhere = Campaign::all(generate::campaigns(4, 2, 30_001, 1_000_000)).remove(1);
        assert!(signed(&elsewhere.plan, 0..1, &snapshot, 1, at).is_err());
    }

    fn signer(claim: &ClaimDemand, at: ContractRef) -> Address {
        let (compact, v) = claim.signature.split_first_chunk::<64>().unwrap();
        let id = RecoveryId::try_from(i32::from(v[0]) - 27).unwrap();
        let signature = RecoverableSignature::from_compact(compact, id).unwrap();
        let digest = Message::from_digest(claim_digest(claim, at).0);
        let key = signature.recover_ecdsa(digest).unwrap().serialize_uncompressed();
        Address::from_slice(&alloy_primitives::keccak256(&key[1..])[12..])
    }
}
