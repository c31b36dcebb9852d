//! The API over two real nodes on one real database and one real chain.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod ask;
mod claims;
mod commands;
mod evidence;
mod gated;
mod ground;
mod institutions;
mod intake;
mod lists;
mod manage;
mod node;
mod people;
mod private;
mod readers;

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
    readers::offices_see_what_their_mandates_say(&ground).await;
    readers::statements_prove_one_office_to_one_host_for_minutes(&ground).await;
    readers::what_is_revoked_opens_nothing(&ground).await;
    lists::many_orders_stand_under_one_signature(&ground).await;
    lists::an_upheld_appeal_ends_its_hold(&ground).await;
    lists::a_pause_is_told(&ground).await;
    people::holds_on_a_person_join_nothing_for_strangers(&ground).await;
    lists::strangers_are_turned_away_at_the_door(&ground).await;
    evidence::a_payment_is_traced(&ground).await;
    evidence::the_log_is_proved_to_whoever_asks(&ground).await;
    gated::a_gated_claim_is_paid_from_attestation_to_settlement(&ground).await;
    readers::nothing_hidden_stands_in_the_feed(&ground).await;
    private::lists_are_seen_by_their_claimants_alone(&ground).await;
    intake::a_full_attestation_intake_says_when_to_come_back(&ground).await;
    node::readers_of_the_feed_leave_connections_to_others(&ground).await;
    node::a_follower_answers_at_the_position_asked_for(&ground).await;
    node::a_stopping_node_finishes_what_it_began(ground).await;
}
