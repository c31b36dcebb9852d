//! The API over two real nodes on one real database and one real chain.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod ask;
mod claims;
mod commands;
mod ground;
mod institutions;
mod manage;
mod node;

use ground::Ground;

/// Servers and contracts take seconds to set up, so the parts share them and run one after another.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_over_real_nodes() {
    let ground = Ground::prepare().await;
    node::answers_probes_and_describes_itself(&ground).await;
    manage::projects_keys_and_what_they_open(&ground).await;
    commands::are_done_refused_and_found_again(&ground).await;
    claims::entitlements_come_with_proofs(&ground).await;
    claims::what_is_wrong_with_a_claim_is_said_before_it_is_recorded(&ground).await;
    claims::a_claim_is_decided_once_proved_and_paid(&ground).await;
    claims::a_race_is_decided_once_and_the_loser_has_a_receipt(&ground).await;
    institutions::are_listed_with_what_they_may(&ground).await;
    institutions::hold_release_and_are_told_what_changed(&ground).await;
    institutions::bind_persons_whom_strangers_do_not_see(&ground).await;
    institutions::make_rules_and_a_gate(&ground).await;
    institutions::attestations_are_kept_once(&ground).await;
    institutions::attestations_come_in_bulk(&ground).await;
    institutions::changes_are_followed(&ground).await;
    node::a_follower_answers_at_the_position_asked_for(&ground).await;
    node::a_stopping_node_finishes_what_it_began(ground).await;
}
