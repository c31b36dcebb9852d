//! The demonstration's last page.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_core::amount::Total;
use sluice_snapshot::Snapshot;

use super::check::{Found, Way};

/// Peers' gas per recipient, fresh accounts, measured from their public source on the same fork with the same token
/// (Osaka, anvil 1.7.1, OpenZeppelin 5.7.0 ERC-20, k = 100 where a batch, depth 20 where a proof; `make gas`).
const PEERS: [(Way, &str); 3] = [
    (
        Way::Settled,
        "GasliteDrop, no proofs 25,633; OZ claims in a multicall 43,877; TokenTable batch 75,111; Merkl 101,660",
    ),
    (Way::Redirected, "no peer pays where the recipient signed"),
    (Way::Claimed, "OZ pattern 75,651; Uniswap 80,443; Sablier 93,459; TokenTable 121,236; Merkl 141,822"),
];

/// How long each stage took.
#[derive(Debug, Default)]
pub(super) struct Stages(pub(super) Vec<(&'static str, Duration)>);

impl Stages {
    fn total(&self) -> Duration {
        self.0.iter().map(|(_, time)| *time).sum()
    }
}

/// Seconds with a tenth, without a float.
fn seconds(time: Duration) -> String {
    format!("{}.{}", time.as_secs(), time.subsec_millis() / 100)
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Settled => "in batches",
        Way::Redirected => "redirected",
        Way::Claimed => "self-paid",
    }
}

/// Prints everything that was found.
pub(super) fn print(found: &Found, snapshot: &Snapshot, stages: &Stages) {
    let decimals = snapshot.decimals();
    println!();
    println!("recipients        {}", snapshot.count());
    println!("root              {}", snapshot.root());
    println!("listed            {} tokens", snapshot.total().to_decimal_string(decimals));
    let decided = &found.decided;
    println!(
        "decided           {} signed claims ({} of them redirected, {} by wallets that are contracts), {} pushed",
        decided.claims, decided.redirected, decided.by_contract, decided.pushed
    );
    for (code, count) in &decided.refused {
        println!("refused           {count} {code}");
    }
    println!("batches           {}", found.batches);
    println!("paid              {:<12} transactions   gas per payment   peers", "payments");
    for (way, (paid, gas, transactions)) in &found.ways {
        let peers = PEERS.iter().find(|(of, _)| of == way).map_or("", |(_, text)| text);
        let each = gas / (*paid).max(1);
        println!("  {:<15} {paid:<12} {transactions:<14} {each:<17} {peers}", name(*way));
    }
    for (stage, time) in &stages.0 {
        println!("{stage:<17} {} s", seconds(*time));
    }
    println!("{:<17} {} s", "all", seconds(stages.total()));
    println!(
        "balances          {} compared, together {} tokens",
        found.balances,
        found.sum.to_decimal_string(decimals)
    );
    for (account, balance) in &found.ledger {
        let tokens = Total(balance.unsigned_abs()).to_decimal_string(decimals);
        println!("ledger            {:<9} {tokens}", account.as_str());
    }
    for difference in &found.differences {
        println!("DIFFERENCE        {difference}");
    }
    println!();
    println!(
        "paid twice: {}, lost: {}, paid unasked: {}, ledger = chain: {}",
        found.twice,
        found.lost,
        found.unasked,
        if found.ledger_is_chain { "yes" } else { "NO" }
    );
}

/// The same as JSON.
pub(super) fn json(found: &Found, snapshot: &Snapshot, stages: &Stages) -> Value {
    let ways = found.ways.iter().map(|(way, (paid, gas, transactions))| {
        (name(*way).to_owned(), json!({ "payments": paid, "gas": gas, "transactions": transactions }))
    });
    let stages = stages.0.iter().map(|(stage, time)| ((*stage).to_owned(), json!(seconds(*time))));
    json!({
        "recipients": snapshot.count(),
        "root": snapshot.root(),
        "total": snapshot.total(),
        "claims": found.decided.claims,
        "redirected": found.decided.redirected,
        "by_contract": found.decided.by_contract,
        "pushed": found.decided.pushed,
        "refused": found.decided.refused,
        "batches": found.batches,
        "ways": ways.collect::<serde_json::Map<_, _>>(),
        "seconds": stages.collect::<serde_json::Map<_, _>>(),
        "balances": found.balances,
        "sum": found.sum,
        "paid": found.paid,
        "paid_twice": found.twice,
        "lost": found.lost,
        "unasked": found.unasked,
        "ledger_is_chain": found.ledger_is_chain,
        "differences": found.differences,
    })
}
