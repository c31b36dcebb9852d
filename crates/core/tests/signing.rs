//! What a signature binds: every field of what is signed.

use alloy_primitives::{Address, B256};
use sluice_core::command::{Action, CampaignTerms, Command, Visibility};
use sluice_core::ids::{CampaignId, ContractRef, DemandId, ProjectId};
use sluice_core::signing::command_digest;
use uuid::Uuid;

fn terms() -> CampaignTerms {
    CampaignTerms {
        campaign: CampaignId(Uuid::from_u128(1)),
        project: ProjectId(Uuid::from_u128(2)),
        name: "pensions".into(),
        distributor: ContractRef { chain_id: 10, address: Address::repeat_byte(3) },
        token: Address::repeat_byte(4),
        decimals: 6,
        deployed_at: 500,
        visibility: Default::default(),
        jurisdiction: "DE".into(),
    }
}

fn digest(terms: CampaignTerms) -> B256 {
    let command = Command {
        action: Action::CreateCampaign(terms),
        subject_version: 7,
        reason: "because".into(),
        valid_at: 8,
        deadline: 9,
        mandate: B256::ZERO,
        delegation: B256::ZERO,
        listed_at: None,
        approvals: Vec::new(),
    };
    let charter = ContractRef { chain_id: 1, address: Address::repeat_byte(0xcc) };
    command_digest(&command, DemandId(Uuid::from_u128(5)), B256::repeat_byte(6), charter)
        .expect("it stands in no list")
}

#[test]
fn every_term_of_a_campaign_is_signed() {
    let mut digests = vec![digest(terms())];
    let mut with = |change: &dyn Fn(&mut CampaignTerms)| {
        let mut changed = terms();
        change(&mut changed);
        digests.push(digest(changed));
    };
    with(&|t| t.campaign = CampaignId(Uuid::from_u128(99)));
    with(&|t| t.project = ProjectId(Uuid::from_u128(99)));
    with(&|t| t.name.push('!'));
    with(&|t| t.distributor.chain_id += 1);
    with(&|t| t.distributor.address = Address::repeat_byte(99));
    with(&|t| t.token = Address::repeat_byte(99));
    with(&|t| t.decimals += 1);
    with(&|t| t.deployed_at += 1);
    with(&|t| t.visibility = Visibility::Private);
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!((digests.len(), count), (10, 10), "two different terms have one digest");
}
