//! The steps of a story: every entry that concerns the entitlements traced, then what those steps rest on.

mod offices;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use sluice_core::amount::Amount;
use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::ids::{BatchNo, DemandId, EntitlementId, RoundNo, Seq};
use sluice_core::log::entry::{Body, ChainEvent, ClaimDecided, Due, Entry, Evidence, SignedBy, WordMask};
use sluice_gate::rules::KeptClaim;

use super::find::{Found, decode};
use super::{DelegationShown, MandateShown, RulesShown, Step, Trace, Traced, Who};
use crate::evidence::{EvidenceError, Kept, LogSource, Page};
use crate::facts::unsalted;

pub(super) async fn tell(source: &LogSource, found: &Found) -> Result<Trace, EvidenceError> {
    let mut story = Story::new(found);
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        for row in &page.rows {
            story.hear(&decode(row)?, &page);
        }
    }
    // That its round was published says nothing of it.
    if story.steps.iter().all(|step| matches!(step.kind, "create_campaign" | "publish")) {
        let what = "the log says nothing about it: nobody claimed or pushed it";
        return Err(EvidenceError::NotFound(what.into()));
    }
    if !(story.persons.is_empty() && story.attestations.is_empty()) {
        let mut pages = source.pages()?;
        while let Some(page) = pages.next().await? {
            for row in &page.rows {
                story.hear_of_people(&decode(row)?);
            }
        }
    }
    Ok(story.end())
}

/// What institutions put into force, with the steps of its history.
struct Known<T> {
    shown: T,
    steps: Vec<Step>,
}

struct Story<'a> {
    found: &'a Found,
    as_of: Seq,
    name: String,
    steps: Vec<Step>,
    traced: BTreeMap<EntitlementId, Traced>,
    /// Batches that hold what is traced.
    batches: BTreeSet<BatchNo>,
    /// Blocks with events about it.
    blocks: BTreeSet<u64>,
    /// Holds over it, in force or ended.
    holds: BTreeSet<Seq>,
    appeals: BTreeSet<Seq>,
    /// Whom holds on persons, and appeals against them, are about.
    held_persons: BTreeMap<Seq, B256>,
    persons: BTreeSet<B256>,
    attestations: BTreeSet<B256>,
    names: BTreeMap<B256, String>,
    mandates: BTreeMap<B256, Known<MandateShown>>,
    delegations: BTreeMap<B256, Known<DelegationShown>>,
    rule_sets: BTreeMap<B256, Known<RulesShown>>,
    gates: BTreeMap<u64, Step>,
    gates_used: BTreeSet<u64>,
}

impl<'a> Story<'a> {
    fn new(found: &'a Found) -> Self {
        let traced = |id: &EntitlementId| {
            (*id, Traced { id: *id, recipient: None, amount: None, paid_by: Vec::new() })
        };
        Self {
            found,
            as_of: 0,
            name: String::new(),
            steps: Vec::new(),
            traced: found.entitlements.iter().map(traced).collect(),
            batches: BTreeSet::new(),
            blocks: BTreeSet::new(),
            holds: BTreeSet::new(),
            appeals: BTreeSet::new(),
            held_persons: BTreeMap::new(),
            persons: BTreeSet::new(),
            attestations: BTreeSet::new(),
            names: BTreeMap::new(),
            mandates: BTreeMap::new(),
            delegations: BTreeMap::new(),
            rule_sets: BTreeMap::new(),
            gates: BTreeMap::new(),
            gates_used: BTreeSet::new(),
        }
    }

    fn is_traced(&self, id: EntitlementId) -> bool {
        self.found.entitlements.contains(&id)
    }

    /// How many of these words' entitlements are traced.
    fn among(&self, words: &[WordMask]) -> usize {
        let inside = |word: &WordMask| {
            word.indexes()
                .filter(|index| self.is_traced(EntitlementId { round: word.round, index: *index }))
                .count()
        };
        words.iter().map(inside).sum()
    }

    fn is_round(&self, round: RoundNo) -> bool {
        self.found.entitlements.iter().any(|id| id.round == round)
    }

    fn hear(&mut self, entry: &Entry, page: &Page) {
        self.as_of = entry.seq;
        let campaign = self.found.campaign;
        let kept = page.facts.get(&entry.seq);
        let step = match &entry.body {
            Body::CampaignCreated(c) if c.outcome.campaign == campaign => {
                self.name.clone_from(&c.outcome.name);
                let says = format!("The campaign {:?} was taken into the log.", c.outcome.name);
                Some(self.ordered(entry, &c.command, c.id, &c.evidence, says))
            }
            Body::RoundPublished(r) if r.terms.campaign == campaign && self.is_round(r.terms.round) => {
                self.gates_used.insert(r.terms.gate);
                let held = r.held.iter().filter(|(_, index, _)| {
                    self.is_traced(EntitlementId { round: r.terms.round, index: *index })
                });
                let holds: Vec<Seq> = held.map(|(hold, ..)| *hold).collect();
                self.holds.extend(holds);
                let says = format!(
                    "Round {} of {} entitlements was published: {:?}, gate {}, list {}.",
                    r.terms.round, r.terms.count, r.terms.mode, r.terms.gate, r.terms.list_hash
                );
                Some(self.ordered(entry, &r.command.command, r.command.id, &r.command.evidence, says))
            }
            Body::ClaimDecided(c) if c.intake.campaign == campaign && self.is_traced(c.entitlement) => {
                Some(self.decided(entry, c, kept))
            }
            Body::ClaimRefused(c) if c.intake.campaign == campaign && self.is_traced(c.entitlement) => {
                let says = format!(
                    "A claim on {}/{} was refused: {} ({})",
                    c.entitlement.round,
                    c.entitlement.index,
                    c.code.sentence(),
                    c.code.as_str()
                );
                Some(self.rested(step(entry, "claim_refused", says).of(c.id), &c.evidence, kept))
            }
            Body::Pushed(p) => self.pushed(entry, p),
            Body::Voided(v) => self.voided(entry, v),
            Body::Due(due) => self.due(entry, due),
            Body::Ordered(o) => self.office(entry, o),
            Body::GateSigned(g) if g.signed.campaign == campaign => {
                let word = |w: &sluice_core::log::entry::GateMask| WordMask {
                    round: w.round,
                    word: w.word,
                    mask: w.mask,
                };
                let words: Vec<WordMask> = g.signed.words.iter().map(word).collect();
                (self.among(&words) > 0).then(|| {
                    let says = format!("Gate version {} signed it.", g.signed.version);
                    step(entry, "gate_signed", says).of(g.id)
                })
            }
            Body::EventsMined(m) if m.campaign == campaign => self.events(entry, m),
            other => self.batch(entry, other),
        };
        self.steps.extend(step);
    }

    fn decided(&mut self, entry: &Entry, c: &ClaimDecided, kept: Option<&Kept>) -> Step {
        if let Some(traced) = self.traced.get_mut(&c.entitlement) {
            (traced.recipient, traced.amount) = (Some(c.recipient), Some(c.amount));
        }
        let signed = match c.signed_by {
            SignedBy::Key => "the recipient's key (ECDSA)",
            SignedBy::Contract => "the recipient's contract (ERC-1271)",
        };
        let redirected =
            if c.redirect.is_some() { ", to another address by the recipient's signature" } else { "" };
        let says =
            format!("A claim on {}/{} was decided{redirected}.", c.entitlement.round, c.entitlement.index);
        let mut told = self.rested(step(entry, "claim_decided", says).of(c.id), &c.evidence, kept);
        told.signed_by = Some(signed);
        told
    }

    fn pushed(&self, entry: &Entry, p: &sluice_core::log::entry::Pushed) -> Option<Step> {
        let Action::Push { campaign, round, from, to } = p.command.command.action else { return None };
        let inside = |id: &&EntitlementId| id.round == round && (from..to).contains(&id.index);
        let count = self.found.entitlements.iter().filter(inside).count();
        (campaign == self.found.campaign && count > 0).then(|| {
            let says =
                format!("Entitlements {from} to {} of round {round} were decided without a claim.", to - 1);
            self.ordered(entry, &p.command.command, p.command.id, &p.command.evidence, says)
        })
    }

    fn voided(&self, entry: &Entry, v: &sluice_core::log::entry::Voided) -> Option<Step> {
        let Action::Void { campaign, round, indexes } = &v.command.command.action else { return None };
        let named =
            indexes.iter().filter(|i| self.is_traced(EntitlementId { round: *round, index: **i })).count();
        let annulled =
            v.items.iter().filter(|(i, _)| self.is_traced(EntitlementId { round: *round, index: *i }));
        let annulled = annulled.count();
        (*campaign == self.found.campaign && named > 0).then(|| {
            let says =
                format!("{annulled} of {named} were annulled; the others were paid or annulled before.");
            self.ordered(entry, &v.command.command, v.command.id, &v.command.evidence, says)
        })
    }

    fn due(&mut self, entry: &Entry, due: &Due) -> Option<Step> {
        match due {
            Due::HoldEnds { hold } if self.holds.contains(hold) => {
                let told = step(entry, "hold_ends", format!("The hold of {hold} ended by itself."));
                Some(self.of_held_person(told, *hold))
            }
            Due::AppealLapses { appeal } if self.appeals.contains(appeal) => {
                let says = format!("The appeal of {appeal} was not answered in time.");
                Some(self.of_held_person(step(entry, "appeal_lapses", says), *appeal))
            }
            Due::RulesStart { rules } => {
                let started = step(entry, "rules_start", format!("Rule set {rules} came into force."));
                if let Some(known) = self.rule_sets.get_mut(rules) {
                    known.steps.push(started);
                }
                None
            }
            _ => None,
        }
    }

    /// A step about this hold or appeal: whoever is told of it knows which entitlements are one person's, if it is about one.
    fn of_held_person(&self, told: Step, at: Seq) -> Step {
        let held_person = self.held_persons.get(&at).copied();
        Step { personal: told.personal || held_person.is_some(), held_person, ..told }
    }

    fn events(&mut self, entry: &Entry, m: &sluice_core::log::entry::EventsMined) -> Option<Step> {
        let (mut says, mut transaction) = (Vec::new(), None);
        for event in &m.events {
            match event {
                ChainEvent::Voided { items } if items.iter().any(|(id, _)| self.is_traced(*id)) => {
                    says.push("It was annulled on chain.".to_owned());
                }
                ChainEvent::HoldSet { mask, .. } if self.among(&[*mask]) > 0 => {
                    says.push("It was held on chain.".to_owned());
                }
                ChainEvent::HoldCleared { mask } if self.among(&[*mask]) > 0 => {
                    says.push("Its hold on chain ended.".to_owned());
                }
                other => {
                    if let Some((id, hash)) = other.payment().filter(|(id, _)| self.is_traced(*id)) {
                        self.paid(id, hash, event_amount(other));
                        says.push(format!("{}/{} was paid by another hand.", id.round, id.index));
                        transaction = Some(hash);
                    }
                }
            }
        }
        (!says.is_empty()).then(|| {
            self.blocks.insert(m.block.number);
            let mut told = step(entry, "events_mined", says.join(" "));
            (told.block, told.transaction) = (Some(m.block), transaction);
            told
        })
    }

    fn paid(&mut self, id: EntitlementId, by: B256, amount: Option<Amount>) {
        if let Some(traced) = self.traced.get_mut(&id) {
            if !traced.paid_by.contains(&by) {
                traced.paid_by.push(by);
            }
            traced.amount = traced.amount.or(amount);
        }
    }

    /// What became of batches, and of blocks with events.
    fn batch(&mut self, entry: &Entry, body: &Body) -> Option<Step> {
        let campaign = self.found.campaign;
        let ours = |story: &Self, of, batch: BatchNo| of == campaign && story.batches.contains(&batch);
        let (mut told, batch) = match body {
            Body::BatchPlanned(p) if p.campaign == campaign && self.among(&p.words) > 0 => {
                self.batches.insert(p.batch);
                let says = format!("Batch {} was planned with {} of them.", p.batch, self.among(&p.words));
                (step(entry, "batch_planned", says), p.batch)
            }
            Body::AttemptSigned(a) if ours(self, a.campaign, a.batch) => {
                let says = format!("A transaction was signed by {} with nonce {}.", a.lane, a.nonce);
                (Step { transaction: Some(a.tx_hash), ..step(entry, "attempt_signed", says) }, a.batch)
            }
            Body::BatchMined(m) if ours(self, m.campaign, m.batch) => {
                let paid: Vec<EntitlementId> = self
                    .found
                    .entitlements
                    .iter()
                    .filter(|id| m.paid.iter().any(|word| word.contains(id.round, id.index)))
                    .copied()
                    .collect();
                paid.iter().for_each(|id| self.paid(*id, m.tx_hash, None));
                let skipped = m.skipped.iter().filter(|s| self.is_traced(s.entitlement)).count();
                let says = format!("Mined: {} were paid, {skipped} were skipped.", paid.len());
                let told = step(entry, "batch_mined", says);
                (Step { transaction: Some(m.tx_hash), block: Some(m.block), ..told }, m.batch)
            }
            Body::BatchUnmined(at) if ours(self, at.campaign, at.batch) => {
                let told = step(entry, "batch_unmined", "Its block was reorganised away.".into());
                (Step { block: Some(at.block), ..told }, at.batch)
            }
            Body::BatchFinal(at) if ours(self, at.campaign, at.batch) => {
                let told = step(entry, "batch_final", "Its block is final.".into());
                (Step { block: Some(at.block), ..told }, at.batch)
            }
            Body::BatchReplanned(r) if ours(self, r.campaign, r.batch) => {
                self.batches.remove(&r.batch);
                (step(entry, "batch_replanned", "The batch's content was given up.".into()), r.batch)
            }
            Body::EventsUnmined(at) if at.campaign == campaign && self.blocks.contains(&at.block.number) => {
                let told = step(entry, "events_unmined", "That block was reorganised away.".into());
                return Some(Step { block: Some(at.block), ..told });
            }
            Body::EventsFinal(at) if at.campaign == campaign && self.blocks.contains(&at.block.number) => {
                let told = step(entry, "events_final", "That block is final.".into());
                return Some(Step { block: Some(at.block), ..told });
            }
            _ => return None,
        };
        told.batch = Some(batch);
        Some(told)
    }

    /// A command's step.
    fn ordered(
        &self,
        entry: &Entry,
        command: &Command,
        id: DemandId,
        evidence: &Evidence,
        says: String,
    ) -> Step {
        let who = |approval: &sluice_core::command::Approval| Who {
            authority: approval.authority,
            name: self.names.get(&approval.authority).cloned().unwrap_or_default(),
            signer: approval.signer.clone(),
        };
        Step {
            valid_at: (command.valid_at != 0).then_some(command.valid_at),
            reason: Some(command.reason.clone()),
            by: command.approvals.iter().map(who).collect(),
            mandate: self.mandates.get(&evidence.mandate).map(|known| known.shown.clone()),
            delegation: self.delegations.get(&evidence.delegation).map(|known| known.shown.clone()),
            policies: evidence.policies.clone(),
            looked_at: evidence.looked_at,
            personal: is_personal(&command.action),
            ..step(entry, command.action.name(), says).of(id)
        }
    }

    /// A claim's step with what it rested on.
    fn rested(&mut self, told: Step, evidence: &Evidence, kept: Option<&Kept>) -> Step {
        // Of a refusal the entry itself tells no more than the claimant may know.
        let (mut policies, mut attestations, mut cause) =
            (evidence.policies.clone(), evidence.attestations.clone(), None);
        if let Some(Kept::Open(bytes)) = kept
            && let Ok(KeptClaim::Refused(refused)) = unsalted(bytes)
        {
            (policies, attestations, cause) = (refused.policies, refused.attestations, Some(refused.cause));
        }
        let kept = match kept {
            Some(Kept::Open(_)) => "kept",
            Some(Kept::Sealed) => "sealed",
            Some(Kept::Broken) => "changed",
            None => "erased",
        };
        // Only what the entry names: whether an attestation behind a refusal was revoked is no step for everybody.
        self.attestations.extend(&evidence.attestations);
        let person = (!evidence.person.is_zero()).then_some(evidence.person);
        self.persons.extend(person);
        let rules = evidence.rule_sets.iter().filter_map(|name| self.rule_sets.get(name));
        let inputs = (!evidence.inputs.is_zero()).then_some(evidence.inputs);
        Step {
            rule_sets: rules.map(|known| known.shown.clone()).collect(),
            policies,
            attestations,
            cause,
            person,
            inputs,
            facts: inputs.map(|_| kept),
            looked_at: evidence.looked_at,
            ..told
        }
    }

    /// Adds what the steps rest on, and puts the newest first.
    fn end(mut self) -> Trace {
        let mut rests = BTreeMap::new();
        for step in &self.steps {
            for rules in &step.rule_sets {
                rests.extend(self.rule_sets[&rules.rules].steps.iter().map(|s| (s.seq, s.clone())));
            }
        }
        for gate in &self.gates_used {
            rests.extend(self.gates.get(gate).map(|step| (step.seq, step.clone())));
        }
        let offices: Vec<Step> = self.steps.iter().chain(rests.values()).cloned().collect();
        for step in &offices {
            let mandate = step.mandate.as_ref().and_then(|shown| self.mandates.get(&shown.mandate));
            let delegation =
                step.delegation.as_ref().and_then(|shown| self.delegations.get(&shown.delegation));
            let steps = mandate.into_iter().flat_map(|known| &known.steps);
            let steps = steps.chain(delegation.into_iter().flat_map(|known| &known.steps));
            rests.extend(steps.map(|step| (step.seq, step.clone())));
        }
        self.steps.extend(rests.into_values());
        self.steps.sort_by_key(|step| std::cmp::Reverse(step.seq));
        self.steps.dedup_by_key(|step| step.seq);
        Trace {
            as_of: self.as_of,
            campaign: self.found.campaign,
            name: self.name,
            entitlements: self.traced.into_values().collect(),
            steps: self.steps,
        }
    }
}

/// Whether a command is about a person, not about what is paid.
const fn is_personal(action: &Action) -> bool {
    matches!(
        action,
        Action::BindPerson { .. }
            | Action::ChangePayee { .. }
            | Action::Hold { target: HoldTarget::Person { .. } }
    )
}

fn note<T>(known: &mut BTreeMap<B256, Known<T>>, id: &B256, step: Step) -> Option<Step> {
    if let Some(known) = known.get_mut(id) {
        known.steps.push(step);
    }
    None
}

fn step(entry: &Entry, kind: &'static str, says: String) -> Step {
    Step { seq: entry.seq, epoch: entry.epoch, recorded_at: entry.recorded_at, kind, says, ..Step::default() }
}

impl Step {
    fn of(self, demand: DemandId) -> Self {
        Self { demand: Some(demand), ..self }
    }
}

fn event_amount(event: &ChainEvent) -> Option<Amount> {
    match event {
        ChainEvent::Paid { amount, .. } => Some(*amount),
        _ => None,
    }
}
