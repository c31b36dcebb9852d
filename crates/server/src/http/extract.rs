//! Bodies, paths and queries as the handlers take them. What does not fit is told as a problem that names the field.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{self, Problem};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::from(problem::UNSUPPORTED_MEDIA_TYPE)
                .field("Content-Type")
                .detail("send application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejected| body_problem(&rejected))?;
        // Following the path to what is wrong costs as much as reading, so it is done only where something is.
        let value = match serde_json::from_slice(&bytes) {
            Ok(value) => value,
            Err(_) => slowly(&bytes)?,
        };
        Ok(Self(value))
    }
}

/// Reads a body that could not be read, and names the field at which it could not.
fn slowly<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let problem = Problem::from(problem::MALFORMED_BODY).detail(error.inner().to_string());
        // The path of a whole body is a dot, and that of broken JSON a question mark.
        if path == "." || path == "?" { problem } else { problem.field(path) }
    })?;
    reader.end().map_err(|error| Problem::from(problem::MALFORMED_BODY).detail(error.to_string()))?;
    Ok(value)
}

fn is_json(request: &Request) -> bool {
    let named = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

pub(super) fn body_problem(rejected: &BytesRejection) -> Problem {
    match rejected {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            problem::BODY_TOO_LARGE.into()
        }
        other if stalled(other) => problem::BODY_TOO_SLOW.into(),
        other => Problem::from(problem::MALFORMED_BODY).detail(other.body_text()),
    }
}

fn stalled(rejected: &BytesRejection) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(rejected);
    while let Some(error) = cause {
        if error.is::<tower_http::timeout::TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The variable parts of the address.
#[derive(Debug)]
pub(crate) struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => {
                Err(path_problem(failed.into_kind()))
            }
            Err(other) => Err(Problem::internal(anyhow::Error::new(other))),
        }
    }
}

fn path_problem(kind: ErrorKind) -> Problem {
    let problem = Problem::from(problem::MALFORMED_PARAMETER);
    match kind {
        ErrorKind::ParseErrorAtKey { key, value, expected_type } => {
            problem.field(key).detail(format!("{value:?} is no {expected_type}"))
        }
        ErrorKind::DeserializeError { key, value, message } => {
            problem.field(key).detail(format!("{value:?}: {message}"))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => problem.field(key).detail("it is not UTF-8"),
        other => problem.detail(other.to_string()),
    }
}

/// The part of the address behind the question mark.
#[derive(Debug)]
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejected) => Err(Problem::from(problem::MALFORMED_PARAMETER).detail(rejected.body_text())),
        }
    }
}
