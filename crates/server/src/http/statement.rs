//! What the signed statements in headers have in common: the text they come as, and for which service and how long they are
//! good. A statement is for one of the names that this service was given, never for what a request says it was sent to:
//! whoever was sent a statement for another service chooses that freely.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_core::ids::Millis;

use super::bounds::READING_FOR_MAX;
use super::problem::{self, Problem};

/// The names of this service, as clients reach it. None given, it is the loopback interface's: a developer's machine.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<[String]>);

impl From<Vec<String>> for Names {
    fn from(names: Vec<String>) -> Self {
        Self(names.into())
    }
}

impl Names {
    /// How long a statement for this host is still good here; else why not.
    pub(crate) fn good_for(&self, host: &str, expires_at: Millis, now: Millis) -> Result<Duration, String> {
        let own = self.0.iter().any(|name| name.eq_ignore_ascii_case(host));
        if !(own || self.0.is_empty() && is_loopback(host)) {
            let names = if self.0.is_empty() { "localhost".to_owned() } else { self.0.join(", ") };
            return Err(format!("it is for host {host:?}, this service is {names}"));
        }
        let left = Duration::from_millis(expires_at.saturating_sub(now));
        if left.is_zero() {
            return Err("it has expired".into());
        }
        if left > READING_FOR_MAX {
            return Err(format!("it must expire within {} s from now", READING_FOR_MAX.as_secs()));
        }
        Ok(left)
    }
}

/// Whether a host, with a port or without, names this machine to itself.
fn is_loopback(host: &str) -> bool {
    let address = host.parse().map(|at: SocketAddr| at.ip()).or_else(|_| host.parse::<IpAddr>());
    match address {
        Ok(address) => address.is_loopback(),
        Err(_) => host.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("localhost")),
    }
}

/// A statement as a header's text: JSON in base64url without padding.
pub(crate) fn encode(statement: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(statement).expect("a statement is JSON"))
}

/// Reads a header's text of at most so many bytes; else what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(text: &str, bytes_max: usize) -> Result<T, String> {
    if text.len() > bytes_max {
        return Err(format!("{} bytes; at most {bytes_max}", text.len()));
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("no base64url: {error}"))?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// The statement that a request carries in this header, called so in problems.
pub(crate) fn shown<T>(
    parts: &Parts,
    (header, called): (&str, &'static str),
    decode: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Problem> {
    let mut values = parts.headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = |detail: String| Problem::from(problem::MALFORMED_HEADER).field(called).detail(detail);
    if values.next().is_some() {
        return Err(malformed("send it once".into()));
    }
    let text = value.to_str().map_err(|error| malformed(error.to_string()))?;
    decode(text).map(Some).map_err(|why| malformed(format!("a statement in base64url: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_for_a_name_of_the_service_and_for_minutes() {
        let public = Names::from(vec!["api.example".to_owned(), "api.example:8443".to_owned()]);
        let own = Names::from(Vec::new());
        for host in ["api.example", "API.example", "api.example:8443"] {
            assert_eq!(public.good_for(host, 61_000, 1_000), Ok(Duration::from_secs(60)), "{host}");
            own.good_for(host, 61_000, 1_000).unwrap_err();
        }
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "::1"] {
            own.good_for(host, 61_000, 1_000).unwrap();
            assert!(public.good_for(host, 61_000, 1_000).unwrap_err().contains("api.example"), "{host}");
        }
        for host in ["", "elsewhere.example", "localhost.example", "10.0.0.1:8080", "127.0.0.1.example"] {
            public.good_for(host, 61_000, 1_000).unwrap_err();
            own.good_for(host, 61_000, 1_000).unwrap_err();
        }
        assert!(public.good_for("api.example", 1_000, 1_000).unwrap_err().contains("expired"));
        assert!(public.good_for("api.example", 700_000, 1_000).unwrap_err().contains("within"));
    }
}
