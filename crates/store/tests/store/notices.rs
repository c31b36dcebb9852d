//! What the server has to say of our statements: nothing.

use std::sync::{Arc, Mutex};

use sluice_store::LeaderSession;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use crate::support::{LONG, STREAM, database};

/// Keeps the server's notices.
struct Notices(Arc<Mutex<Vec<String>>>);

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{value:?} "));
    }
}

impl Subscriber for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = String::new();
        event.record(&mut Message(&mut message));
        self.0.lock().unwrap().push(message);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_candidate_gives_back_only_what_it_locked() {
    let db = database().await;
    let (leader, _) = db.leader("first", LONG).await;
    let mut second = LeaderSession::open(&db.store, STREAM).await.unwrap();
    let notices = Arc::new(Mutex::new(Vec::new()));
    let heard = tracing::subscriber::set_default(Notices(Arc::clone(&notices)));
    for _ in 0..3 {
        assert_eq!(second.take_epoch("second", LONG, 0).await.unwrap(), None);
    }
    drop(heard);
    assert_eq!(*notices.lock().unwrap(), [""; 0]);
    let mut raw = db.raw().await;
    let held: (i64,) = sqlx::query_as("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(held.0, 1, "the leader's own");
    drop(leader);
}
