//! Format 1, pinned: the bytes of one entry of every kind, and a recorded log with the state it leads to. These files
//! are never written again; changed semantics is a new format with files of its own.

mod digests;
mod offices;

use std::collections::BTreeSet;
use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes};
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{Action, Approval, CampaignTerms, Command, ListPlace, RoundMode, RoundTerms};
use sluice_core::ids::{
    BlockRef, CampaignId, ContractRef, DemandId, EntitlementId, IntakeKey, ProjectId, StreamId,
};
use sluice_core::log::entry::{
    AheadShare, AttemptSigned, BatchAt, BatchFinal, BatchForm, BatchMined, BatchPlanned, BatchReplanned,
    Body, ChainCursor, ChainEvent, CharterRead, CharterView, ClaimDecided, ClaimRefused, CommandRefused,
    Commanded, Due, Entry, EntryError, EpochBegan, EpochOnChain, Erased, EventsAt, EventsFinal, EventsMined,
    Evidence, FORMAT, Institution, Pushed, Redirect, ReplanGround, RoundPublished, SignedBy, Skipped, Voided,
    WordMask,
};
use sluice_core::refusal::Code;
use uuid::Uuid;

use crate::properties::replay;
use crate::simulation::{Draw, OPERATIONS, Simulation};
use crate::world::{CLOSES, World, campaign};

/// Format byte, stream, seq, epoch, recorded_at; then the body begins with its discriminant.
const KIND_AT: usize = 1 + 4 + 8 + 8 + 8;
/// The state that the recorded log leads to.
const RECORDED_HASH: &str = "5799612b92ab9b72a75413851d1192bc5fe40547806604cb7f8c08f6aa93f9a2";

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn b(n: u8) -> B256 {
    B256::repeat_byte(n)
}

fn a(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn block() -> BlockRef {
    BlockRef { number: 0x0102, hash: b(0xb1) }
}

fn id() -> CampaignId {
    CampaignId(Uuid::from_u128(0xc0ffee))
}

fn e(index: u64) -> EntitlementId {
    EntitlementId { round: 2, index }
}

fn amount(n: u128) -> Amount {
    Amount::new(n).unwrap()
}

fn key() -> IntakeKey {
    IntakeKey { campaign: id(), node: 3, n: 4 }
}

fn demand() -> DemandId {
    DemandId(Uuid::from_u128(0xde))
}

fn evidence() -> Evidence {
    Evidence {
        set_version: 5,
        rule_sets: vec![b(1), b(2)],
        policies: vec!["adults".into()],
        attestations: vec![b(3)],
        mandate: b(4),
        delegation: b(5),
        person: b(0x51),
        inputs: b(0x52),
        looked_at: Some(block()),
    }
}

fn commanded<T>(action: Action, outcome: T) -> Commanded<T> {
    let approval =
        Approval { authority: b(6), signer: Bytes::from(vec![7; 20]), signature: Bytes::from(vec![8; 65]) };
    let command = Command {
        action,
        subject_version: 9,
        reason: "résumé".into(),
        valid_at: 10,
        deadline: 11,
        mandate: b(4),
        delegation: b(5),
        listed_at: Some(ListPlace {
            list: DemandId(Uuid::from_u128(0x115)),
            count: 3,
            at: 2,
            path: vec![b(0x53)],
        }),
        approvals: vec![approval],
    };
    Commanded { intake: key(), id: demand(), command, evidence: evidence(), outcome }
}

fn campaign_terms() -> CampaignTerms {
    CampaignTerms {
        campaign: id(),
        project: ProjectId(Uuid::from_u128(0xa9)),
        name: "pensions".into(),
        distributor: ContractRef { chain_id: 1, address: a(0xd1) },
        token: a(0xd2),
        decimals: 18,
        deployed_at: 12,
        visibility: Default::default(),
        jurisdiction: "DE".into(),
    }
}

fn round_terms() -> RoundTerms {
    RoundTerms {
        campaign: id(),
        round: 2,
        root: b(0x11),
        depth: 3,
        count: 30,
        total: Total(u128::MAX),
        rules_hash: b(0x12),
        opens_at: 13,
        closes_at: 14,
        mode: RoundMode::Gated,
        gate: 15,
        supersedes: 1,
        list_uri: "s3://lists/2".into(),
        list_hash: b(0x13),
    }
}

fn word() -> WordMask {
    WordMask { round: 2, word: 1, mask: [1, 1 << 63, 0, u64::MAX] }
}

fn skipped() -> Skipped {
    Skipped { entitlement: e(256), reason: Bytes::from(vec![0x08, 0xc3, 0x79, 0xa0]) }
}

fn events() -> Vec<ChainEvent> {
    vec![
        ChainEvent::Funded { amount: Total(1 << 100) },
        ChainEvent::Published { terms: Box::new(round_terms()) },
        ChainEvent::Opened { round: 2 },
        ChainEvent::Cancelled { round: 3 },
        ChainEvent::ClosingExtended { round: 2, closes_at: 99 },
        ChainEvent::Paid { entitlement: e(7), amount: Amount::MAX, to: a(0x44), tx_hash: b(0x45) },
        ChainEvent::Voided { items: vec![(e(8), amount(80)), (e(9), amount(90))] },
        ChainEvent::Swept { round: 1, amount: Total(16) },
        ChainEvent::Withdrawn { amount: Total(17) },
        ChainEvent::HoldSet { mask: word(), until: 100 },
        ChainEvent::HoldCleared { mask: word() },
        ChainEvent::PausedUntil { until: 101 },
        ChainEvent::GateInstalled { version: 7, signer: Bytes::from(vec![0x6a; 20]) },
        ChainEvent::GateDisabled { version: 7, until: 102 },
        ChainEvent::CampaignHeldUntil { until: 103 },
        ChainEvent::HoldConfirmed { hold: 104, until: 105 },
        ChainEvent::PaidUnannounced { entitlement: e(7), to: Some(a(0x44)), tx_hash: b(0x45) },
        ChainEvent::PaidUnannounced { entitlement: e(8), to: None, tx_hash: b(0x45) },
        ChainEvent::VoidedUnannounced { word: word() },
    ]
}

fn plan(form: BatchForm) -> Body {
    Body::BatchPlanned(BatchPlanned {
        campaign: id(),
        batch: 18,
        form,
        words: vec![word()],
        total: Total(19),
    })
}

fn replanned(because: ReplanGround) -> Body {
    Body::BatchReplanned(BatchReplanned { campaign: id(), batch: 18, because, poison: vec![skipped()] })
}

fn decided(redirect: Option<Redirect>, signed_by: SignedBy) -> Body {
    Body::ClaimDecided(ClaimDecided {
        intake: key(),
        id: demand(),
        entitlement: e(7),
        recipient: a(0x21),
        amount: amount(1_000),
        redirect,
        body_hash: b(0x22),
        accepted_at: 20,
        signed_by,
        evidence: evidence(),
    })
}

/// One body of every kind, and of every variant inside.
fn bodies() -> Vec<(&'static str, Body)> {
    let redirect = Redirect { to: a(0x31), deadline: 21, signature: Bytes::from(vec![9; 64]) };
    let view = CharterView {
        set_version: 5,
        threshold: 2,
        institutions: vec![Institution {
            id: b(6),
            signers: vec![Bytes::from(vec![7; 20]), Bytes::from(vec![8; 52])],
        }],
        log_keys: vec![b(0x14)],
    };
    let charter = ContractRef { chain_id: 1, address: a(0xcc) };
    let (push, void) = (
        Action::Push { campaign: id(), round: 2, from: 1, to: 30 },
        Action::Void { campaign: id(), round: 2, indexes: vec![3, 5] },
    );
    vec![
        ("charter_read", Body::CharterRead(CharterRead { charter, block: block(), view })),
        ("epoch_began", Body::EpochBegan(EpochBegan { node: 3, sequencer: 1 })),
        (
            "campaign_created",
            Body::CampaignCreated(commanded(Action::CreateCampaign(campaign_terms()), campaign_terms())),
        ),
        (
            "round_published",
            Body::RoundPublished(RoundPublished {
                command: commanded(Action::Publish(round_terms()), ()),
                terms: round_terms(),
                shard_totals: vec![Total(u128::MAX)],
                held: vec![(9, 4, amount(40))],
                corrects: vec![EntitlementId { round: 1, index: 6 }],
                ahead: vec![AheadShare {
                    shard: 0,
                    paid: 5,
                    paid_total: Total(50),
                    void: 6,
                    void_total: Total(u128::MAX),
                }],
            }),
        ),
        ("claim_decided", decided(None, SignedBy::Key)),
        ("claim_decided_redirected", decided(Some(redirect), SignedBy::Contract)),
        (
            "claim_refused",
            Body::ClaimRefused(ClaimRefused {
                intake: key(),
                id: demand(),
                entitlement: e(7),
                body_hash: b(0x22),
                accepted_at: 20,
                code: Code::PaymentSeen,
                evidence: Evidence::default(),
            }),
        ),
        ("pushed", Body::Pushed(Pushed { command: commanded(push, ()), decided: vec![(0, 29, Total(22))] })),
        ("voided", Body::Voided(Voided { command: commanded(void, ()), items: vec![(3, amount(30))] })),
        (
            "command_refused",
            Body::CommandRefused(CommandRefused {
                intake: key(),
                id: demand(),
                body_hash: b(0x23),
                code: Code::Stale,
                changed_at: Some(23),
                authority: b(6),
                policies: vec!["small".into()],
            }),
        ),
        ("due_round_closes", Body::Due(Due::RoundCloses { campaign: id(), round: 2 })),
        ("due_skip_retry", Body::Due(Due::SkipRetry { campaign: id(), entitlement: e(7) })),
        ("batch_planned_dense", plan(BatchForm::Dense { round: 2, start: 256, levels: 6 })),
        ("batch_planned_sparse", plan(BatchForm::Sparse)),
        ("batch_planned_redirected", plan(BatchForm::Redirected { claims: vec![(e(7), 24)] })),
        (
            "attempt_signed",
            Body::AttemptSigned(AttemptSigned {
                campaign: id(),
                batch: 18,
                lane: a(0x1a),
                nonce: 25,
                tx_hash: b(0x24),
                max_fee: 26,
                priority_fee: 27,
                gas_limit: 28,
            }),
        ),
        (
            "batch_mined",
            Body::BatchMined(BatchMined {
                campaign: id(),
                batch: 18,
                block: block(),
                tx_hash: b(0x24),
                paid: vec![word()],
                paid_total: Total(29),
                skipped: vec![skipped()],
            }),
        ),
        ("batch_unmined", Body::BatchUnmined(BatchAt { campaign: id(), batch: 18, block: block() })),
        (
            "batch_final",
            Body::BatchFinal(BatchFinal {
                campaign: id(),
                batch: 18,
                block: block(),
                void_paid: vec![(e(7), amount(70))],
            }),
        ),
        ("batch_replanned_epoch_final", replanned(ReplanGround::EpochFinal(30))),
        ("batch_replanned_nonces_consumed", replanned(ReplanGround::NoncesConsumed(block()))),
        ("batch_replanned_never_signed", replanned(ReplanGround::NeverSigned)),
        ("events_mined", Body::EventsMined(EventsMined { campaign: id(), block: block(), events: events() })),
        ("events_unmined", Body::EventsUnmined(EventsAt { campaign: id(), block: block() })),
        (
            "events_final",
            Body::EventsFinal(EventsFinal { campaign: id(), block: block(), late: vec![(e(7), amount(70))] }),
        ),
        (
            "chain_cursor",
            Body::ChainCursor(ChainCursor {
                chain_id: 1,
                seen: block(),
                finalized: block(),
                caught_up: vec![id()],
            }),
        ),
        ("epoch_on_chain", Body::EpochOnChain(EpochOnChain { chain_id: 1, epoch: 31, block: block() })),
    ]
}

/// The same, and those that institutions, gates and times drive.
fn all_bodies() -> Vec<(&'static str, Body)> {
    let mut all = bodies();
    all.extend(offices::ordered());
    all.push(("gate_signed", offices::gate_signed()));
    all.extend(offices::due());
    all.push(("batch_planned_gated", plan(BatchForm::Gated)));
    all.push(("erased", Body::Erased(Erased { order: 7, facts: vec![5, 9], attestations: 3 })));
    all
}

fn entry(body: Body) -> Entry {
    Entry { stream: StreamId(0x0a0b), seq: 0x1122, epoch: 0x33, recorded_at: 0x0199_0000_0001, body }
}

#[test]
fn every_kind_has_the_bytes_of_format_1() {
    let text = std::fs::read_to_string(golden("format1.txt")).unwrap();
    let pinned: Vec<(&str, &str)> =
        text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split_once(' ').unwrap()).collect();
    let bodies = all_bodies();
    assert_eq!(pinned.len(), bodies.len());
    for ((name, hex), (expected, body)) in pinned.into_iter().zip(bodies) {
        assert_eq!(name, expected);
        let entry = entry(body);
        assert_eq!(hex::encode(entry.encode()), hex, "{name}");
        assert_eq!(Entry::decode(&hex::decode(hex).unwrap()).unwrap(), entry, "{name}");
    }
}

#[test]
fn a_row_s_kind_is_the_discriminant_of_its_body_and_all_kinds_are_pinned() {
    let mut kinds: Vec<i16> = all_bodies()
        .into_iter()
        .map(|(name, body)| {
            let kind = body.kind();
            assert_eq!(i16::from(entry(body).encode()[KIND_AT]), kind, "{name}");
            kind
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (1..=24).collect::<Vec<i16>>());
}

#[test]
fn a_row_s_intake_key_is_read_back_from_every_kind_that_answers_one() {
    for (name, body) in all_bodies() {
        let answers = matches!(body.kind(), 3..=9 | 22 | 23);
        assert_eq!(body.intake(), answers.then(key), "{name}");
    }
}

#[test]
fn truncated_and_longer_bytes_and_other_formats_are_refused() {
    assert!(matches!(Entry::decode(&[]), Err(EntryError::Empty)));
    for (name, body) in all_bodies() {
        let bytes = entry(body).encode();
        for end in 1..bytes.len() {
            assert!(
                matches!(Entry::decode(&bytes[..end]), Err(EntryError::Malformed(_))),
                "{name} cut at {end}"
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(Entry::decode(&longer), Err(EntryError::Malformed(_))), "{name} with a byte more");
        let mut newer = bytes.clone();
        newer[0] = FORMAT + 1;
        assert!(matches!(Entry::decode(&newer), Err(EntryError::Newer(format)) if format == FORMAT + 1));
        let mut none = bytes;
        none[0] = 0;
        assert!(matches!(Entry::decode(&none), Err(EntryError::NoFormat)));
    }
}

#[test]
fn an_unknown_kind_and_an_amount_above_96_bits_are_refused() {
    let mut unknown = entry(Body::EpochBegan(EpochBegan { node: 3, sequencer: 1 })).encode();
    unknown[KIND_AT] = 25;
    assert!(matches!(Entry::decode(&unknown), Err(EntryError::Malformed(_))));
    let mut bytes = entry(decided(None, SignedBy::Key)).encode();
    let small = amount(1_000).get().to_le_bytes();
    let at = bytes.windows(16).position(|w| w == small).unwrap();
    bytes[at + 12] = 1;
    let error = Entry::decode(&bytes).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("above 2^96 - 1"));
}

/// Entries one after another, each behind its length in four bytes, most significant first.
pub(crate) fn recorded() -> Vec<Vec<u8>> {
    let file = std::fs::read(golden("format1.log")).unwrap();
    let mut rest = file.as_slice();
    let mut entries = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (entry, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = tail;
    }
    assert!(rest.is_empty());
    entries
}

/// What institutions ordered in a log, by name.
fn orders(entries: &[Vec<u8>]) -> BTreeSet<&'static str> {
    let bodies = entries.iter().map(|bytes| Entry::decode(bytes).unwrap().body);
    bodies
        .filter_map(|body| if let Body::Ordered(o) = body { Some(o.command.action.name()) } else { None })
        .collect()
}

fn kinds(entries: &[Vec<u8>]) -> BTreeSet<i16> {
    entries.iter().map(|bytes| Entry::decode(bytes).unwrap().body.kind()).collect()
}

#[test]
fn the_recorded_log_of_format_1_leads_to_its_state() {
    let entries = recorded();
    // Erasures change nothing of State.
    assert_eq!(kinds(&entries), (1..=23).collect(), "every other kind occurs");
    assert_eq!(orders(&entries), Action::NAMES[4..].iter().copied().collect(), "every order occurs");
    assert!(entries.len() >= 300);
    assert_eq!(hex::encode(replay(&entries).hash()), RECORDED_HASH);
}

/// How the files were made. Run it only for a new format, under a new name.
#[test]
#[ignore = "writes the golden files of a format that is not yet released"]
fn write_the_golden_files() {
    let mut text = "# One entry of every kind in format 1: its name, then its bytes.\n".to_owned();
    for (name, body) in all_bodies() {
        text += &format!("{name} {}\n", hex::encode(entry(body).encode()));
    }
    std::fs::write(golden("format1.txt"), text).unwrap();
    std::fs::write(golden("digests1.txt"), digests::lines()).unwrap();

    let whole = |world: &World| {
        kinds(&world.encoded).len() == 23 && orders(&world.encoded).len() == Action::NAMES.len() - 4
    };
    let world = (0..).map(recordable_life).find(whole).unwrap();
    let mut file = Vec::new();
    for bytes in &world.encoded {
        file.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        file.extend(bytes);
    }
    std::fs::write(golden("format1.log"), file).unwrap();
    println!("{} entries, state {}", world.encoded.len(), hex::encode(replay(&world.encoded).hash()));
}

/// A random life, driven to its end, closed and swept.
fn recordable_life(seed: u64) -> World {
    let mut draw = Draw(seed);
    let mut sim = Simulation::new([700, 150], 100);
    for _ in 0..300 {
        let (operation, number) = (draw.below(u64::from(OPERATIONS)) as u8, draw.below(u64::MAX));
        sim.act(operation, number);
    }
    sim.flush();
    sim.order_everything();
    sim.settle_down();
    sim.finish();
    sim.world.now = CLOSES * 1_000;
    sim.world.submit(Vec::new());
    sim.world.events(campaign(1), vec![ChainEvent::Swept { round: 1, amount: Total(1) }]);
    sim.world
}
