//! How many claims a second one core decides under three policies, and whether a thousand rule sets and five thousand
//! mandates in force slow that down: `cargo run --release -p sluice-gate --example rule_rate`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_core::amount::Amount;
use sluice_core::ids::StreamId;
use sluice_gate::mandate::{ActionKind, CommandFacts, Mandate, MandateBook, Subject};
use sluice_gate::rules::{
    AttestationFacts, ClaimFacts, Hash, PolicySource, RuleSet, Rulebook, Sources, Value, evaluate,
};

const RULE_SETS: usize = 1_000;
const MANDATES: usize = 5_000;
/// The two sides of a ratio are measured in turns, so that a busy machine slows both.
const TURNS: usize = 10;
const TURN: Duration = Duration::from_millis(300);

const MANIFEST: &str = r#"
owner = "0x1111111111111111111111111111111111111111111111111111111111111111"
lineage = "rate"
version = "1"
[attestations.residency]
schema = "S"
required = true
fields = { country = "string", birth_date = "long" }
"#;

fn rule_set(number: usize) -> Result<RuleSet, Box<dyn Error>> {
    let policies = format!(
        "@id(\"resident\") permit (principal, action == Action::\"pay\", resource)
         when {{ context.attestations.residency.country == \"DE\" && context.amount_up.lessThanOrEqual(decimal(\"{}.0\")) }};
         @id(\"minor\") forbid (principal, action == Action::\"pay\", resource)
         when {{ context.attestations.residency.birth_date > context.accepted.date - 180000 }};
         @id(\"elsewhere\") forbid (principal, action == Action::\"pay\", resource)
         when {{ context.redirected && context.amount_up.greaterThan(decimal(\"100.0\")) }};",
        1_000 + number
    );
    let sources = Sources { manifest: MANIFEST, policies: PolicySource::Cedar(&policies), never: "" };
    Ok(RuleSet::build(&sources)?.0)
}

fn claim(index: u64) -> Result<ClaimFacts, Box<dyn Error>> {
    let data = BTreeMap::from([
        ("country".to_owned(), Value::Text("DE".to_owned())),
        ("birth_date".to_owned(), Value::Integer(19_800_101)),
    ]);
    let residency = AttestationFacts { schema: "S".to_owned(), issuer: "0xaa".to_owned(), data };
    Ok(ClaimFacts {
        campaign: Default::default(),
        round: 1,
        index,
        recipient: [1; 20].into(),
        to: [1; 20].into(),
        amount: Amount::new(500_000_000).ok_or("an amount")?,
        decimals: 6,
        person: None,
        accepted_at: 1_795_219_200_000,
        attestations: BTreeMap::from([("residency".to_owned(), residency)]),
    })
}

/// Runs both for some turns, and says how often each ran a second.
fn in_turns(mut one: impl FnMut(u64), mut other: impl FnMut(u64)) -> (u64, u64) {
    let turn = |work: &mut dyn FnMut(u64)| {
        let (start, mut done) = (Instant::now(), 0_u64);
        while start.elapsed() < TURN {
            (0..100).for_each(|n| work(done + n));
            done += 100;
        }
        (done, start.elapsed())
    };
    let (mut a, mut b) = ((0, Duration::ZERO), (0, Duration::ZERO));
    for _ in 0..TURNS {
        let (x, y) = (turn(&mut one), turn(&mut other));
        a = (a.0 + x.0, a.1 + x.1);
        b = (b.0 + y.0, b.1 + y.1);
    }
    let rate = |(done, time): (u64, Duration)| {
        u64::try_from(u128::from(done) * 1_000_000 / time.as_micros().max(1)).unwrap_or(u64::MAX)
    };
    (rate(a), rate(b))
}

/// A ratio in percent.
fn percent(part: u64, of: u64) -> u64 {
    part * 100 / of.max(1)
}

fn claims() -> Result<(), Box<dyn Error>> {
    let (few, many) = (Rulebook::default(), Rulebook::default());
    let (mut names, start): (Vec<Hash>, _) = (Vec::new(), Instant::now());
    for number in 0..RULE_SETS {
        let set = rule_set(number)?;
        many.load(&set.hash(), &set.encode())?;
        names.push(set.hash());
    }
    println!("{RULE_SETS} rule sets of 3 policies checked and compiled in {:?}", start.elapsed());
    let set = rule_set(0)?;
    few.load(&set.hash(), &set.encode())?;
    let facts = claim(7)?;
    let decide = |book: &Rulebook, name: &Hash| {
        let compiled = book.get(name).expect("loaded above");
        assert!(evaluate(&[&compiled], &facts).is_permitted());
    };
    let spread = |n: u64| usize::try_from(n).unwrap_or(0) * 7 % RULE_SETS;
    let (one, all) = in_turns(|_| decide(&few, &names[0]), |n| decide(&many, &names[spread(n)]));
    println!("{one} claims/s with 1 rule set in force");
    println!("{all} claims/s with {RULE_SETS} in force, each in its turn: {} %", percent(all, one));
    Ok(())
}

fn commands() -> Result<(), Box<dyn Error>> {
    let policies = "@id(\"push\") @limit_amount(\"1000000\") permit (principal, action == Action::\"push\", resource in Stream::\"0\");";
    let holder = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        alloy_primitives::B256::from(bytes)
    };
    let (mut few, mut many, start) = (MandateBook::default(), MandateBook::default(), Instant::now());
    for number in 0..MANDATES {
        let manifest = format!("holder = \"{}\"\nname = \"m\"\nversion = \"1\"", holder(number));
        let compiled = Arc::new(Mandate::build(&manifest, policies)?.1);
        if number == 0 {
            few.grant(Arc::clone(&compiled));
        }
        many.grant(compiled);
    }
    println!("{MANDATES} mandates checked and compiled in {:?}", start.elapsed());
    let decide = |book: &MandateBook, number: usize| {
        let facts = CommandFacts {
            authority: holder(number),
            action: ActionKind::Push,
            stream: StreamId(0),
            subject: Subject::Campaign { campaign: Default::default() },
            jurisdictions: Vec::new(),
            count: 1,
            spending: None,
            delegated: false,
            accepted_at: 1_795_219_200_000,
        };
        assert!(book.evaluate(&facts).is_ok());
    };
    let spread = |n: u64| usize::try_from(n).unwrap_or(0) * 7 % MANDATES;
    let (one, all) = in_turns(|_| decide(&few, 0), |n| decide(&many, spread(n)));
    println!("{one} commands/s with 1 mandate in force");
    println!("{all} commands/s with {MANDATES} in force, each in its turn: {} %", percent(all, one));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    claims()?;
    commands()
}
