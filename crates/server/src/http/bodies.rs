//! Bodies of demands are awaited before a turn or a place is taken, so that whoever sends slowly keeps nothing that others
//! wait for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};

use super::bounds;
use super::client::Network;
use super::extract::body_problem;
use super::places::Places;
use super::problem::{self, Problem};

/// Room for bodies on their way. A network may take half of what others leave of it.
#[derive(Debug)]
pub(crate) struct Bodies {
    awaited: Arc<Places<Network>>,
    /// Those that take longer than `soon`: few of them, because each may take as long as a request.
    slow: Arc<Places<Network>>,
    soon: Duration,
}

impl Bodies {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self::with(most, bounds::SLOW_BODIES_MAX, bounds::BODY_SOON)
    }

    pub(super) fn with(most: usize, slow: usize, soon: Duration) -> Self {
        Self { awaited: Places::new(most), slow: Places::new(slow), soon }
    }

    /// The same request with its whole body at hand.
    ///
    /// # Errors
    /// With what the client is told: its body is too large or does not come, or there is no room to await it.
    pub(crate) async fn whole(&self, request: Request) -> Result<Request, Problem> {
        if request.body().is_end_stream() {
            return Ok(request);
        }
        let network = Network::of(request.extensions());
        let Some(_place) = self.awaited.take(network) else {
            return Err(Problem::from(problem::BUSY).retry_after(bounds::COME_BACK));
        };
        let (parts, body) = request.into_parts();
        let mut bodied = Request::new(body);
        // How large a body may be stands in the extensions.
        bodied.extensions_mut().clone_from(&parts.extensions);
        let mut reading = pin!(Bytes::from_request(bodied, &()));
        let read = match tokio::time::timeout(self.soon, reading.as_mut()).await {
            Ok(read) => read,
            Err(_) => {
                let Some(_slow) = self.slow.take(network) else {
                    // Why it is late is not known: its sender's line, others behind it, or this node itself.
                    return Err(Problem::from(problem::BUSY).retry_after(bounds::COME_BACK));
                };
                reading.await
            }
        };
        let bytes = read.map_err(|rejected| body_problem(&rejected))?;
        Ok(Request::from_parts(parts, Body::from(bytes)))
    }
}
