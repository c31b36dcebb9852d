//! What settlement costs, for campaigns with a limit.

use std::time::Duration;

use alloy_primitives::Address;
use sluice_core::ids::CampaignId;
use sluice_store::Spending;
use uuid::Uuid;

use crate::support::database;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_nonce_counts_once_by_its_receipt_or_else_by_the_most_it_may_cost() {
    let db = database().await;
    let campaign = CampaignId(Uuid::now_v7());
    let spending = |nonce, wei| Spending { chain: 1, campaign, lane: Address::repeat_byte(1), nonce, wei };
    let spent = || async { db.store.spent(1, campaign, HOUR).await.unwrap() };
    assert_eq!(spent().await, 0);
    db.store.may_spend(spending(1, 100)).await.unwrap();
    db.store.may_spend(spending(1, 130)).await.unwrap();
    db.store.may_spend(spending(1, 130)).await.unwrap();
    assert_eq!(spent().await, 130, "a replacement stands for what it replaces");
    let large = 10u128.pow(30);
    db.store.may_spend(spending(2, large)).await.unwrap();
    assert_eq!(spent().await, large + 130);
    db.store.has_spent(spending(1, 40)).await.unwrap();
    db.store.has_spent(spending(2, 7)).await.unwrap();
    assert_eq!(spent().await, 47);
    db.store.may_spend(Spending { lane: Address::repeat_byte(2), ..spending(1, 5) }).await.unwrap();
    assert_eq!(spent().await, 52, "another account's nonce");
    assert_eq!(db.store.spent(2, campaign, HOUR).await.unwrap(), 0, "another chain");
    assert_eq!(db.store.spent(1, campaign, Duration::ZERO).await.unwrap(), 0, "before the period");
}

#[tokio::test]
async fn what_a_nonce_may_cost_is_told_apart_from_the_others() {
    let db = database().await;
    let campaign = CampaignId(Uuid::now_v7());
    let lane = Address::repeat_byte(1);
    let spending = |nonce, wei| Spending { chain: 1, campaign, lane, nonce, wei };
    let beside =
        async |lane, nonce| db.store.spent_beside(1, campaign, HOUR, Some((lane, nonce))).await.unwrap();
    assert_eq!(beside(lane, 5).await, (0, 0));
    for (nonce, wei) in [(4, 7), (5, 100), (5, 130)] {
        db.store.may_spend(spending(nonce, wei)).await.unwrap();
    }
    assert_eq!(beside(lane, 5).await, (7, 130));
    assert_eq!(beside(lane, 6).await, (137, 0), "nothing is noted there");
    assert_eq!(beside(Address::repeat_byte(2), 5).await, (137, 0), "another account's nonce");
    let none = db.store.spent_beside(1, campaign, HOUR, None).await.unwrap();
    assert_eq!(none, (137, 0), "no nonce is left out");
    db.store.has_spent(spending(5, 40)).await.unwrap();
    assert_eq!(beside(lane, 5).await, (7, 40), "by its receipt");
}

#[tokio::test]
async fn costs_beyond_measure_add_up_to_the_largest_number() {
    let db = database().await;
    let campaign = CampaignId(Uuid::now_v7());
    let lane = Address::repeat_byte(1);
    let spending = |nonce, wei| Spending { chain: 1, campaign, lane, nonce, wei };
    db.store.has_spent(spending(1, u128::MAX)).await.unwrap();
    db.store.may_spend(spending(2, 1)).await.unwrap();
    assert_eq!(db.store.spent(1, campaign, HOUR).await.unwrap(), u128::MAX);
    let beside = db.store.spent_beside(1, campaign, HOUR, Some((lane, 1))).await.unwrap();
    assert_eq!(beside, (1, u128::MAX));
}
