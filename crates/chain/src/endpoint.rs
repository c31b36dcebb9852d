//! One RPC URL: a limited, timed JSON-RPC client.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::RpcRecv;
use alloy::transports::http::reqwest::{Client, Url};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::ChainError;
use crate::limits::{CONNECT_TIMEOUT, DOOR_SHARE, LIMITER_WAIT, LOOKUP_SHARE, ORDERS_SHARE, REQUEST_TIMEOUT};

/// On whose account a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Settlement, the watcher, operators: the whole limit.
    Own,
    /// Look-ups for demands: at most one request in [`LOOKUP_SHARE`].
    LookUps,
    /// Those of them that anybody causes by handing something in: at most one in [`DOOR_SHARE`].
    Door,
    /// Those of them for what offices and gates sign, as anybody hands it in: at most one in [`ORDERS_SHARE`].
    Orders,
}

pub(crate) struct Endpoint {
    client: RpcClient,
    limiter: DefaultDirectRateLimiter,
    /// What look-ups pass before the limiter of all.
    look_ups: DefaultDirectRateLimiter,
    /// What look-ups at the door pass before that.
    door: DefaultDirectRateLimiter,
    orders: DefaultDirectRateLimiter,
    /// The URL without user, password, path and query, where providers put their keys.
    shown: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.shown).finish()
    }
}

impl Endpoint {
    /// An endpoint; nothing is sent yet. The error says what is wrong with the URL.
    pub(crate) fn new(url: &str, requests_per_second: NonZeroU32) -> Result<Self, String> {
        let parsed: Url = url.parse().map_err(|error| format!("the RPC URL is not a URL ({error})"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("the RPC URL begins with `{}:`; http or https is needed", parsed.scheme()));
        }
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| format!("no HTTP client can be made ({error})"))?;
        let look_ups = NonZeroU32::new(requests_per_second.get() / LOOKUP_SHARE).unwrap_or(NonZeroU32::MIN);
        Ok(Self {
            shown: shown(&parsed),
            client: RpcClient::new_http_with_client(client, parsed),
            limiter: RateLimiter::direct(Quota::per_second(requests_per_second)),
            look_ups: RateLimiter::direct(Quota::per_second(look_ups)),
            door: RateLimiter::direct(one_in(DOOR_SHARE, look_ups)),
            orders: RateLimiter::direct(one_in(ORDERS_SHARE, look_ups)),
        })
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// One request, once.
    pub(crate) async fn request<R: RpcRecv>(
        &self,
        share: Share,
        method: &'static str,
        params: Value,
    ) -> Result<R, ChainError> {
        let url = || self.shown.clone();
        let room = async {
            match share {
                Share::Own | Share::LookUps => {}
                Share::Door => self.door.until_ready().await,
                Share::Orders => self.orders.until_ready().await,
            }
            if share != Share::Own {
                self.look_ups.until_ready().await;
            }
            self.limiter.until_ready().await;
        };
        if timeout(LIMITER_WAIT, room).await.is_err() {
            return Err(ChainError::Limited { method, url: url() });
        }
        match timeout(REQUEST_TIMEOUT, self.client.request(method, params)).await {
            Ok(answer) => answer.map_err(|source| ChainError::Rpc { method, url: url(), source }),
            Err(_) => Err(ChainError::TimedOut { method, url: url(), after: REQUEST_TIMEOUT }),
        }
    }
}

/// One request in so many of a rate, and as much of it at once; less than one a second where the rate is small.
fn one_in(share: u32, per_second: NonZeroU32) -> Quota {
    let at_once = NonZeroU32::new(per_second.get() / share).unwrap_or(NonZeroU32::MIN);
    let period = Duration::from_secs(share.into()) / per_second.get();
    Quota::with_period(period).map_or(Quota::per_second(NonZeroU32::MIN), |quota| quota.allow_burst(at_once))
}

fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_a_url_are_not_shown() {
        let url = "https://user:secret@node.example:8545/v3/0123456789abcdef?key=topsecret";
        let endpoint = Endpoint::new(url, NonZeroU32::MIN).unwrap();
        assert_eq!(endpoint.shown(), "https://node.example:8545");
        assert_eq!(format!("{endpoint:?}"), "Endpoint(\"https://node.example:8545\")");
    }

    #[test]
    fn a_url_that_cannot_work_is_named() {
        let refused = Endpoint::new("ws://node.example", NonZeroU32::MIN).unwrap_err();
        assert_eq!(refused, "the RPC URL begins with `ws:`; http or https is needed");
        assert!(Endpoint::new("node.example", NonZeroU32::MIN).is_err());
    }
}
