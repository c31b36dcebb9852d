use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn a_stop_takes_no_more_connections_and_lets_requests_finish() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, finish) = (Arc::clone(&begun), Arc::clone(&finish));
        async move || {
            begun.notify_one();
            finish.notified().await;
            "finished"
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Router::new().route("/", get(handler));
    let server = tokio::spawn(serve_apart(listener, app, async { stopped.await.unwrap() }));

    let asking = tokio::spawn(reqwest::get(format!("http://{address}/")));
    begun.notified().await;
    stop.send(()).unwrap();
    // The listener is gone once the loop has seen the stop.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    finish.notify_one();
    assert_eq!(asking.await.unwrap().unwrap().text().await.unwrap(), "finished");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(async || "good"));
    let server = tokio::spawn(serve(listener, app, std::future::pending()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(2 * bounds::HEAD_BYTES_MAX));
    // The server may hang up before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    server.abort();
}

/// A server of one large answer to one connection at a time, which ends when it is read more slowly than this.
async fn serve_large(size: usize, pace: Pace) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(Semaphore::new(1));
    let app = Router::new().route("/", get(async move || vec![b'x'; size]));
    tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        while let Ok((stream, peer, place)) = accept(&listener, &connections).await {
            answer(Unread::new(stream, pace), peer, place, &app, &graceful);
        }
    });
    address
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
/// More than the system holds for a connection.
const LARGE: usize = 64 << 20;

#[tokio::test]
async fn whoever_does_not_read_answers_is_cut_off() {
    let pace = Pace { every: std::time::Duration::from_millis(100), bytes: 1 };
    let address = serve_large(LARGE, pace).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    // There is one place for connections: another is answered when this one's is free, and all that was kept for it.
    let mut second = TcpStream::connect(address).await.unwrap();
    let ended = async {
        second.write_all(ASK).await.unwrap();
        second.read_exact(&mut first).await.unwrap();
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it ends");
    drop(stream);
}

#[tokio::test]
async fn whoever_reads_slowly_gets_all_of_it() {
    // Many times as long as there is between two of its reads, and far less than all of them take.
    let pace = Pace { every: std::time::Duration::from_secs(2), bytes: 1 };
    let address = serve_large(LARGE, pace).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let (mut read, mut part) = (0, vec![0; 64 << 10]);
    loop {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            n => read += n,
        }
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    assert!(read > LARGE, "{read}");
}
