//! A state in which many institutions have ordered much: mandates and rule sets in force that no claim of the
//! measurement asks for, but among which it must find its own.

use alloy_primitives::{B256, keccak256};
use anyhow::Context;
use sluice_core::command::RulesTerms;
use sluice_gate::rules::{PolicySource, RuleSet, Sources};
use tokio::task::JoinSet;

use super::offices::Office;
use crate::claims::ground::Ground;
use std::sync::Arc;

/// Offices that hold them; each one's commands wait for each other, those of different offices do not.
const OFFICES: usize = 64;

/// Makes the state so, by commands as anybody would give them.
pub(crate) async fn gather(ground: &Arc<Ground>, mandates: usize, rule_sets: usize) -> anyhow::Result<()> {
    let mut offices = JoinSet::new();
    for number in 0..OFFICES {
        let ground = Arc::clone(ground);
        let share = |all: usize| all / OFFICES + usize::from(number < all % OFFICES);
        let (mandates, rule_sets) = (share(mandates), share(rule_sets));
        offices.spawn(async move {
            let name = format!("office {number}");
            let office = Office::register(&ground, &name, keccak256(&name)).await?;
            for n in 1..mandates {
                let text = mandate(n);
                Office::grant(&ground, office.id, &format!("mandate {n}"), &text).await?;
            }
            for n in 0..rule_sets {
                office.enact(&ground, rules(office.id, n)?).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(office) = offices.join_next().await {
        office?.context("an office could not be set up")?;
    }
    Ok(())
}

fn mandate(n: usize) -> String {
    format!(
        "@id(\"push-{n}\") @limit_amount(\"{}\") permit (principal, action == Action::\"push\", resource);",
        1_000_000 + n
    )
}

fn rules(owner: B256, n: usize) -> anyhow::Result<RulesTerms> {
    let manifest = format!(
        "owner = \"{owner}\"\nlineage = \"lineage-{n}\"\nversion = \"1\"\n[attestations.residency]\nschema = \"S\"\n\
         required = true\nfields = {{ country = \"string\", birth_date = \"long\" }}\n"
    );
    let policies = format!(
        "@id(\"resident\") permit (principal, action == Action::\"pay\", resource)
         when {{ context.attestations.residency.country == \"DE\" && context.amount_up.lessThanOrEqual(decimal(\"{}.0\")) }};
         @id(\"minor\") forbid (principal, action == Action::\"pay\", resource)
         when {{ context.attestations.residency.birth_date > context.accepted.date - 180000 }};",
        1_000 + n
    );
    let sources = Sources { manifest: &manifest, policies: PolicySource::Cedar(&policies), never: "" };
    let (set, _) = RuleSet::build(&sources).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let text = set.encode().into();
    Ok(RulesTerms { owner: set.manifest.owner, lineage: set.manifest.lineage, text })
}
