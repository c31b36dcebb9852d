//! A payment's story as a reader may hear it. Who may audit its campaign hears all of it, with the facts that rules saw;
//! others hear what is left of it without personal data, and of that what their mandates let them read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_core::command::Command;
use sluice_core::ids::Seq;
use sluice_core::log::entry::Entry;
use sluice_engine::evidence::trace::{Step, Trace};
use sluice_engine::facts::unsalted;
use sluice_gate::mandate::{ActionKind, Subject};
use sluice_store::KeptFacts;

use super::super::hidden::sha256;
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
    // One redaction for everybody; what this reader may see beyond it is added.
    let private = sight.may(ActionKind::ReadPrivate, &campaign);
    let public = trace.clone().without_personal_data();
    json["entitlements"] = json!(if private { &trace.entitlements } else { &public.entitlements });
    let mut public: BTreeMap<Seq, Step> = public.steps.into_iter().map(|step| (step.seq, step)).collect();
    let mut steps = Vec::new();
    for step in &trace.steps {
        let public = public.remove(&step.seq);
        let ordered = if step.reason.is_some() { command(api, step.seq).await? } else { None };
        steps.extend(match ordered {
            Some(command) => office(sight, &command, step, public),
            None => match public {
                Some(public) => Some(if private { json!(step) } else { stranger(step, &public) }),
                None => reads_person(sight, step).then(|| json!(step)),
            },
        });
    }
    json["steps"] = Value::Array(steps);
    Ok(json)
}

/// An order, with its reason as this reader may see it; one about a person only for those who may read that person.
fn office(sight: &Sight, command: &Command, step: &Step, public: Option<Step>) -> Option<Value> {
    let reason = about::reason(sight, command);
    let shown = match public {
        Some(public) => json!(public),
        None if reason.is_hidden() && !reads_person(sight, step) => return None,
        None => json!(step),
    };
    Some(with(shown, "reason", json!(reason)))
}

/// Whether a step is about a hold on somebody whom this reader may read.
fn reads_person(sight: &Sight, step: &Step) -> bool {
    let held = step.held_person;
    held.is_some_and(|person| sight.may(ActionKind::ReadPrivate, &[Subject::Person { person }]))
}

/// What happened to a claim, for everybody: beyond the redaction no more than a hash of its id, as the feed has it.
fn stranger(step: &Step, public: &Step) -> Value {
    match step.demand.filter(|_| public.demand.is_none()) {
        Some(id) => with(json!(public), "demand", json!({ "sha256": sha256(id.0.as_bytes()) })),
        None => json!(public),
    }
}

fn with(mut step: Value, name: &str, value: Value) -> Value {
    step[name] = value;
    step
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
