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
