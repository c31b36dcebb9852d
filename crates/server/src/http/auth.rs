//! Who asks, as far as a key tells. Citizens need none. A key names a project, for limits and for what it may manage;
//! the operator's creates projects.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use alloy_primitives::B256;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use sluice_core::ids::ProjectId;
use sluice_store::Store;

use super::bounds::{KEY_KNOWN_FOR, KEYS_KNOWN_MAX};
use super::extract::Path;
use super::problem::{self, Problem};
use crate::keys::bearer::{self, Purpose};

/// Who asks. The front door puts it into every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No key was shown.
    Anyone,
    /// A project's key.
    Project(ProjectId),
    /// The operator's key.
    Operator,
}

impl Caller {
    /// Refuses everyone but the operator.
    fn must_be_operator(self) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Project(_) => {
                Err(Problem::from(problem::FORBIDDEN).detail("this takes the operator's key"))
            }
            Self::Anyone => Err(Problem::from(problem::UNAUTHORIZED).detail("this takes the operator's key")),
        }
    }

    /// Refuses everyone but the operator and this project.
    fn must_manage(self, project: ProjectId) -> Result<(), Problem> {
        match self {
            Self::Operator => Ok(()),
            Self::Project(own) if own == project => Ok(()),
            Self::Project(_) => {
                Err(Problem::from(problem::FORBIDDEN).detail("this key is another project's"))
            }
            Self::Anyone => {
                Err(Problem::from(problem::UNAUTHORIZED).detail("this takes a key of the project"))
            }
        }
    }

    /// Whether a key was shown. It opens no personal data: those take a mandate (`super::reader`).
    pub(crate) const fn has_key(self) -> bool {
        !matches!(self, Self::Anyone)
    }

    /// Whether a project's campaigns are this caller's to see.
    pub(crate) fn sees(self, project: ProjectId) -> bool {
        self.may_see(project).is_ok()
    }

    /// Refuses another project's key: a project sees only its own.
    pub(crate) fn may_see(self, project: ProjectId) -> Result<(), Problem> {
        match self {
            Self::Project(own) if own != project => {
                Err(Problem::from(problem::FORBIDDEN).detail("this campaign is another project's"))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Anyone))
    }
}

/// The operator asks. Everybody else is refused before anything of the body is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByOperator;

impl<S: Sync> FromRequestParts<S> for ByOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(caller) = Caller::from_request_parts(parts, state).await;
        caller.must_be_operator().map(|()| Self)
    }
}

/// The project in the address, whose key or the operator's was shown. Everybody else is refused before anything of the body
/// is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Managed(pub ProjectId);

#[derive(Deserialize)]
struct InAddress {
    project: ProjectId,
}

impl<S: Send + Sync> FromRequestParts<S> for Managed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(InAddress { project }) = Path::from_request_parts(parts, state).await?;
        let Ok(caller) = Caller::from_request_parts(parts, state).await;
        caller.must_manage(project).map(|()| Self(project))
    }
}

/// A key as it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub purpose: Purpose,
    pub hash: B256,
}

/// The key in a request's head, if any.
pub(crate) fn shown(headers: &HeaderMap) -> Result<Option<Shown>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().ok();
    let bearer = text
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let read = bearer.and_then(|(_, key)| bearer::read(key.trim()));
    let (purpose, hash) = read.ok_or_else(|| {
        Problem::from(problem::UNAUTHORIZED)
            .field("Authorization")
            .detail("send `Bearer` and a key of this service")
    })?;
    Ok(Some(Shown { purpose, hash }))
}

/// What keys mean. Project keys are looked up in the database and remembered for a short while.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Store,
    operator: Option<B256>,
    known: Mutex<HashMap<B256, (ProjectId, Instant)>>,
}

impl Keys {
    pub(crate) fn new(store: Store, operator: Option<B256>) -> Self {
        Self { store, operator, known: Mutex::default() }
    }

    /// Whose key it is, as far as that is known without a look-up.
    pub(crate) fn known(&self, key: Shown) -> Option<Caller> {
        match key.purpose {
            // Comparing hashes tells a guesser nothing by its time: nobody can steer a hash towards another.
            Purpose::Operator => (self.operator == Some(key.hash)).then_some(Caller::Operator),
            Purpose::Project => {
                let known = self.known.lock().expect("no panic inside");
                let (project, at) = known.get(&key.hash)?;
                (at.elapsed() < KEY_KNOWN_FOR).then_some(Caller::Project(*project))
            }
        }
    }

    /// Whose key it is.
    pub(crate) async fn look_up(&self, key: Shown) -> Result<Caller, Problem> {
        if let Some(caller) = self.known(key) {
            return Ok(caller);
        }
        let project = match key.purpose {
            Purpose::Operator => None,
            Purpose::Project => self.store.project_of_key(&key.hash).await.map_err(super::from_store)?,
        };
        let project = project.ok_or_else(|| {
            Problem::from(problem::UNAUTHORIZED)
                .field("Authorization")
                .detail("this key is unknown or was revoked")
        })?;
        let mut known = self.known.lock().expect("no panic inside");
        if known.len() >= KEYS_KNOWN_MAX {
            known.clear();
        }
        known.insert(key.hash, (project, Instant::now()));
        Ok(Caller::Project(project))
    }

    /// Forgets what was looked up, so that a revocation counts at once at this node.
    pub(crate) fn forget(&self) {
        self.known.lock().expect("no panic inside").clear();
    }
}
