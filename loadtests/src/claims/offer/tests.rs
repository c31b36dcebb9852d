use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers each connection's first request with a ticket, and no sooner than after `pause`.
pub(crate) async fn slow_server(pause: Duration) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                tokio::time::sleep(pause).await;
                let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}").await;
                // Open until the other end has gone.
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    target
}

/// Claims that nobody looks at.
pub(crate) fn claims(count: u64) -> Vec<Prepared> {
    let claim = |index| ClaimDemand {
        round: 1,
        index,
        recipient: Default::default(),
        to: Default::default(),
        amount: Default::default(),
        deadline: 0,
        signature: Default::default(),
    };
    prepare((0..count).map(claim))
}

fn offer(target: Target, pace: Pace, at_most: Duration) -> Offer {
    let stop = Arc::new(AtomicBool::new(false));
    Offer { target, campaign: CampaignId::default(), pace, connections: 1, at_most, stop }
}

#[test]
fn answers_are_told_apart() {
    assert_eq!(
        outcome(201, br#"{"id":"x","state":"decided","seq":417,"receipt":{"seq":1}}"#),
        Outcome::Decided(417)
    );
    assert_eq!(outcome(202, b"{}"), Outcome::Waiting);
    assert_eq!(outcome(429, br#"{"code":"busy"}"#), Outcome::Refused(429, "busy".into()));
    assert_eq!(outcome(502, b"<html>"), Outcome::Refused(502, "no code".into()));
}

#[tokio::test]
async fn whoever_was_due_and_not_sent_is_told() {
    let target = slow_server(Duration::from_millis(300)).await;
    let offer = offer(target, Pace::PerSecond(1_000.0), Duration::from_millis(200));
    let (record, left) = offer.make(claims(250)).await.unwrap();
    // One was answered after the end; of the others 199 had been due before it, and none has been sent.
    assert_eq!((record.seen.len(), record.unsent.len(), left.len()), (1, 199, 249));
    assert_eq!(record.unsent[0].due, Duration::from_millis(1));
    assert!(record.unsent.iter().all(|unsent| unsent.due + unsent.waited == record.took));
}

#[tokio::test]
async fn an_offering_as_taken_leaves_nobody_waiting() {
    let target = slow_server(Duration::from_millis(50)).await;
    let offer = offer(target, Pace::AsTaken, Duration::from_millis(20));
    let (record, left) = offer.make(claims(5)).await.unwrap();
    assert_eq!((record.seen.len(), record.unsent.len(), left.len()), (1, 0, 4));
}

#[test]
fn thirds_are_by_when_claims_were_due() {
    let ms = Duration::from_millis;
    let seen = |due| Seen {
        id: DemandId(Uuid::nil()),
        index: 0,
        outcome: Outcome::Waiting,
        due: ms(due),
        latency: ms(5_000),
    };
    let record = Record {
        seen: [0, 999, 1_000, 1_999, 2_000].map(seen).into(),
        unsent: vec![Unsent { due: ms(2_999), waited: ms(1) }],
        took: ms(3_500),
        generator: 3.0,
    };
    let thirds = record.into_thirds(ms(3_000));
    let counts: Vec<_> = thirds.iter().map(|third| (third.seen.len(), third.unsent.len())).collect();
    assert_eq!(counts, [(2, 0), (2, 0), (1, 1)]);
    assert_eq!(thirds.iter().map(|third| third.took).collect::<Vec<_>>(), [ms(1_000), ms(1_000), ms(1_500)]);
}
