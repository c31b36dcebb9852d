//! Keys and persons of the lists in `sample-data/`, derivable by anyone, and campaigns made of nothing: for demonstrations,
//! tests and measurements, never for money.

use alloy_primitives::{Address, B256, keccak256};

use crate::amount::Total;
use crate::command::{CampaignTerms, RoundMode, RoundTerms};
use crate::ids::{CampaignId, ContractRef, ProjectId, RoundNo};
use crate::limits::SHARD;
use crate::state::campaign::Campaign;
use crate::state::round::{Round, RoundPhase};

/// The private key of sample wallet `i`: keccak256("sluice sample wallet" ‖ i as u32, big-endian). Wallets 0 to 999 are
/// the recipients of `small.csv`, those from 1,000 on the agents and recipients of `benefits.csv`.
pub fn wallet_key(i: u32) -> B256 {
    numbered(b"sluice sample wallet", i)
}

/// The id of person `i` of `benefits.csv`: keccak256("sluice sample person" ‖ i as u32, big-endian).
pub fn person(i: u32) -> B256 {
    numbered(b"sluice sample person", i)
}

fn numbered(name: &[u8], i: u32) -> B256 {
    keccak256([name, &i.to_be_bytes()].concat())
}

/// A campaign whose rounds, from 1 on, have these sizes and modes and are open, with nothing decided: what the planner is
/// tried and measured on.
pub fn open_campaign(rounds: &[(u64, RoundMode)]) -> Campaign {
    let terms = CampaignTerms {
        campaign: CampaignId::default(),
        project: ProjectId::default(),
        name: String::new(),
        distributor: ContractRef { chain_id: 1, address: Address::ZERO },
        token: Address::ZERO,
        decimals: 18,
        deployed_at: 0,
        visibility: Default::default(),
        jurisdiction: String::new(),
    };
    let mut campaign = Campaign::new(terms, 1);
    for (number, (count, mode)) in (1..).zip(rounds) {
        campaign.rounds.insert(number, open_round(number, *count, *mode));
    }
    campaign
}

fn open_round(number: RoundNo, count: u64, mode: RoundMode) -> Round {
    let depth = count.div_ceil(4).next_power_of_two().ilog2();
    let terms = RoundTerms {
        campaign: CampaignId::default(),
        round: number,
        root: B256::ZERO,
        depth: u8::try_from(depth).expect("below 64"),
        count,
        total: Total::ZERO,
        rules_hash: B256::ZERO,
        opens_at: 0,
        closes_at: 0,
        mode,
        gate: 0,
        supersedes: 0,
        list_uri: String::new(),
        list_hash: B256::ZERO,
    };
    let shards = usize::try_from(count.div_ceil(SHARD)).expect("a round fits into memory");
    let mut round = Round::new(terms, vec![Total::ZERO; shards], 1);
    round.phase = RoundPhase::Open;
    round
}
