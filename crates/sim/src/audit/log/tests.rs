use super::*;

fn told(id: u128, as_of: Seq, state: &str) -> Told {
    let id = DemandId(uuid::Uuid::from_u128(id));
    Told { campaign: CampaignId::default(), index: 0, id, as_of, state: state.to_owned() }
}

#[test]
fn going_forward_is_no_finding_in_whatever_order_the_answers_came() {
    let all = [told(1, 9, "paid"), told(1, 3, "decided"), told(1, 2, "waiting"), told(1, 12, "final")];
    assert_eq!(backward(&all, &BTreeMap::new(), &BTreeMap::new()), Vec::<String>::new());
}

#[test]
fn going_back_needs_an_entry_in_between() {
    let all = [told(1, 9, "paid"), told(1, 12, "sent"), told(2, 9, "paid"), told(2, 20, "final")];
    assert_eq!(backward(&all, &BTreeMap::new(), &BTreeMap::new()).len(), 1);
    let at = |seq| BTreeMap::from([(CampaignId::default(), vec![seq])]);
    assert_eq!(backward(&all, &at(9), &BTreeMap::new()).len(), 1, "not after the first answer");
    assert_eq!(backward(&all, &at(13), &BTreeMap::new()).len(), 1, "not before the second");
    assert_eq!(backward(&all, &at(12), &BTreeMap::new()).len(), 0);
}

#[test]
fn two_states_at_one_position_contradict_each_other() {
    let all = [told(1, 9, "paid"), told(1, 9, "sent")];
    assert_eq!(backward(&all, &BTreeMap::new(), &BTreeMap::new()).len(), 1);
}

#[test]
fn a_void_may_lose_against_a_payment_and_a_transfer_may_fail() {
    let all = [told(1, 3, "sent"), told(1, 5, "voided"), told(1, 7, "paid"), told(1, 9, "final")];
    assert_eq!(backward(&all, &BTreeMap::new(), &BTreeMap::new()).len(), 0);
    let all = [told(1, 5, "voided"), told(1, 7, "sent")];
    assert_eq!(backward(&all, &BTreeMap::new(), &BTreeMap::new()).len(), 1, "a void is not forgotten");
    let all = [told(1, 5, "sent"), told(1, 7, "skipped"), told(1, 9, "final")];
    let failed = |index| BTreeMap::from([((CampaignId::default(), index), vec![6])]);
    assert_eq!(backward(&all, &BTreeMap::new(), &failed(1)).len(), 1, "another's transfer failed");
    assert_eq!(backward(&all, &BTreeMap::new(), &failed(0)).len(), 0);
}
