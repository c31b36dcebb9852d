//! A log with a follower: what tests drive.

// Named by its path, because other crates' tests take this file in as well.
#[path = "world/settling.rs"]
mod settling;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{Action, CampaignTerms, ClaimDemand, Command, RoundMode, RoundTerms};
use sluice_core::decide::{ClaimVerdict, Input, VerifiedClaim, VerifiedCommand};
use sluice_core::ids::{
    BlockRef, CampaignId, ContractRef, DemandId, EntitlementId, IntakeKey, Millis, ProjectId, StreamId,
};
use sluice_core::log::entry::{
    AttemptSigned, BatchAt, BatchFinal, BatchMined, BatchPlanned, Body, ChainCursor, ChainEvent, CharterRead,
    CharterView, Entry, EpochBegan, EventsFinal, EventsMined, Institution, SignedBy, Skipped, WordMask,
};
use sluice_core::log::merkle::Frontier;
use sluice_core::planner::{GasModel, next_number, plan};
use sluice_core::refusal::Code;
use sluice_core::sequencer::Decider;
use sluice_core::state::State;
use sluice_core::state::funds::Account;
use sluice_core::state::status::ClaimState;
use uuid::Uuid;

pub(crate) const CHAIN: u64 = 31_337;
pub(crate) const OPENS: u64 = 1_800_000_000;
pub(crate) const CLOSES: u64 = OPENS + 30 * 86_400;
pub(crate) const LANE: Address = Address::repeat_byte(0x1a);

/// What the list says of index `i`.
pub(crate) fn amount(i: u64) -> Amount {
    Amount::new(1_000 + u128::from(i % 1_009 * 37 % 1_009)).unwrap()
}

pub(crate) fn recipient(i: u64) -> Address {
    let mut bytes = [0x22; 20];
    bytes[12..].copy_from_slice(&i.to_be_bytes());
    Address::from(bytes)
}

pub(crate) fn campaign(n: u128) -> CampaignId {
    CampaignId(Uuid::from_u128(n))
}

pub(crate) fn hash(n: u64) -> B256 {
    B256::left_padding_from(&n.to_be_bytes())
}

pub(crate) fn sum(indexes: impl IntoIterator<Item = u64>) -> Total {
    indexes.into_iter().fold(Total::ZERO, |sum, i| sum.checked_add(amount(i)).unwrap())
}

pub(crate) fn words(round: u64, indexes: impl IntoIterator<Item = u64>) -> Vec<WordMask> {
    let mut words: BTreeMap<u64, [u64; 4]> = BTreeMap::new();
    for index in indexes {
        words.entry(index / 256).or_default()[(index % 256 / 64) as usize] |= 1 << (index % 64);
    }
    words.into_iter().map(|(word, mask)| WordMask { round, word, mask }).collect()
}

/// Indexes named by words of one round.
pub(crate) fn indexes(words: &[WordMask]) -> Vec<u64> {
    words.iter().flat_map(|w| w.indexes().collect::<Vec<_>>()).collect()
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) decider: Decider,
    pub(crate) follower: State,
    pub(crate) now: Millis,
    pub(crate) log: Vec<Entry>,
    pub(crate) encoded: Vec<Vec<u8>>,
    /// The last intake number of each campaign.
    n: BTreeMap<CampaignId, u64>,
    id: u128,
    pub(crate) block: u64,
    pub(crate) tx: u64,
    nonce: u64,
}

impl World {
    /// A stream with its Charter: three institutions, two needed.
    pub(crate) fn new() -> Self {
        let state = State::new(StreamId(1));
        let mut world = Self {
            decider: Decider::new(state.clone(), Frontier::default(), 1),
            follower: state,
            now: OPENS * 1_000,
            log: Vec::new(),
            encoded: Vec::new(),
            n: BTreeMap::new(),
            id: 0,
            block: 100,
            tx: 0,
            nonce: 0,
        };
        let read = world.charter(1);
        world.see([read, Body::EpochBegan(EpochBegan { node: 1, sequencer: 1 })]);
        world
    }

    /// A stream with campaign 1, whose round 1 of this many entitlements is open and funded.
    pub(crate) fn open(count: u64, mode: RoundMode) -> Self {
        let mut world = Self::new();
        world.create(campaign(1));
        world.publish(campaign(1), count, mode);
        world.events(campaign(1), vec![ChainEvent::Funded { amount: sum(0..count) }]);
        world.open_round(campaign(1), 1);
        world
    }

    pub(crate) fn charter(&self, set_version: u64) -> Body {
        let institution =
            |n: u8| Institution { id: B256::repeat_byte(n), signers: vec![Bytes::from(vec![n; 20])] };
        Body::CharterRead(CharterRead {
            charter: ContractRef { chain_id: CHAIN, address: Address::repeat_byte(0xcc) },
            block: self.at(self.block),
            view: CharterView {
                set_version,
                threshold: 2,
                institutions: (1..=3).map(institution).collect(),
                log_keys: vec![B256::repeat_byte(7)],
            },
        })
    }

    pub(crate) fn at(&self, number: u64) -> BlockRef {
        BlockRef { number, hash: hash(number) }
    }

    pub(crate) fn state(&self) -> &State {
        self.decider.state()
    }

    pub(crate) fn known(&self) -> &sluice_core::state::campaign::Campaign {
        self.state().campaign(campaign(1)).unwrap()
    }

    /// Decides a group and replays it on the follower from its bytes; both must agree in everything.
    pub(crate) fn submit(&mut self, inputs: Vec<Input>) -> Vec<Body> {
        let (bodies, again) = self.submit_all(inputs);
        assert_eq!(again, 0, "nothing has to be verified again");
        bodies
    }

    /// As [`Self::submit`]; also says how many inputs have to be verified again.
    pub(crate) fn submit_all(&mut self, inputs: Vec<Input>) -> (Vec<Body>, usize) {
        let group = self.decider.group(inputs, self.now).unwrap();
        let mut postings: BTreeMap<(CampaignId, Account), i128> = BTreeMap::new();
        for (entry, bytes) in group.entries.iter().zip(&group.encoded) {
            let decoded = Entry::decode(bytes).unwrap();
            assert_eq!(&decoded, entry);
            for posting in self.follower.apply(&decoded).unwrap() {
                *postings.entry((posting.campaign, posting.account)).or_default() += posting.delta;
            }
        }
        postings.retain(|_, delta| *delta != 0);
        let summed: BTreeMap<_, _> =
            group.postings.iter().map(|p| ((p.campaign, p.account), p.delta)).collect();
        assert_eq!(summed, postings, "the group's postings are its entries'");
        for id in self.follower.campaigns.keys() {
            let total: i128 = postings.iter().filter(|((c, _), _)| c == id).map(|(_, delta)| delta).sum();
            assert_eq!(total, 0, "postings of a campaign add up to zero");
        }
        assert_eq!(self.decider.state().clone().hash(), self.follower.hash());
        let bodies = group.entries.iter().map(|e| e.body.clone()).collect();
        self.log.extend(group.entries);
        self.encoded.extend(group.encoded);
        (bodies, group.again.len())
    }

    pub(crate) fn see(&mut self, bodies: impl IntoIterator<Item = Body>) -> Vec<Body> {
        self.submit(bodies.into_iter().map(Input::Observed).collect())
    }

    /// Whether one observation becomes an entry.
    pub(crate) fn takes(&mut self, body: Body) -> bool {
        !self.see([body]).is_empty()
    }

    pub(crate) fn key(&mut self, campaign: CampaignId) -> IntakeKey {
        let n = self.n.entry(campaign).or_default();
        *n += 1;
        IntakeKey { campaign, node: 1, n: *n }
    }

    pub(crate) fn id(&mut self) -> DemandId {
        self.id += 1;
        DemandId(Uuid::from_u128(self.id))
    }

    // Campaigns and rounds.

    pub(crate) fn create(&mut self, id: CampaignId) {
        let terms = CampaignTerms {
            campaign: id,
            project: ProjectId(Uuid::from_u128(77)),
            name: "sample".into(),
            distributor: ContractRef {
                chain_id: CHAIN,
                address: Address::left_padding_from(&id.0.as_u128().to_be_bytes()),
            },
            token: Address::repeat_byte(0x70),
            decimals: 18,
            deployed_at: 5,
            visibility: Default::default(),
            jurisdiction: String::new(),
        };
        let input = self.command(Action::CreateCampaign(terms));
        assert!(matches!(self.submit(vec![input])[..], [Body::CampaignCreated(_)]));
        let cursor = self.cursor(vec![id]);
        self.see([cursor]);
    }

    pub(crate) fn cursor(&self, caught_up: Vec<CampaignId>) -> Body {
        let here = self.at(self.block);
        Body::ChainCursor(ChainCursor { chain_id: CHAIN, seen: here, finalized: here, caught_up })
    }

    pub(crate) fn terms(&self, id: CampaignId, round: u64, count: u64, mode: RoundMode) -> RoundTerms {
        let buckets = count.div_ceil(4).next_power_of_two();
        RoundTerms {
            campaign: id,
            round,
            root: hash(1_000 + round),
            depth: buckets.trailing_zeros() as u8,
            count,
            total: sum(0..count),
            rules_hash: B256::ZERO,
            opens_at: OPENS,
            closes_at: CLOSES,
            mode,
            gate: 0,
            supersedes: 0,
            list_uri: "list".into(),
            list_hash: hash(2_000 + round),
        }
    }

    /// Announces the campaign's next round.
    pub(crate) fn publish(&mut self, id: CampaignId, count: u64, mode: RoundMode) -> u64 {
        let round = self.state().campaign(id).unwrap().next_round();
        let terms = self.terms(id, round, count, mode);
        let input = self.command(Action::Publish(terms));
        assert!(matches!(self.submit(vec![input])[..], [Body::RoundPublished(_)]));
        round
    }

    pub(crate) fn open_round(&mut self, id: CampaignId, round: u64) {
        let terms = self.state().campaign(id).unwrap().round(round).unwrap().terms.clone();
        self.events(id, vec![ChainEvent::Published { terms: Box::new(terms) }, ChainEvent::Opened { round }]);
    }

    /// Events in a block of their own, mined and final.
    pub(crate) fn events(&mut self, id: CampaignId, events: Vec<ChainEvent>) {
        let block = self.events_mined(id, events);
        self.events_final(id, block);
    }

    pub(crate) fn events_mined(&mut self, id: CampaignId, events: Vec<ChainEvent>) -> BlockRef {
        self.block += 1;
        let block = self.at(self.block);
        assert!(self.takes(Body::EventsMined(EventsMined { campaign: id, block, events })));
        block
    }

    pub(crate) fn events_final(&mut self, id: CampaignId, block: BlockRef) {
        let body = self.events_final_of(id, block);
        assert!(self.takes(body));
    }

    pub(crate) fn events_final_of(&self, id: CampaignId, block: BlockRef) -> Body {
        let late = self.state().late(id, block.number);
        let late = late.into_iter().map(|id| (id, amount(id.index))).collect();
        Body::EventsFinal(EventsFinal { campaign: id, block, late })
    }

    /// The contract annuls entitlements of round 1, finally.
    pub(crate) fn void_on_chain(&mut self, indexes: impl IntoIterator<Item = u64>) {
        let items = indexes.into_iter().map(|index| (EntitlementId { round: 1, index }, amount(index)));
        self.events(campaign(1), vec![ChainEvent::Voided { items: items.collect() }]);
    }

    pub(crate) fn paid_event(&mut self, round: u64, index: u64) -> ChainEvent {
        self.tx += 1;
        let entitlement = EntitlementId { round, index };
        ChainEvent::Paid { entitlement, amount: amount(index), to: recipient(index), tx_hash: hash(self.tx) }
    }

    // Demands.

    pub(crate) fn claim(&mut self, index: u64) -> VerifiedClaim {
        let claim = ClaimDemand {
            round: 1,
            index,
            recipient: recipient(index),
            to: recipient(index),
            amount: amount(index),
            deadline: CLOSES + 86_400,
            signature: Bytes::from(vec![1; 65]),
        };
        self.claim_of(campaign(1), claim)
    }

    pub(crate) fn claim_of(&mut self, id: CampaignId, claim: ClaimDemand) -> VerifiedClaim {
        let valid_until = claim.deadline * 1_000;
        VerifiedClaim {
            key: self.key(id),
            id: self.id(),
            accepted_at: self.now,
            body_hash: sluice_core::command::Demand::Claim(claim.clone()).body_hash(),
            claim,
            verdict: Ok(ClaimVerdict {
                signed_by: SignedBy::Key,
                looked_at: None,
                valid_until,
                person: None,
                gate: None,
            }),
        }
    }

    pub(crate) fn redirected(&mut self, index: u64) -> VerifiedClaim {
        let mut claim = self.claim(index);
        claim.claim.to = Address::repeat_byte(0xee);
        claim
    }

    /// A command with the facts that the engine would establish, by two institutions, on the subject as it is.
    pub(crate) fn command(&mut self, action: Action) -> Input {
        Input::Command(self.signed(action))
    }

    pub(crate) fn signed(&mut self, action: Action) -> VerifiedCommand {
        let id = action.queue();
        let listed = crate::lookup::listed(self.state(), &action);
        let command = Command {
            action,
            subject_version: self.state().seq,
            reason: "because".into(),
            valid_at: self.now,
            deadline: self.now + 3_600_000,
            mandate: B256::ZERO,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: crate::institutions::approvals(&[1, 2]),
        };
        let verdict = Ok(crate::institutions::facts(self.state(), &command, listed));
        let accepted_at = self.now;
        VerifiedCommand { key: self.key(id), id: self.id(), accepted_at, command, verdict }
    }

    pub(crate) fn push_input(&mut self, from: u64, to: u64) -> Input {
        self.command(Action::Push { campaign: campaign(1), round: 1, from, to })
    }

    pub(crate) fn void_input(&mut self, indexes: Vec<u64>) -> Input {
        self.command(Action::Void { campaign: campaign(1), round: 1, indexes })
    }

    pub(crate) fn push(&mut self, from: u64, to: u64) -> Body {
        let input = self.push_input(from, to);
        self.submit(vec![input]).pop().unwrap()
    }

    pub(crate) fn void(&mut self, indexes: Vec<u64>) -> Body {
        let input = self.void_input(indexes);
        self.submit(vec![input]).pop().unwrap()
    }

    /// Claims these entitlements; every one is decided.
    pub(crate) fn decide(&mut self, indexes: impl IntoIterator<Item = u64>) {
        for index in indexes {
            let claim = self.claim(index);
            assert!(matches!(self.submit(vec![Input::Claim(claim)])[..], [Body::ClaimDecided(_)]), "{index}");
        }
    }

    // Batches of campaign 1.

    pub(crate) fn status(&self, index: u64) -> Option<ClaimState> {
        self.known().status(EntitlementId { round: 1, index })
    }

    pub(crate) fn balance(&self, account: Account) -> u128 {
        let balance = self.known().funds.balance(account);
        u128::try_from(balance).unwrap_or_else(|_| panic!("{account:?} is negative: {balance}"))
    }

    /// Free, reserved, paid, voided and swept add up to what came in.
    pub(crate) fn balanced(&self) {
        for campaign in self.state().campaigns.values() {
            let balances = Account::ALL.map(|a| campaign.funds.balance(a));
            assert_eq!(balances.iter().sum::<i128>(), 0);
            assert!(Account::ALL.iter().zip(balances).all(|(a, b)| *a == Account::Funded || b >= 0));
        }
    }
}

pub(crate) fn skipped(round: u64, index: u64) -> Skipped {
    let entitlement = EntitlementId { round, index };
    Skipped { entitlement, reason: Bytes::from(b"blocked".to_vec()) }
}

pub(crate) fn refusal(body: &Body) -> Option<Code> {
    match body {
        Body::ClaimRefused(refused) => Some(refused.code),
        Body::CommandRefused(refused) => Some(refused.code),
        _ => None,
    }
}
