//! `sluice snapshot prove`.

use alloy_primitives::{Address, B256};
use anyhow::bail;
use clap::Args;
use serde::Serialize;
use sluice_core::amount::Amount;
use sluice_core::entitlement::Word;
use sluice_snapshot::{Absence, Format, Snapshot};

use super::{OfSnapshot, answer, tokens};

#[derive(Debug, Args)]
pub(super) struct Prove {
    #[command(flatten)]
    of: OfSnapshot,
    /// The address. Unlisted ones get a proof of absence (native snapshots).
    address: Address,
}

/// What a proof is against, and the proof.
#[derive(Serialize)]
struct Answer {
    root: B256,
    format: Format,
    depth: u8,
    count: u64,
    address: Address,
    listed: bool,
    entitlements: Vec<Proven>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absence: Option<Absence>,
}

#[derive(Serialize)]
struct Proven {
    index: u64,
    amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<B256>,
    /// The four words of the entitlement's bucket; native trees only.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<[Word; 4]>,
    proof: Vec<B256>,
}

impl Prove {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let snapshot = self.of.open()?;
        let place = snapshot.find(self.address);
        let listed = !place.is_empty();
        let entitlements = place.map(|index| proven(&snapshot, index)).collect::<anyhow::Result<Vec<_>>>()?;
        let absence = match snapshot.format() {
            _ if listed => None,
            Format::Native => Some(snapshot.absence(self.address)?),
            format => bail!("{} is not listed; the format {format} has no proofs of absence", self.address),
        };
        let (root, format, depth, count) =
            (snapshot.root(), snapshot.format(), snapshot.depth(), snapshot.count());
        let address = self.address;
        let proofs = Answer { root, format, depth, count, address, listed, entitlements, absence };
        answer(self.of.json, &proofs, &facts(&proofs, snapshot.decimals()))
    }
}

fn proven(snapshot: &Snapshot, index: u64) -> anyhow::Result<Proven> {
    let person = snapshot.person(index);
    if snapshot.format() == Format::Native {
        let proof = snapshot.proof(index)?;
        let amount = proof.entitlement().amount;
        return Ok(Proven { index, amount, person, bucket: Some(proof.bucket), proof: proof.path });
    }
    let proof = snapshot.foreign_proof(index)?;
    Ok(Proven { index, amount: proof.entitlement.amount, person, bucket: None, proof: proof.path })
}

fn facts(answer: &Answer, decimals: u8) -> Vec<(&'static str, String)> {
    let mut facts = vec![("root", answer.root.to_string()), ("address", answer.address.to_string())];
    for proven in &answer.entitlements {
        facts.push(("index", proven.index.to_string()));
        facts.push(("amount", tokens(proven.amount, decimals)));
        facts.extend(proven.person.map(|person| ("person", person.to_string())));
        let words = proven.bucket.iter().flatten();
        facts.extend(words.map(|word| ("word", B256::from(*word).to_string())));
        facts.extend(proven.proof.iter().map(|hash| ("proof", hash.to_string())));
    }
    if let Some(absence) = &answer.absence {
        facts.push(("listed", "no".to_owned()));
        let neighbours = [("before", &absence.before), ("after", &absence.after)];
        for (name, proof) in neighbours.into_iter().filter_map(|(name, proof)| Some((name, proof.as_ref()?)))
        {
            let entitlement = proof.entitlement();
            facts.push((name, format!("{} at index {}", entitlement.recipient, entitlement.index)));
            facts.extend(proof.path.iter().map(|hash| ("proof", hash.to_string())));
        }
    }
    facts
}
