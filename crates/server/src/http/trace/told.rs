//! A payment's story as a reader may hear it. Who may audit its campaign hears all of it, with the facts that rules saw;
//! others hear when and by whom, and of what is about people hashes.

use serde_json::{Value, json};
use sluice_core::command::{Action, Command};
use sluice_core::ids::Seq;
use sluice_core::log::entry::Entry;
use sluice_engine::evidence::trace::{Step, Trace};
use sluice_engine::facts::unsalted;
use sluice_gate::mandate::{ActionKind, Subject};
use sluice_store::KeptFacts;

use super::super::hidden::{person, sha256};
use super::super::problem::Problem;
use super::super::reader::Sight;
use super::super::{Api, about, from_store};

/// Claims of a story whose facts are told: each is a look-up, and a batch holds hundreds.
const FACTS_TOLD_MAX: usize = 100;

/// The story as this reader may hear it.
pub(super) async fn told(api: &Api, sight: &Sight, trace: Trace) -> Result<Value, Problem> {
    let campaign = [Subject::Campaign { campaign: trace.campaign }];
    let mut json = json!(trace);
    if sight.may(ActionKind::Audit, &campaign) {
        let claims = trace.steps.iter().filter(|step| step.inputs.is_some()).take(FACTS_TOLD_MAX);
        for step in claims {
            let facts = facts(api, step.seq).await?;
            let told = of(&mut json["steps"], step.seq);
            told.extend(facts.map(|facts| ("facts_seen".to_owned(), facts)));
        }
        return Ok(json);
    }
    let private = sight.may(ActionKind::ReadPrivate, &campaign);
    for step in &trace.steps {
        let ordered = match step.reason {
            Some(_) => command(api, step.seq).await?,
            None => None,
        };
        let hidden = is_personal(step) && !ordered.as_ref().is_some_and(|command| reads(sight, command));
        if hidden {
            let steps = json["steps"].as_array_mut().into_iter();
            steps.for_each(|steps| steps.retain(|told| told["seq"] != step.seq));
            continue;
        }
        let told = of(&mut json["steps"], step.seq);
        if let Some(command) = ordered {
            told.insert("reason".to_owned(), json!(about::reason(sight, &command)));
        }
        if let (Some(id), false) = (step.person, private) {
            told.insert("person".to_owned(), json!(person(sight, id, [])));
        }
        if !private {
            claimed(step, told);
        }
    }
    for traced in json["entitlements"].as_array_mut().into_iter().flatten() {
        // Who is paid is public once the chain shows it.
        if !private && traced["paid_by"].as_array().is_none_or(Vec::is_empty) {
            let traced = traced.as_object_mut().expect("an entitlement is an object");
            traced.remove("recipient");
            traced.remove("amount");
        }
    }
    Ok(json)
}

/// What the registrar says of a person is no step of a public story.
fn is_personal(step: &Step) -> bool {
    matches!(step.kind, "bind_person" | "change_payee")
}

fn reads(sight: &Sight, command: &Command) -> bool {
    let own = command.approvals.iter().any(|approval| sight.is(approval.authority));
    let person = match &command.action {
        Action::BindPerson { person, .. } | Action::ChangePayee { person, .. } => *person,
        _ => return own,
    };
    own || sight.may(ActionKind::ReadPrivate, &[Subject::Person { person }])
}

/// Leaves out of a claim's step what attestations and rules said of its claimant. A claim's id opens what its claimant is
/// told.
fn claimed(step: &Step, told: &mut serde_json::Map<String, Value>) {
    if !matches!(step.kind, "claim_decided" | "claim_refused") {
        return;
    }
    if let Some(id) = step.demand {
        told.insert("demand".to_owned(), json!({ "sha256": sha256(id.0.as_bytes()) }));
    }
    if !step.attestations.is_empty() {
        let hashes = step.attestations.iter().map(|id| json!({ "sha256": sha256(id.as_slice()) }));
        told.insert("attestations".to_owned(), hashes.collect());
    }
    if step.kind == "claim_refused" {
        told.remove("policies");
    }
    for rules in told.get_mut("rule_sets").and_then(Value::as_array_mut).into_iter().flatten() {
        // Their text may name people and masked causes; its SHA-256 is the rule set's name.
        rules.as_object_mut().map(|rules| rules.remove("says"));
    }
}

fn of(steps: &mut Value, seq: Seq) -> &mut serde_json::Map<String, Value> {
    let steps = steps.as_array_mut().expect("steps are a list");
    let step = steps.iter_mut().find(|step| step["seq"] == seq).expect("the step was just told");
    step.as_object_mut().expect("a step is an object")
}

/// The command of the entry at a position.
async fn command(api: &Api, seq: Seq) -> Result<Option<Command>, Problem> {
    let stream = api.node.follower().read(|log| log.stream);
    let row = api.node.store().read_log(stream, seq - 1, 1).await.map_err(from_store)?.pop();
    let entry = row.map(|row| Entry::decode(&row.entry)).transpose().map_err(Problem::internal)?;
    Ok(entry.and_then(|entry| about::command(&entry.body).cloned()))
}

/// What the rules saw of a claim; `None` where it was erased or cannot be opened here.
async fn facts(api: &Api, seq: Seq) -> Result<Option<Value>, Problem> {
    let stream = api.node.follower().read(|log| log.stream);
    let Some(KeptFacts::Open(bytes)) = api.node.store().facts_of(stream, seq).await.map_err(from_store)?
    else {
        return Ok(None);
    };
    let kept = unsalted(&bytes).map_err(|why| Problem::internal(anyhow::anyhow!(why)))?;
    Ok(Some(json!(kept.facts())))
}
