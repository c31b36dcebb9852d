use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn away() -> sluice_store::Error {
    let source = sqlx::Error::PoolTimedOut;
    sluice_store::Error::Unavailable { action: "find a demand", source }
}

#[tokio::test]
async fn a_database_that_is_busy_for_a_moment_is_asked_again() {
    let asked = AtomicU32::new(0);
    let answer = eventually("a demand is decided", async || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Err(EngineError::Store(away()).into()),
        1 => Err(away().into()),
        2 => Ok(None),
        _ => Ok(Some("yes")),
    });
    assert_eq!(answer.await.unwrap(), "yes");
    let always = async || Err::<Option<()>, _>(away().into());
    let error = within(Duration::ZERO, "a demand is decided", always).await.unwrap_err();
    assert!(format!("{error:#}").contains("times for 0ns: a demand is decided"), "{error:#}");
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    let asked = AtomicU32::new(0);
    let wrong = eventually("a demand is decided", async || {
        asked.fetch_add(1, Ordering::SeqCst);
        Err::<Option<()>, _>(EngineError::Incident("a row is gone".into()).into())
    });
    assert!(format!("{:#}", wrong.await.unwrap_err()).contains("a row is gone"));
    assert_eq!(asked.into_inner(), 1);
}
