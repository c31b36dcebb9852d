//! The part of a story that institutions and persons tell by their commands.

use sluice_core::command::{Action, AppealAbout, HoldTarget};
use sluice_core::log::entry::{Body, Commanded, Entry, Outcome};
use sluice_gate::mandate::{CompiledMandate, explain_mandate};
use sluice_gate::rules::{Compiled, explain};

use super::super::{DelegationShown, MandateShown, RulesShown};
use super::{Known, Step, Story, note};

impl Story<'_> {
    /// What institutions ordered: about what is traced, or something that it may turn out to rest on.
    pub(super) fn office(&mut self, entry: &Entry, o: &Commanded<Outcome>) -> Option<Step> {
        let action = &o.command.action;
        let told = |story: &Self, says: String| story.ordered(entry, &o.command, o.id, &o.evidence, says);
        match action {
            Action::RegisterAuthority(terms) => {
                self.names.insert(terms.authority, terms.name.clone());
                None
            }
            Action::GrantMandate(terms) => {
                let compiled = CompiledMandate::compile(&terms.text).ok();
                let says = compiled.as_ref().map(|c| explain_mandate(c).to_vec()).unwrap_or_default();
                let id = terms.id(o.id);
                let shown = MandateShown { mandate: id, holder: terms.holder, granted: entry.seq, says };
                let steps = vec![told(self, format!("Mandate {id} was granted."))];
                self.mandates.insert(id, Known { shown, steps });
                None
            }
            Action::Delegate(terms) => {
                let id = terms.id(o.id);
                let shown = DelegationShown {
                    delegation: id,
                    authority: terms.authority,
                    vendor: terms.vendor.clone(),
                    actions: terms.actions.clone(),
                    expires_at: terms.expires_at,
                    made: entry.seq,
                };
                let steps = vec![told(self, format!("Delegation {id} was made."))];
                self.delegations.insert(id, Known { shown, steps });
                None
            }
            Action::RevokeMandate { mandate } => {
                let ended = told(self, format!("Mandate {mandate} was revoked."));
                note(&mut self.mandates, mandate, ended)
            }
            Action::RevokeDelegation { delegation } => {
                let ended = told(self, format!("Delegation {delegation} was revoked."));
                note(&mut self.delegations, delegation, ended)
            }
            Action::ProposeRules(terms) => {
                let compiled = Compiled::compile(&terms.text).ok();
                let rules = terms.hash();
                let shown = RulesShown {
                    rules,
                    owner: terms.owner,
                    lineage: terms.lineage.clone(),
                    version: compiled.as_ref().map(|c| c.manifest().version.clone()).unwrap_or_default(),
                    proposed: entry.seq,
                    says: compiled.as_ref().map(explain).unwrap_or_default(),
                };
                let steps = vec![told(self, format!("Rule set {rules} was proposed."))];
                self.rule_sets.insert(rules, Known { shown, steps });
                None
            }
            Action::ApproveRules { rules } => {
                let approved = told(self, format!("Rule set {rules} was approved."));
                note(&mut self.rule_sets, rules, approved)
            }
            Action::ActivateRules { rules, .. } => {
                let activated = told(self, format!("Rule set {rules} was activated."));
                note(&mut self.rule_sets, rules, activated)
            }
            Action::RetireRules { rules } => {
                let retired = told(self, format!("Rule set {rules} was retired."));
                note(&mut self.rule_sets, rules, retired)
            }
            Action::DefineGate(terms) if terms.campaign == self.found.campaign => {
                let says = format!(
                    "Gate version {} was defined with {} rule sets.",
                    terms.version,
                    terms.rule_sets.len()
                );
                let defined = told(self, says);
                self.gates.insert(terms.version.into(), defined);
                None
            }
            _ => self.about_it(entry, o),
        }
    }

    /// Holds, pauses and appeals over what is traced.
    pub(super) fn about_it(&mut self, entry: &Entry, o: &Commanded<Outcome>) -> Option<Step> {
        let campaign = self.found.campaign;
        let mut of = entry.seq;
        let says = match &o.command.action {
            Action::Hold { target } => {
                let Outcome::Held(placed) = &o.outcome else { return None };
                if let HoldTarget::Person { person } = target {
                    self.held_persons.insert(entry.seq, *person);
                }
                let whole = matches!(target, HoldTarget::Campaign { campaign: of } if *of == campaign);
                let covers =
                    placed.covers.iter().filter(|c| c.campaign == campaign && self.is_traced(c.entitlement));
                let covered = covers.count();
                // A hold on a person may cover it only in a round published later: it is told if it comes to that.
                if !whole && covered == 0 {
                    return None;
                }
                self.holds.insert(entry.seq);
                let late = placed
                    .in_flight
                    .iter()
                    .filter(|(id, of, _)| *of == campaign && self.is_traced(*id))
                    .count();
                match whole {
                    true => format!(
                        "The whole campaign was held; {} batches were under way.",
                        placed.batches.len()
                    ),
                    false => format!("{covered} were held; for {late} of them a batch was under way."),
                }
            }
            Action::ConfirmHold { hold } if self.holds.contains(hold) => {
                of = *hold;
                format!("The hold of {hold} was confirmed.")
            }
            Action::RenewHold { hold } if self.holds.contains(hold) => {
                of = *hold;
                format!("The hold of {hold} was renewed.")
            }
            Action::Release { hold } if self.holds.contains(hold) => {
                of = *hold;
                format!("The hold of {hold} was released.")
            }
            Action::Pause { campaign: paused, .. } if *paused == campaign => {
                "The campaign was paused.".into()
            }
            Action::Resume { campaign: resumed } if *resumed == campaign => {
                "The campaign was resumed.".into()
            }
            Action::SetLimit { campaign: limited, .. } if *limited == campaign => {
                "The campaign's limit was set.".into()
            }
            Action::FileAppeal { about } => {
                let about_it = match about {
                    AppealAbout::Hold { hold } => self.holds.contains(hold),
                    AppealAbout::Void { campaign: of, entitlement }
                    | AppealAbout::Refusal { campaign: of, entitlement } => {
                        *of == campaign && self.is_traced(*entitlement)
                    }
                };
                if !about_it {
                    return None;
                }
                self.appeals.insert(entry.seq);
                if let AppealAbout::Hold { hold } = about
                    && let Some(person) = self.held_persons.get(hold).copied()
                {
                    self.held_persons.insert(entry.seq, person);
                }
                "An appeal was filed.".into()
            }
            Action::AnswerAppeal { appeal, upheld } if self.appeals.contains(appeal) => {
                of = *appeal;
                format!("The appeal of {appeal} was {}.", if *upheld { "upheld" } else { "denied" })
            }
            _ => return None,
        };
        let told = self.ordered(entry, &o.command, o.id, &o.evidence, says);
        Some(self.of_held_person(told, of))
    }

    /// What registrars and issuers said of the persons and attestations found.
    pub(super) fn hear_of_people(&mut self, entry: &Entry) {
        let Body::Ordered(o) = &entry.body else { return };
        let says = match &o.command.action {
            Action::BindPerson { person, .. } if self.persons.contains(person) => {
                "The person was bound to an address."
            }
            Action::ChangePayee { person, .. } if self.persons.contains(person) => {
                "The person moved to another address."
            }
            Action::RevokeAttestation { uid } if self.attestations.contains(uid) => {
                "An attestation that was used was revoked."
            }
            Action::Hold { target: HoldTarget::Person { person } }
                if self.persons.contains(person) && !self.steps.iter().any(|step| step.seq == entry.seq) =>
            {
                "The person was held."
            }
            _ => return,
        };
        let told = self.ordered(entry, &o.command, o.id, &o.evidence, says.into());
        self.steps.push(told);
    }
}
