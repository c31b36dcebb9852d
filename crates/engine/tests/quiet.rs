//! What a node writes into its log of messages, at the finest level: nothing about people.
#![allow(dead_code, clippy::expect_used, reason = "tests say what they expect by panicking")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, hex};
use sluice_core::decide::About;
use sluice_core::ids::{DemandId, EntitlementId};
use sluice_core::log::entry::Body;
use sluice_engine::erasure;
use sluice_engine::gate_signer::{GateSigner, GateSignerConfig};
use sluice_store::ErasureOrder;
use support::institutions::{INCOME, RESIDENCY, earns, resident_of};
use support::{SEAL_SECRET, STREAM, World, account, decided, wallet};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use uuid::Uuid;

/// Messages, as they are written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic inside").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn person(i: u32) -> B256 {
    B256::left_padding_from(&(0xbe11_0000_0000 + u64::from(i)).to_be_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_name_no_person_no_payee_and_no_fact() {
    let written = Written::default();
    let filter = EnvFilter::new(
        "warn,sluice_core=trace,sluice_engine=trace,sluice_store=trace,sluice_chain=trace,sqlx=debug",
    );
    let messages =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(written.clone());
    messages.init();
    tracing::warn!("that messages are caught is seen by this one");

    let world = World::new().await;
    let node = world.node(0).await;
    let rows: String = (0..4).map(|i| format!("{},{},10\n", person(i), wallet(i).address())).collect();
    let (mut terms, snapshot) = world.snapshot_of(&format!("person,address,amount\n{rows}"));
    let gated = world.open_gated(&node, &mut terms).await;
    // One is paid, one fails a rule, one lacks attestations, one is somebody else's.
    let (country, income) = ("Ruritania", 91_234_567);
    world.attest_both(&node, &gated, wallet(0).address()).await;
    world.attest(&node, &gated.issuer, wallet(1).address(), RESIDENCY, resident_of(country)).await;
    world.attest(&node, &gated.issuer, wallet(1).address(), INCOME, earns(income)).await;
    let mut outcomes = Vec::new();
    for i in 0..3 {
        let claim = world.claim(&snapshot, 1, &wallet(i), wallet(i).address());
        let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
        outcomes.push(decided(&node, submitted.expect("accepted")).await);
    }
    assert!(matches!(outcomes[0].entry.body, Body::ClaimDecided(_)), "{:?}", outcomes[0].entry.body);
    assert!(matches!(outcomes[1].entry.body, Body::ClaimRefused(_)), "{:?}", outcomes[1].entry.body);
    let mut stolen = world.claim(&snapshot, 1, &wallet(3), wallet(3).address());
    stolen.signature = world.claim(&snapshot, 1, &wallet(2), wallet(2).address()).signature;
    node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), stolen).await.expect_err("it is refused");
    // The gate-signer reads the same people's data, and speaks of its own work.
    let config = GateSignerConfig {
        stream: STREAM,
        database_url: world.database.url().to_owned(),
        snapshots: world.folder.path().to_owned(),
        chains: [(31_337, (world.chain.clone(), world.charter))].into(),
        home: 31_337,
        key: account("gate"),
        interval: std::time::Duration::from_millis(1),
        seal_secret: SEAL_SECRET,
    };
    let mut signer = GateSigner::start(config).await.expect("a gate-signer");
    let mut words = Vec::new();
    while words.is_empty() {
        words = signer.tick().await.expect("a step");
    }
    for signed in words {
        let id = sluice_engine::gate_signer::gate_words_id(&signed);
        let submitted = node.submit(id, sluice_core::command::Demand::Gate(signed)).await.expect("accepted");
        decided(&node, submitted).await;
    }
    let index = snapshot.find(wallet(0).address()).start;
    world.final_at(&node, EntitlementId { round: 1, index }).await;
    let about = About::Person(person(1));
    let order = ErasureOrder::new(about, "a test");
    let erased = erasure::erase(node.follower(), node.snapshots(), node.store(), &order);
    assert!(matches!(erased.await.expect("answered"), erasure::Erasure::Done { .. }));
    node.stop().await;

    let text =
        String::from_utf8(written.0.lock().expect("no panic inside").clone()).expect("text").to_lowercase();
    assert!(text.contains("that messages are caught") && text.contains("sluice_engine"), "{text}");
    for i in 0..4 {
        let (person, payee) = (hex::encode(person(i)), hex::encode(wallet(i).address()));
        for about in [person, payee] {
            let line = text.lines().find(|line| line.contains(&about));
            assert!(line.is_none(), "{i}: {line:?}");
        }
    }
    for fact in ["ruritania", "91234567"] {
        assert!(!text.contains(fact), "{fact}");
    }
}
