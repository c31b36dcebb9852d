//! Gates, holds and pauses: signed as the contracts read them, and read back.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::json;
use sluice_chain::actions::{ChainAction, gate_digest};
use sluice_chain::calls::{
    self, Approvals, BatchHead, Chunk, GateContent, GateWord, GatedChunk, RedirectItem,
};
use sluice_chain::deploy::Operator;
use sluice_chain::events::{CampaignEvent, Event};
use sluice_chain::reads::GateVersion;
use sluice_chain::signer::Account;
use sluice_chain::{At, ChainError, RevertKind, TxReceipt};
use sluice_core::amount::Amount;
use sluice_core::command::{ClaimDemand, RoundMode};
use sluice_core::ids::{ContractRef, EntitlementId};
use sluice_core::log::entry::WordMask;
use sluice_core::signing::claim_digest;

use crate::tree::Tree;
use crate::world::{CHAIN_ID, World, ask, recipients};

const DAY: u64 = 86_400;

struct Gated {
    world: World,
    gate: Account,
    tree: Tree,
}

impl Gated {
    /// Gate version 1 with a key of its own, and an open round 1 that names it.
    async fn new(list: &[(Address, u128)]) -> Self {
        let world = World::new().await;
        let (gate, tree) = (Account::random(), Tree::new(list));
        let gated = Self { world, gate, tree };
        let mut terms = gated.world.terms(1, &gated.tree, RoundMode::Gated).await;
        terms.gate = 1;
        let (signer, rules_hash) = (gated.gate.signer_bytes(), terms.rules_hash);
        let (distributor, version) = (gated.world.distributor, 1);
        let action = ChainAction::InstallGate { distributor, version, signer: signer.clone(), rules_hash };
        let approvals = gated.world.approve(&action).await;
        let data = calls::install_gate(version, signer.clone(), rules_hash, &approvals).unwrap();
        let receipt = gated.send("installGate", data).await;
        let installed = CampaignEvent::GateInstalled { version, signer, rules_hash };
        assert_eq!(gated.said(&receipt).await, [installed]);

        gated.world.publish(&terms).await;
        gated.world.operator.mint(gated.world.token, distributor, gated.tree.total()).await.unwrap();
        gated.world.pass(2).await;
        gated.world.operator.open(distributor, 1).await.unwrap();
        let control = Operator::new(gated.world.chain.clone(), gated.world.control.clone());
        control.take_epoch(gated.world.charter.address, 1).await.unwrap();
        gated
    }

    async fn try_send(&self, name: &'static str, data: Bytes) -> Result<TxReceipt, ChainError> {
        self.world.operator.send(name, Some(self.world.distributor), data, U256::ZERO).await
    }

    async fn send(&self, name: &'static str, data: Bytes) -> TxReceipt {
        self.try_send(name, data).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    async fn refused(&self, name: &'static str, data: Bytes) -> (RevertKind, String) {
        match self.try_send(name, data).await.unwrap_err() {
            ChainError::Reverted { revert, .. } => (revert.kind, revert.text),
            other => panic!("{name}: {other}"),
        }
    }

    async fn settle(&self, data: Bytes) -> Result<TxReceipt, ChainError> {
        let lane = Operator::new(self.world.chain.clone(), self.world.lane.clone());
        lane.send("settle", Some(self.world.distributor), data, U256::ZERO).await
    }

    /// What the Distributor said in a transaction.
    async fn said(&self, receipt: &TxReceipt) -> Vec<CampaignEvent> {
        let number = receipt.block.number;
        let read = self.world.chain.events(number, number, &[self.world.watched()], None).await.unwrap();
        let events = read.blocks.into_iter().flat_map(|block| block.events);
        events
            .filter_map(|e| match e.event {
                Event::Campaign { event, .. } => Some(event),
                Event::Charter(_) => None,
            })
            .collect()
    }

    async fn now(&self) -> u64 {
        self.world.chain.timestamp().await.unwrap()
    }

    /// Signatures of the institutions at these places: 0 and 1 are both the registry's keys.
    async fn by(&self, action: &ChainAction, keys: &[usize]) -> Approvals {
        let accounts = keys.iter().map(|at| &self.world.authorities[*at]);
        action.approve(self.world.charter, 1, self.now().await + 3_600, accounts).unwrap()
    }

    fn gate_word(&self, mask: [u64; 4], signer: &Account) -> GateWord {
        let mask = WordMask { round: 1, word: 0, mask };
        let content = GateContent { mask, as_of_seq: 77, expiry: 4_000_000_000 };
        let here = ContractRef { chain_id: CHAIN_ID, address: self.world.distributor };
        let digest = gate_digest(here, 1, B256::repeat_byte(3), &content).unwrap();
        GateWord { content, signature: signer.sign_digest(digest).unwrap() }
    }
}

/// A chunk under a gate's word and these tests' rules.
fn under(chunk: Chunk, gate: GateWord) -> GatedChunk {
    GatedChunk { chunk, gate, rules_hash: B256::repeat_byte(3) }
}

fn head(batch: u64) -> BatchHead {
    BatchHead { epoch: 1, batch, log_root: B256::repeat_byte(5) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gates_word_lets_exactly_its_mask_be_paid() {
    let alice = Account::random();
    let mut list = recipients(9);
    list.push((alice.address(), 70_000));
    list.sort();
    let at = |address| list.iter().position(|(to, _)| *to == address).unwrap() as u64;
    let gated = Gated::new(&list).await;
    let (world, tree) = (&gated.world, &gated.tree);
    let warden = world.chain.warden(world.charter.address, At::Latest).await.unwrap();
    let version = world.chain.gate_version(warden, world.distributor, 1, At::Latest).await.unwrap().unwrap();
    let expected = GateVersion {
        signer: gated.gate.signer_bytes(),
        rules_hash: B256::repeat_byte(3),
        installed_at: version.installed_at,
        disabled_until: 0,
    };
    assert_eq!(version, expected);
    assert_eq!(world.chain.gate_version(warden, world.distributor, 2, At::Latest).await.unwrap(), None);

    let settle = |batch, indexes: &[u64], word: GateWord| {
        calls::settle_gated(head(batch), &[under(tree.chunk(1, indexes), word)])
    };
    let kind = |result: Result<TxReceipt, ChainError>| match result.unwrap_err() {
        ChainError::Reverted { revert, .. } => revert.kind,
        other => panic!("{other}"),
    };
    let word = gated.gate_word([0b111, 0, 0, 0], &gated.gate);
    assert_eq!(kind(gated.settle(settle(1, &[0, 3], word.clone())).await), RevertKind::NotApproved);
    let forged = gated.gate_word([0b111, 0, 0, 0], &world.lane);
    assert_eq!(kind(gated.settle(settle(1, &[0, 2], forged)).await), RevertKind::NotApproved);
    let both = [0, 2].map(|index| under(tree.chunk(1, &[index]), word.clone()));
    let receipt = gated.settle(calls::settle_gated(head(1), &both)).await.unwrap();
    let paid = |mask| CampaignEvent::Settled(WordMask { round: 1, word: 0, mask: [mask, 0, 0, 0] });
    assert_eq!(gated.said(&receipt).await[1..], [paid(0b1), paid(0b100)]);

    // Redirected in a batch, and claimed by the wallet itself.
    let index = at(alice.address());
    let to = Address::repeat_byte(0x77);
    let distributor = ContractRef { chain_id: CHAIN_ID, address: world.distributor };
    let entitlement = EntitlementId { round: 1, index };
    let deadline = 4_000_000_000;
    let demand = ClaimDemand {
        round: 1,
        index,
        recipient: alice.address(),
        to,
        amount: Amount::new(70_000).unwrap(),
        deadline,
        signature: Bytes::new(),
    };
    let signature = alice.sign_digest(claim_digest(&demand, distributor)).unwrap();
    let path = tree.path(index);
    let proven = tree.proven(1, index, &path);
    let word = gated.gate_word([1 << index, 0, 0, 0], &gated.gate);
    let item = RedirectItem {
        entitlement,
        to,
        deadline,
        signature: signature.clone(),
        bucket: proven.bucket,
        proof: path.clone(),
    };
    let without = gated.settle(calls::settle_to(head(2), std::slice::from_ref(&item))).await;
    assert_eq!(kind(without), RevertKind::NotApproved);
    let snapshot = ask(&world.raw, "evm_snapshot", json!([])).await;
    let data = calls::settle_to_gated(head(2), &[item], std::slice::from_ref(&word));
    let receipt = gated.settle(data).await.unwrap();
    let redirected = CampaignEvent::Redirected { entitlement, to };
    assert_eq!(gated.said(&receipt).await[1..], [redirected]);
    ask(&world.raw, "evm_revert", json!([snapshot])).await;
    let data = calls::claim_attested(proven, to, deadline, signature, &word);
    let receipt = gated.send("claimAttested", data).await;
    assert_eq!(gated.said(&receipt).await, [CampaignEvent::Claimed { entitlement, to }]);

    // One institution stops the gate for 72 hours, once.
    let until = gated.now().await + 2 * DAY;
    let off = |until, together, nonce| ChainAction::DisableGate {
        distributor: world.distributor,
        version: 1,
        until,
        together,
        nonce,
    };
    let approvals = gated.by(&off(until, 1, 1), &[3]).await;
    let receipt = gated.send("disableGate", calls::disable_gate(1, until, 1, 1, &approvals).unwrap()).await;
    assert_eq!(
        gated.said(&receipt).await,
        [CampaignEvent::GateDisabled { version: 1, until, institutions: 4 }]
    );
    let word = gated.gate_word([0b1000, 0, 0, 0], &gated.gate);
    assert_eq!(kind(gated.settle(settle(2, &[3], word.clone())).await), RevertKind::GateOff(until));
    let approvals = gated.by(&off(until + 2 * DAY, 1, 2), &[3]).await;
    let again = calls::disable_gate(1, until + 2 * DAY, 1, 2, &approvals).unwrap();
    let (refused, text) = gated.refused("disableGate", again).await;
    assert_eq!(refused, RevertKind::Unauthorised);
    assert!(text.starts_with("RationSpent"), "{text}");
    let approvals = gated.by(&off(0, 2, 3), &[2, 3]).await;
    gated.send("disableGate", calls::disable_gate(1, 0, 2, 3, &approvals).unwrap()).await;
    gated.settle(settle(2, &[3], word)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_signed_as_the_contract_reads_them_and_read_back() {
    let gated = Gated::new(&recipients(9)).await;
    let (world, distributor) = (&gated.world, gated.world.distributor);
    let warden = world.chain.warden(world.charter.address, At::Latest).await.unwrap();
    let reason = B256::repeat_byte(0xaa);
    let mask = WordMask { round: 1, word: 0, mask: [0b110, 0, 0, 0] };
    let hold = ChainAction::Hold { distributor, mask, reason, together: 1, nonce: 1 };
    let approvals = gated.by(&hold, &[0]).await;
    let receipt = gated.send("hold", calls::hold(mask, reason, 1, 1, &approvals)).await;
    let said = gated.said(&receipt).await;
    let CampaignEvent::HoldPlaced { until, .. } = said[0] else { panic!("{said:?}") };
    assert_eq!(said, [CampaignEvent::HoldPlaced { hold: 1, mask, until, institutions: 1, reason }]);
    let read = world.chain.hold(warden, distributor, 1, At::Latest).await.unwrap().unwrap();
    assert_eq!((read.mask, read.expires_at, read.placed_by, read.firm), (mask, until, 1, false));
    assert_eq!(read.expires_at - read.placed_at, 3 * DAY);
    assert_eq!(world.chain.hold(warden, distributor, 2, At::Latest).await.unwrap(), None);
    assert_eq!(world.chain.hold_count(warden, distributor, At::Latest).await.unwrap(), 1);
    assert!(world.chain.is_held(distributor, 1, 2, At::Latest).await.unwrap());
    assert!(!world.chain.is_held(distributor, 1, 3, At::Latest).await.unwrap());
    assert_eq!(world.chain.held_words(distributor, 1, [0], At::Latest).await.unwrap(), [mask.mask]);

    // The registry's other key is no second institution; the treasury is.
    let confirm = |nonce| ChainAction::ConfirmHold { distributor, hold: 1, together: 1, nonce };
    let same = gated.by(&confirm(2), &[1]).await;
    let (kind, text) = gated.refused("confirmHold", calls::confirm_hold(1, 1, 2, &same)).await;
    assert_eq!((kind, text.as_str()), (RevertKind::Unauthorised, "SecondNeeded"));
    let second = gated.by(&confirm(3), &[2]).await;
    let receipt = gated.send("confirmHold", calls::confirm_hold(1, 1, 3, &second)).await;
    let until = read.placed_at + 30 * DAY;
    assert_eq!(
        gated.said(&receipt).await,
        [CampaignEvent::HoldConfirmed { hold: 1, until, institutions: 2 }]
    );

    let release = |together, nonce| ChainAction::Release { distributor, hold: 1, together, nonce };
    let alone = gated.by(&release(1, 4), &[0]).await;
    assert_eq!(gated.refused("release", calls::release(1, 1, 4, &alone)).await.0, RevertKind::Unauthorised);
    let both = gated.by(&release(2, 5), &[0, 3]).await;
    let receipt = gated.send("release", calls::release(1, 2, 5, &both)).await;
    assert_eq!(gated.said(&receipt).await, [CampaignEvent::HoldEnded { hold: 1, mask, institutions: 5 }]);
    assert_eq!(gated.refused("release", calls::release(1, 2, 5, &both)).await.0, RevertKind::Already);

    let mask = WordMask { mask: [1, 0, 0, 0], ..mask };
    let approvals =
        gated.by(&ChainAction::Hold { distributor, mask, reason, together: 1, nonce: 6 }, &[3]).await;
    gated.send("hold", calls::hold(mask, reason, 1, 6, &approvals)).await;
    let (early, _) = gated.refused("lapse", calls::lapse(2)).await;
    assert!(matches!(early, RevertKind::TooEarly(_)));
    world.pass(3 * DAY).await;
    let receipt = gated.send("lapse", calls::lapse(2)).await;
    assert_eq!(gated.said(&receipt).await, [CampaignEvent::HoldEnded { hold: 2, mask, institutions: 0 }]);
}

/// What events say is held: placed bits, less those that ended.
fn held_by(said: &[CampaignEvent]) -> u64 {
    said.iter().fold(0, |held, event| match event {
        CampaignEvent::HoldPlaced { mask, .. } => held | mask.mask[0],
        CampaignEvent::HoldEnded { mask, .. } => held & !mask.mask[0],
        _ => held,
    })
}

/// M's hold takes over what single institutions hold, so that whoever held first saves nothing from it by releasing. The
/// events add up to what the contract holds after each step: the log knows nothing else of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_of_m_takes_over_what_single_institutions_hold() {
    let gated = Gated::new(&recipients(9)).await;
    let (world, distributor) = (&gated.world, gated.world.distributor);
    let warden = world.chain.warden(world.charter.address, At::Latest).await.unwrap();
    let reason = B256::repeat_byte(0xaa);
    let word = |bits: u64| WordMask { round: 1, word: 0, mask: [bits, 0, 0, 0] };
    let mut all = Vec::new();
    let mut hold = async |bits: u64, keys: &[usize], nonce: u64| {
        let (mask, together) = (word(bits), u8::try_from(keys.len()).unwrap());
        let approvals =
            gated.by(&ChainAction::Hold { distributor, mask, reason, together, nonce }, keys).await;
        let receipt = gated.send("hold", calls::hold(mask, reason, together, nonce, &approvals)).await;
        let said = gated.said(&receipt).await;
        all.extend(said.clone());
        assert_eq!(
            world.chain.held_words(distributor, 1, [0], At::Latest).await.unwrap(),
            [[held_by(&all), 0, 0, 0]]
        );
        let CampaignEvent::HoldPlaced { hold, mask, .. } = said[0] else { panic!("{said:?}") };
        (hold, mask.mask[0])
    };
    assert_eq!(hold(0b00_0011, &[0], 1).await, (1, 0b00_0011));
    assert_eq!(hold(0b00_0100, &[0], 2).await, (2, 0b00_0100));
    assert_eq!(hold(0b01_0000, &[2], 3).await, (3, 0b01_0000));
    let confirm = ChainAction::ConfirmHold { distributor, hold: 3, together: 1, nonce: 4 };
    let second = gated.by(&confirm, &[3]).await;
    gated.send("confirmHold", calls::confirm_hold(3, 1, 4, &second)).await;
    // Of what it names: the free one and those of single institutions, not what a second one confirmed.
    assert_eq!(hold(0b11_0110, &[0, 2], 5).await, (4, 0b10_0110));
    for (id, left) in [(1, 0b00_0001), (2, 0), (3, 0b01_0000), (4, 0b10_0110)] {
        let read = world.chain.hold(warden, distributor, id, At::Latest).await.unwrap();
        assert_eq!(read.map_or(0, |hold| hold.mask.mask[0]), left, "hold {id}");
    }

    let release = async |id: u64, keys: &[usize], nonce: u64| {
        let together = u8::try_from(keys.len()).unwrap();
        let action = ChainAction::Release { distributor, hold: id, together, nonce };
        let approvals = gated.by(&action, keys).await;
        gated.try_send("release", calls::release(id, together, nonce, &approvals)).await
    };
    let mut held = held_by(&all);
    for (id, keys, nonce, ends) in
        [(1, &[0][..], 6, 0b00_0001), (4, &[0, 2], 7, 0b10_0110), (3, &[0, 3], 8, 0b01_0000)]
    {
        let said = gated.said(&release(id, keys, nonce).await.unwrap()).await;
        let CampaignEvent::HoldEnded { hold, mask, .. } = said[0] else { panic!("{said:?}") };
        assert_eq!((hold, mask.mask[0]), (id, ends), "it ends what is left of it");
        held &= !mask.mask[0];
        assert_eq!(world.chain.held_words(distributor, 1, [0], At::Latest).await.unwrap(), [[held, 0, 0, 0]]);
    }
    assert_eq!(held, 0);
    match release(2, &[0], 9).await.unwrap_err() {
        ChainError::Reverted { revert, .. } => {
            assert_eq!(revert.kind, RevertKind::WrongState, "{}", revert.text)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_campaign_holds_are_signed_as_the_contract_reads_them() {
    let gated = Gated::new(&recipients(9)).await;
    let (chain, distributor) = (&gated.world.chain, gated.world.distributor);
    let until = gated.now().await + DAY / 2;
    let approvals = gated.by(&ChainAction::Pause { distributor, until, together: 1, nonce: 1 }, &[2]).await;
    let receipt = gated.send("pause", calls::pause(until, 1, 1, &approvals)).await;
    assert_eq!(gated.said(&receipt).await, [CampaignEvent::PauseSet { until, institutions: 2 }]);
    assert_eq!(chain.paused_until(distributor, At::Latest).await.unwrap(), until);
    let word = gated.gate_word([1, 0, 0, 0], &gated.gate);
    let settle = || calls::settle_gated(head(1), &[under(gated.tree.chunk(1, &[0]), word.clone())]);
    let error = gated.settle(settle()).await.unwrap_err();
    assert!(
        matches!(&error, ChainError::Reverted { revert, .. } if revert.kind == RevertKind::Paused(until))
    );

    let end = gated.by(&ChainAction::Pause { distributor, until: 1, together: 2, nonce: 2 }, &[2, 3]).await;
    gated.send("pause", calls::pause(1, 2, 2, &end)).await;
    let held = gated.now().await + 20 * DAY;
    let action = ChainAction::HoldCampaign { distributor, until: held, together: 2, nonce: 1 };
    let alone = gated.by(&action, &[2]).await;
    let (kind, _) = gated.refused("holdCampaign", calls::hold_campaign(held, 2, 1, &alone)).await;
    assert_eq!(kind, RevertKind::Unauthorised);
    let approvals = gated.by(&action, &[0, 2]).await;
    let receipt = gated.send("holdCampaign", calls::hold_campaign(held, 2, 1, &approvals)).await;
    assert_eq!(gated.said(&receipt).await, [CampaignEvent::CampaignHeld { until: held, institutions: 3 }]);
    assert_eq!(chain.held_until(distributor, At::Latest).await.unwrap(), held);
    let error = gated.settle(settle()).await.unwrap_err();
    assert!(matches!(&error, ChainError::Reverted { revert, .. } if revert.kind == RevertKind::Paused(held)));
    assert!(chain.held_until(distributor, At::Latest).await.unwrap() > gated.now().await);
}
