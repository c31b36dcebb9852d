//! Large answers: each keeps a place until its client has taken it, so that those that nobody reads do not fill the memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::bounds;
use super::client::Network;
use super::problem::{self, Problem};
use crate::http::places::{Place, Places};

/// An answer that is handed on in parts, each when the one before was taken, and its place.
#[derive(Debug)]
struct Large {
    body: Body,
    /// What of a part of it is still to be handed on.
    rest: Bytes,
    _place: Place<Network>,
}

/// The answer; one that is large has a place, or is not given.
pub(super) fn placed(response: Response, places: &Arc<Places<Network>>, by: Network) -> Response {
    if response.body().size_hint().upper().is_some_and(|bytes| bytes <= bounds::SMALL_ANSWER_BYTES) {
        return response;
    }
    let Some(place) = places.take(by) else {
        return Problem::from(problem::BUSY).retry_after(bounds::COME_BACK).into_response();
    };
    response.map(|body| Body::new(Large { body, rest: Bytes::new(), _place: place }))
}

impl HttpBody for Large {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let part = self.rest.len().min(bounds::HEAD_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
