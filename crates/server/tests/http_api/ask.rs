//! A plain client: it shows every answer as it is.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use sluice_server::cli::reach::client_now;
use sluice_server::http::reading::{OFFICE, OfficeKey};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn seq(&self) -> u64 {
        self.headers["as-of-seq"].to_str().unwrap().parse().unwrap()
    }

    /// Expects a status and gives the body.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }

    /// Expects a problem.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
        self.body
    }
}

/// A client of one node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) base: String,
    pub(crate) key: Option<String>,
    pub(crate) office: Option<OfficeKey>,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(base: String) -> Self {
        Self { base, key: None, office: None, http: reqwest::Client::new() }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same for an office, which proves itself with every request.
    pub(crate) fn reading(&self, office: &OfficeKey) -> Self {
        Self { office: Some(office.clone()), ..self.clone() }
    }

    /// The host as requests name it.
    pub(crate) fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        match &self.office {
            Some(office) => {
                let reading = office.sign(self.host(), in_seconds(60)).unwrap();
                request.header(OFFICE, reading.encode())
            }
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Hands a demand in and, as long as it waits, asks again with the same id.
    pub(crate) async fn demand(&self, path: &str, body: &Value) -> Answer {
        loop {
            let answer = self.post(path, body).await;
            if answer.status != StatusCode::ACCEPTED {
                return answer;
            }
            assert!(answer.headers.contains_key("retry-after") && answer.body["ticket"].is_object());
        }
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }
}

/// Milliseconds since the Unix epoch, so many seconds from now.
pub(crate) fn in_seconds(seconds: u64) -> u64 {
    (client_now() + seconds) * 1_000
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}
