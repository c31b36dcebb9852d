//! Claims of everybody in a snapshot, with the attestations that a gate would find for them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{BufRead, BufReader};

use alloy_primitives::Address;
use anyhow::{Context, bail};
use serde::Serialize;
use sluice_core::ids::{CampaignId, Millis, RoundNo};
use sluice_gate::attestation::{
    AllowList, Answers, Attestation, ForClaim, Passed, Submission, Verdict, check, read,
};
use sluice_gate::rules::{AttestationFacts, ClaimFacts};
use sluice_snapshot::Snapshot;

use super::Simulate;
use crate::cli::gate::terms::GateFile;

/// What a dry run over a list goes by.
pub(super) struct Listed {
    campaign: CampaignId,
    round: RoundNo,
    accepted_at: Millis,
    about: HashMap<Address, BTreeMap<String, AttestationFacts>>,
    unread: Unread,
}

/// What became of the attestations.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Unread {
    /// Accepted, and about somebody in the list.
    counted: u64,
    /// Refused by the gate's allow-list, or about nobody in the list.
    refused: u64,
    /// Not to be judged without asking a chain; left out.
    open: u64,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counted, refused, open } = self;
        write!(
            f,
            "{counted} count, {refused} do not, {open} would have to be asked of a chain and are left out"
        )
    }
}

impl Listed {
    /// Reads gate and attestations. Each attestation is judged for the address it names; what is about a person counts
    /// through the address that the list pays for them only where it names that address.
    pub(super) fn read(asked: &Simulate, snapshot: &Snapshot) -> anyhow::Result<Self> {
        let gate = asked.gate.as_deref().context("--snapshot needs --gate FILE")?;
        let gate = GateFile::read(gate)?;
        let mut listed = Self {
            campaign: asked.campaign.unwrap_or_default(),
            round: asked.round,
            accepted_at: asked.at().saturating_mul(1_000),
            about: HashMap::new(),
            unread: Unread::default(),
        };
        let Some(path) = &asked.attestations else { return Ok(listed) };
        if gate.attestations.is_empty() {
            bail!("--attestations {}: the gate accepts no attestations", path.display());
        }
        let allowed = gate.allowed()?;
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (line, text) in (1..).zip(BufReader::new(file).lines()) {
            let at = || format!("{}, line {line}", path.display());
            let text = text.with_context(at)?;
            if text.trim().is_empty() {
                continue;
            }
            match read(&text).map_err(|refused| anyhow::anyhow!("{}: {refused}", at()))? {
                Submission::Signed(attestation) => listed.judge(&gate, &allowed, &attestation, snapshot),
                Submission::OnChain { .. } => listed.unread.open += 1,
            }
        }
        Ok(listed)
    }

    pub(super) fn unread(&self) -> Unread {
        self.unread
    }

    /// A claim of everybody, to the listed address.
    pub(super) fn claims<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = ClaimFacts> + 'a {
        (0..snapshot.count()).filter_map(move |index| {
            let entitlement = snapshot.entitlement(index)?;
            Some(ClaimFacts {
                campaign: self.campaign,
                round: self.round,
                index,
                recipient: entitlement.recipient,
                to: entitlement.recipient,
                amount: entitlement.amount,
                decimals: snapshot.decimals(),
                person: snapshot.person(index),
                accepted_at: self.accepted_at,
                attestations: self.about.get(&entitlement.recipient).cloned().unwrap_or_default(),
            })
        })
    }

    fn judge(
        &mut self,
        gate: &GateFile,
        allowed: &AllowList,
        attestation: &Attestation,
        snapshot: &Snapshot,
    ) {
        let Some(recipient) = subject(attestation).filter(|address| !snapshot.find(*address).is_empty())
        else {
            self.unread.refused += 1;
            return;
        };
        let now = self.accepted_at / 1_000;
        let claim = ForClaim { recipient, person: None, addresses: &[], now, revoked: false };
        // Nobody is asked whether it was revoked meanwhile: a dry run is about the rules.
        let answers =
            Answers { signature: None, registry: Some(sluice_gate::attestation::Registry::Standing) };
        match check(attestation, allowed, Some(&claim), &answers) {
            Ok(Verdict::Passed(passed)) => self.take(gate, recipient, attestation, &passed),
            Ok(Verdict::Needs(..)) => self.unread.open += 1,
            Err(_) => self.unread.refused += 1,
        }
    }

    fn take(&mut self, gate: &GateFile, recipient: Address, attestation: &Attestation, passed: &Passed) {
        let Some(accepted) = gate.attestations.get(passed.entry) else { return };
        let facts = AttestationFacts::of(attestation.schema(), attestation.issuer, &passed.values);
        self.about.entry(recipient).or_default().entry(accepted.name.clone()).or_insert(facts);
        self.unread.counted += 1;
    }
}

/// The address an attestation names as its recipient.
fn subject(attestation: &Attestation) -> Option<Address> {
    use sluice_gate::attestation::{SignRecipients, Statement};
    match &attestation.statement {
        Statement::EasOffchain(eas) => Some(eas.recipient),
        Statement::EasOnchain(eas) => Some(eas.recipient),
        Statement::SignOffchain(sign) => match &sign.recipients {
            SignRecipients::Addresses(addresses) => addresses.first().copied(),
            _ => None,
        },
    }
}
