//! The listener: accepts connections within bounds and, at the end, lets requests in flight finish.

mod unread;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tower::ServiceExt;

use super::bounds;
use super::client::Peer;
use unread::{Pace, Unread};

/// How slowly answers may be read.
const PACE: Pace = Pace { every: bounds::READ_EVERY, bytes: bounds::READ_BYTES_LEAST };

/// Serves until `stop` resolves, then takes no more connections and waits, within a bound, for requests in flight.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(bounds::CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let stream = Unread::new(stream, PACE);
                answer(stream, peer, place, &app, &graceful);
            }
            Err(error) => {
                // Out of file descriptors, most likely: taking a breath lets connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(bounds::DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests in flight were cut off; their clients ask again by id");
    }
}

/// As [`serve`], on threads of its own, as many as there are cores. However many requests wait to be read, whoever decides
/// stands in no queue with them: the system shares the cores out between the door's threads and those of the caller.
///
/// # Errors
/// When the threads cannot be started.
pub async fn serve_apart(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (served, ended) = oneshot::channel();
    std::thread::Builder::new().name("door".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("door").enable_all().build();
        // Whoever does not wait for the end needs no word of it.
        let _ = served.send(runtime.map(|runtime| runtime.block_on(serve(listener, app, stop))));
    })?;
    ended.await.map_err(|_| std::io::Error::other("the door's thread panicked"))?
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(connections).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and complete: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    Ok((stream, Peer(peer), place))
}

fn answer(
    stream: Unread<TcpStream>,
    peer: Peer,
    place: OwnedSemaphorePermit,
    app: &Router,
    graceful: &GracefulShutdown,
) {
    let app = app.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        app.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds::HEAD_WITHIN)
        .max_buf_size(bounds::HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests;
