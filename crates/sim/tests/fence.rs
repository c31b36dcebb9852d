//! The epoch fence with real processes: SIGSTOP, a takeover, SIGCONT.

use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_leader_that_goes_on_appends_nothing_and_exits_or_follows() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fence");
    let program = Path::new(env!("CARGO_BIN_EXE_sluice-sim"));
    let fenced = sluice_sim::frozen::stopped_leader(program, &dir).await.unwrap();
    assert!(fenced.new > fenced.old, "{fenced:?}");
    assert!(fenced.entries_after > 1, "the successor appended: {fenced:?}");
    assert_eq!(fenced.of_the_old, 0, "{fenced:?}");
}
