use sluice_core::ids::{ContractRef, StreamId};
use sluice_core::log::note::{LogKey, Origin};

use super::*;

#[tokio::test]
async fn whoever_goes_away_before_the_decision_is_forgotten() {
    let stream = StreamId(1);
    let origin = Origin::new(ContractRef { chain_id: 1, address: Default::default() }, stream);
    let follower = Follower::new(stream, LogKey::new(&origin, &[7; 32]));
    let key = IntakeKey { campaign: CampaignId::default(), node: 1, n: 1 };
    let expected = || Expected { follower: follower.clone(), key, outcome: follower.expect(key) };
    // One who waits, one who asks for the same row and goes away while waiting, and many who do not even begin to.
    let stays = expected();
    let mut leaves = Box::pin(expected().within(Duration::from_secs(3_600)));
    assert!(futures::poll!(&mut leaves).is_pending());
    drop(leaves);
    (0..100).for_each(|_| drop(expected()));
    assert_eq!(follower.asked(), 1);
    assert!(stays.within(Duration::ZERO).await.is_none());
    assert_eq!(follower.asked(), 0);
}
