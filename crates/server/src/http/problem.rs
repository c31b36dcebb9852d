//! What is answered when something is wrong: problem+json (RFC 9457), everywhere, with a stable `code`.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use sluice_core::refusal::Code;
use sluice_gate::attestation::AttestationCode;
use utoipa::ToSchema;

/// The media type of problems.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A kind of problem that is not a refusal by rule: those have [`Code`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub status: StatusCode,
    pub code: &'static str,
    pub title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:ident, $code:literal, $title:literal;)*) => {
        $(pub(crate) const $name: Kind = Kind { status: StatusCode::$status, code: $code, title: $title };)*
        /// All of them.
        pub(crate) const KINDS: &[Kind] = &[$($name,)*];
    };
}

kinds! {
    MALFORMED_BODY = BAD_REQUEST, "malformed_body", "The body is not what this address takes.";
    MALFORMED_PARAMETER = BAD_REQUEST, "malformed_parameter", "A part of the address is not what belongs there.";
    MALFORMED_HEADER = BAD_REQUEST, "malformed_header", "A header is not what belongs there.";
    UNAUTHORIZED = UNAUTHORIZED, "unauthorized", "This key is not known.";
    OFFICE_UNPROVED = UNAUTHORIZED, "office_unproved", "This statement does not prove which office asks.";
    CLAIMANT_UNPROVED = UNAUTHORIZED, "claimant_unproved", "This statement does not prove whose entitlements are asked for.";
    PRIVATE_LIST = FORBIDDEN, "private_list", "This list is private; each claimant sees their own entries.";
    FORBIDDEN = FORBIDDEN, "forbidden", "This key does not allow that.";
    NOT_FOUND = NOT_FOUND, "not_found", "There is nothing at this address.";
    UNKNOWN_DEMAND = NOT_FOUND, "unknown_id", "Nothing was accepted under this id.";
    NOT_DECIDED = NOT_FOUND, "not_decided", "This waits for its decision; there is no receipt yet.";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take this method.";
    BODY_TOO_SLOW = REQUEST_TIMEOUT, "body_too_slow", "The body did not arrive in time.";
    CONFLICT = CONFLICT, "id_conflict", "This id was used for something else.";
    ERASURE_WAITS = CONFLICT, "erasure_waits", "A decided payment still needs what is to be erased; please come back.";
    NAME_TAKEN = CONFLICT, "name_taken", "This name is taken.";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large.";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is not JSON.";
    INDEX_NEEDED = UNPROCESSABLE_ENTITY, "index_needed", "This address is listed more than once; say which index.";
    TOO_MANY_REQUESTS = TOO_MANY_REQUESTS, "too_many_requests", "Too many requests; please come back.";
    WAITING_ROOM_FULL = TOO_MANY_REQUESTS, "waiting_room_full", "Too many demands wait; please come back.";
    ATTESTATIONS_FULL = SERVICE_UNAVAILABLE, "attestations_full", "Too many attestations wait; please come back.";
    UNKNOWN_ATTESTATION = NOT_FOUND, "unknown_attestation", "There is no such attestation here.";
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "Something failed here. It was recorded.";
    BUSY = SERVICE_UNAVAILABLE, "busy", "This node is busy; please come back.";
    BEHIND = SERVICE_UNAVAILABLE, "behind", "This node has not reached that position yet.";
    UNAVAILABLE = SERVICE_UNAVAILABLE, "unavailable", "This cannot be answered at the moment; please come back.";
    NOT_READY = SERVICE_UNAVAILABLE, "not_ready", "This node cannot serve yet.";
    TIMED_OUT = GATEWAY_TIMEOUT, "timed_out", "This took too long; ask again with the same id.";
}

/// The status of a refusal by rule. The campaign or round that an address names is missing like any other resource;
/// everything else was understood and is refused, before the log or in it.
pub(crate) const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::UnknownCampaign | Code::UnknownRound => StatusCode::NOT_FOUND,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A problem, RFC 9457. Its parts are boxed because it is the error of every handler.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind; resolves to its description.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: Box<str>,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong this time, and what would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    detail: Option<Box<str>>,
    /// The stable code.
    code: &'static str,
    /// The field, parameter or header concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    field: Option<Box<str>>,
    /// What else belongs to it: a receipt, a proof of absence.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    more: Box<Map<String, Value>>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self {
            kind: format!("/v1/problems/{code}").into(),
            title,
            status: status.as_u16(),
            detail: None,
            code,
            field: None,
            more: Box::default(),
            retry_after: None,
        }
    }

    /// What is wrong this time.
    pub(crate) fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Where it is wrong.
    pub(crate) fn field(mut self, field: impl Into<Box<str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// When to come back.
    pub(crate) const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        // What cannot be JSON is left out; the problem itself must still be told.
        self.more.extend(serde_json::to_value(value).ok().map(|value| (name.to_owned(), value)));
        self
    }

    /// Nothing is listed at the address that was asked for: a missing resource, where a claim on it is a refusal.
    pub(crate) fn not_listed() -> Self {
        Self::missing(Code::NotListed)
    }

    /// What was asked for is missing, by the code that refuses a demand on it.
    pub(crate) fn missing(code: Code) -> Self {
        Self::new(StatusCode::NOT_FOUND, code.as_str(), code.sentence())
    }

    /// A failure of ours. It is logged here, once, with its causes; the client learns that it happened.
    pub(crate) fn internal(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        tracing::error!(error = format!("{error:#}"), "a request failed");
        INTERNAL.into()
    }

    /// The status of the answer.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self::new(kind.status, kind.code, kind.title)
    }
}

impl From<AttestationCode> for Problem {
    fn from(code: AttestationCode) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code.as_str(), code.sentence())
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(status_of(code), code.as_str(), code.sentence())
    }
}

/// The value of `Retry-After`: whole seconds, rounded up, so that nobody comes too early.
pub(crate) fn seconds(after: Duration) -> HeaderValue {
    HeaderValue::from(after.as_secs() + u64::from(after.subsec_nanos() > 0))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("a problem is strings and JSON");
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds(after));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Describes a kind of problem: where `type` points.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Described {
    /// The stable code.
    code: &'static str,
    /// The status it is answered with.
    status: u16,
    /// What it means.
    title: &'static str,
}

/// What a code means, if it is one.
pub(crate) fn describe(code: &str) -> Option<Described> {
    let refusal = Code::ALL.iter().find(|c| c.as_str() == code).map(|c| Described {
        code: c.as_str(),
        status: status_of(*c).as_u16(),
        title: c.sentence(),
    });
    let attestation = || {
        AttestationCode::ALL.iter().find(|c| c.as_str() == code).map(|c| Described {
            code: c.as_str(),
            status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
            title: c.sentence(),
        })
    };
    refusal.or_else(attestation).or_else(|| {
        let kind = KINDS.iter().find(|k| k.code == code)?;
        Some(Described { code: kind.code, status: kind.status.as_u16(), title: kind.title })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_means_one_thing() {
        let codes = KINDS.iter().map(|k| k.code).chain(Code::ALL.iter().map(|c| c.as_str()));
        let codes = codes.chain(AttestationCode::ALL.iter().map(|c| c.as_str()));
        let mut seen = HashSet::new();
        for code in codes {
            assert!(seen.insert(code), "{code} is used twice");
            assert_eq!(describe(code).map(|d| d.code), Some(code));
        }
        assert!(describe("no_such_code").is_none());
    }

    #[tokio::test]
    async fn a_problem_is_json_with_its_code_status_and_retry_after() {
        let problem =
            Problem::from(BEHIND).detail("at 7, asked for 9").retry_after(Duration::from_millis(1_001));
        let response = problem.with("seq", &7).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "/v1/problems/behind", "title": BEHIND.title, "status": 503,
            "detail": "at 7, asked for 9", "code": "behind", "seq": 7,
        });
        assert_eq!(json, expected);
    }
}
