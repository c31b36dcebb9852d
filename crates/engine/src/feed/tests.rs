use uuid::Uuid;

use super::shares::QUIET_AT_ONCE;
use super::*;

#[test]
fn rows_whose_chain_is_away_take_no_share_from_holds_and_other_claims() {
    let (one, other) = (CampaignId(Uuid::from_u128(1)), CampaignId(Uuid::from_u128(2)));
    let read = HashMap::from([((one, 1), 2_000), ((one, 2), 48), ((other, 1), 5)]);
    let (state, late) = (State::new(sluice_core::ids::StreamId(1)), Late::default());
    let now = || under_way(&read, &late.lock().unwrap(), &state);
    assert_eq!(now(), HashMap::from([(one, 2_048), (other, 5)]));
    let rows: Vec<_> = (0..2_048).map(|_| LateRow::new(&late, one)).collect();
    assert_eq!(now(), HashMap::from([(other, 5)]), "all of them wait for a chain");
    drop(rows);
    assert_eq!(now(), HashMap::from([(one, 2_048), (other, 5)]), "the chain is back");
    assert!(late.lock().unwrap().is_empty());
}

#[test]
fn what_the_leaders_door_hands_over_keeps_nobody_from_being_read() {
    for campaigns in 0..2 * VERIFY_QUEUE_MAX {
        let share = share(1, campaigns);
        let own = room_for_own(share, 0);
        assert!(own >= share / 2, "of {share} its own door is served {own}");
        assert_eq!(room_for_own(share, own), 0);
        // As many as one reading of a queue yields, and still there is room for another.
        for count in [own, own + part(share)] {
            assert!(
                is_read(share, count),
                "{count} of {share} under way, and a hold at another node is not read"
            );
        }
        assert!(!is_read(share, share), "a campaign that has its share");
    }
}

#[test]
fn shares_are_by_weight_and_leave_room_for_one_more() {
    let queue = |n| CampaignId(Uuid::from_u128(n));
    let weights = Weights::new([(queue(1), 5)]);
    let mut under_way = HashMap::from([(queue(2), 7), (queue(3), 7)]);
    assert_eq!(share_of(queue(1), &under_way, &weights), VERIFY_QUEUE_MAX * 5 / 7);
    assert_eq!(share_of(queue(4), &under_way, &weights), VERIFY_QUEUE_MAX / 3);
    under_way.insert(queue(1), 1);
    let all: usize = under_way.keys().map(|queue| share_of(*queue, &under_way, &weights)).sum();
    assert_eq!(share_of(queue(1), &under_way, &weights), VERIFY_QUEUE_MAX * 5 / 8);
    assert!(all + VERIFY_QUEUE_MAX / 8 <= VERIFY_QUEUE_MAX);
}

#[test]
fn quiet_queues_take_turns_and_busy_ones_are_looked_at_each_time() {
    let queue = |n: usize| (CampaignId(Uuid::from_u128(n as u128)), 1);
    let cursor = |n: usize| Cursor { campaign: queue(n).0, node: 1, after: 0 };
    let busy = HashSet::from([queue(3), queue(700)]);
    let (all, mut turns, mut seen) = ((0..1_002).map(cursor).collect::<Vec<_>>(), 0, HashSet::new());
    for _ in 0..4 {
        let due = due_now(all.clone(), &busy, &mut turns);
        let due: HashSet<_> = due.iter().map(|cursor| (cursor.campaign, cursor.node)).collect();
        assert_eq!(due.len(), QUIET_AT_ONCE + 2);
        assert!(busy.is_subset(&due));
        seen.extend(due);
    }
    assert_eq!(seen.len(), 1_002, "each has had its turn");
    let few = all[..10].to_vec();
    assert_eq!(due_now(few.clone(), &busy, &mut turns).len(), few.len());
    assert_eq!(due_now(Vec::new(), &busy, &mut turns), []);
}
