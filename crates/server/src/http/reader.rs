//! Who reads, and what a mandate lets them see. A key of an institution proves the institution, its mandate says what it
//! may read; both are compared with State at the position that the answer is of, so that what was revoked opens nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use alloy_primitives::{B256, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sluice_core::command::jurisdictions_around;
use sluice_core::ids::{Millis, StreamId};
use sluice_core::signing::address_signer;
use sluice_core::state::State as Log;
use sluice_engine::follower::Follower;
use sluice_engine::recover::signer_of;
use sluice_gate::mandate::{ActionKind, CommandFacts, CompiledMandate, Subject, evaluate_mandates};

use super::Api;
use super::bounds::MANDATES_COMPILED_MAX;
use super::problem::{self, Problem};
use super::reading::{OFFICE, Reading};
use super::statement;

/// Who reads: an office that proved itself, or anybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader(Option<Arc<Office>>);

/// An office that proved itself when its request came.
#[derive(Debug)]
struct Office {
    authority: B256,
    signer: Bytes,
    mandate: B256,
    compiled: Arc<CompiledMandate>,
    follower: Follower,
    stream: StreamId,
    /// The database's clock when it came.
    at: Millis,
    /// Its statement ends.
    until: Instant,
}

/// What a reader may see at one position.
#[derive(Clone, Default)]
pub(crate) struct Sight(Option<Arc<Granted>>);

struct Granted {
    office: Arc<Office>,
    /// What was asked before: pages name the same subjects often.
    asked: Mutex<HashMap<(ActionKind, Vec<u8>), bool>>,
}

impl Reader {
    /// Whether no office proved itself.
    pub(crate) const fn is_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// What this reader may see now. To be asked under the same lock as what is shown.
    pub(crate) fn at(&self, log: &Log) -> Sight {
        let office = self.0.as_ref().filter(|office| {
            office.until > Instant::now()
                && log.authority_of(&office.signer) == Some(office.authority)
                && in_force(log, office.mandate, office.authority).is_ok()
        });
        Sight(office.map(|office| Arc::new(Granted { office: Arc::clone(office), asked: Mutex::default() })))
    }

    async fn of(api: &Api, parts: &Parts) -> Result<Self, Problem> {
        let Some(reading) = statement::shown(parts, (OFFICE, "Office"), Reading::decode)? else {
            return Ok(Self::default());
        };
        let at = api.node.now();
        let left = api.names.good_for(&reading.host, reading.expires_at, at).map_err(unproved)?;
        let known = api.node.follower().read(|log| {
            let charter = log.home_charter().ok_or(problem::NOT_READY)?.charter;
            if reading.stream != log.stream {
                return Err(unproved(format!("this is stream {}, not {}", log.stream.0, reading.stream.0)));
            }
            if log.authority_of(&reading.signer) != Some(reading.authority) {
                return Err(unproved("the signer is no key of this authority, or was revoked"));
            }
            Ok((charter, in_force(log, reading.mandate, reading.authority)))
        });
        let (charter, mandate) = known?;
        let signed = address_signer(&reading.signer)
            .is_some_and(|address| signer_of(reading.digest(charter), &reading.signature) == Some(address));
        if !signed {
            let detail = "the signature is not this signer's over this statement; contracts cannot sign here";
            return Err(unproved(detail));
        }
        // Whoever has proved to be the institution is told what is wrong with its mandate; nobody else is.
        let text = mandate.map_err(|why| Problem::from(problem::FORBIDDEN).field("Office").detail(why))?;
        let compiled = api.mandates.compiled(reading.mandate, text).await?;
        Ok(Self(Some(Arc::new(Office {
            authority: reading.authority,
            signer: reading.signer,
            mandate: reading.mandate,
            compiled,
            follower: api.node.follower().clone(),
            stream: reading.stream,
            at,
            until: Instant::now() + left,
        }))))
    }
}

impl FromRequestParts<Api> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Self::of(api, parts).await
    }
}

/// The text of a mandate that this institution holds and that has not ended; else what is wrong.
fn in_force(log: &Log, id: B256, holder: B256) -> Result<Bytes, &'static str> {
    let mandate = log.mandates.get(&id).filter(|mandate| mandate.terms.holder == holder);
    let mandate = mandate.ok_or("this authority holds no such mandate")?;
    if mandate.ended { Err("this mandate has ended") } else { Ok(mandate.terms.text.clone()) }
}

fn unproved(detail: impl Into<Box<str>>) -> Problem {
    Problem::from(problem::OFFICE_UNPROVED).field("Office").detail(detail)
}

impl Sight {
    /// Whether the mandate lets this reader do this kind of reading about one of these. Not to be asked while State is read:
    /// it looks up where the subject lies.
    pub(crate) fn may(&self, action: ActionKind, about: &[Subject]) -> bool {
        let Some(granted) = &self.0 else { return false };
        about.iter().any(|subject| granted.may(action, subject))
    }

    /// Whether it is this institution that reads.
    pub(crate) fn is(&self, authority: B256) -> bool {
        self.0.as_ref().is_some_and(|granted| granted.office.authority == authority)
    }
}

impl Granted {
    fn may(&self, action: ActionKind, subject: &Subject) -> bool {
        let key = (action, borsh::to_vec(subject).expect("writing to memory cannot fail"));
        if let Some(known) = self.asked.lock().expect("no panic inside").get(&key) {
            return *known;
        }
        let may = self.office.may(action, subject);
        self.asked.lock().expect("no panic inside").insert(key, may);
        may
    }
}

impl Office {
    fn may(&self, action: ActionKind, subject: &Subject) -> bool {
        let facts = CommandFacts {
            authority: self.authority,
            action,
            stream: self.stream,
            subject: subject.clone(),
            jurisdictions: self.follower.read(|log| jurisdictions(log, subject)),
            count: 1,
            spending: None,
            delegated: false,
            accepted_at: self.at,
        };
        // Nobody counts readings: a permit with a limit, which cannot be kept, permits none.
        evaluate_mandates(&[&self.compiled], &facts)
            .is_ok_and(|permit| permit.limits.admit((Default::default(), u64::MAX), 1, None).is_ok())
    }
}

/// The jurisdictions that a subject belongs to.
fn jurisdictions(log: &Log, subject: &Subject) -> Vec<String> {
    if let Subject::Person { person } = subject {
        return log.persons.get(person).map_or_else(Vec::new, |p| jurisdictions_around(&p.jurisdiction));
    }
    let campaign = subject.campaign().and_then(|id| log.campaign(id));
    campaign.map_or_else(Vec::new, |campaign| jurisdictions_around(&campaign.terms.jurisdiction))
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sight").field(&self.0.as_ref().map(|granted| granted.office.authority)).finish()
    }
}

/// Mandates that readers named lately, compiled. A mandate's words never change under its id.
#[derive(Debug, Default)]
pub(crate) struct Mandates(Mutex<HashMap<B256, Arc<CompiledMandate>>>);

impl Mandates {
    async fn compiled(&self, id: B256, text: Bytes) -> Result<Arc<CompiledMandate>, Problem> {
        if let Some(known) = self.0.lock().expect("no panic inside").get(&id) {
            return Ok(Arc::clone(known));
        }
        let compiled = super::blocking(move || CompiledMandate::compile(&text)).await?;
        let compiled = Arc::new(compiled.map_err(|problems| {
            Problem::from(problem::FORBIDDEN).field("Office").detail(format!("the mandate: {problems}"))
        })?);
        let mut known = self.0.lock().expect("no panic inside");
        if known.len() >= MANDATES_COMPILED_MAX {
            known.clear();
        }
        known.insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }
}
