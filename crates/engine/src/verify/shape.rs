//! The bounds of a command, checked before its intake row: each is told with the field it names.

use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::limits::{
    APPROVALS_MAX, GATE_ACCEPT_BYTES_MAX, GATE_ACCEPTS_MAX, GATE_RULE_SETS_MAX, HOLD_ITEMS_MAX, KEYS_MAX,
    LIST_ITEMS_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX, RULES_BYTES_MAX, SIGNATURE_BYTES_MAX, VOID_ITEMS_MAX,
};

/// Checks a command's bounds.
///
/// # Errors
/// With a sentence naming the field and what would be right.
pub fn check_shape(command: &Command) -> Result<(), String> {
    most("reason", command.reason.len(), REASON_BYTES_MAX, "bytes")?;
    between("approvals", command.approvals.len(), APPROVALS_MAX)?;
    if command.approvals.iter().any(|a| a.signature.len() > SIGNATURE_BYTES_MAX || a.signer.len() < 20) {
        return Err(format!(
            "approvals: a signer has at least 20 bytes, a signature at most {SIGNATURE_BYTES_MAX}"
        ));
    }
    if let Some(place) = &command.listed_at {
        // A tree over so many items has at most 32 levels.
        most("listed_at.count", place.count as usize, LIST_ITEMS_MAX, "items")?;
        most("listed_at.path", place.path.len(), 32, "hashes")?;
    }
    action(&command.action)
}

fn action(action: &Action) -> Result<(), String> {
    match action {
        Action::CreateCampaign(terms) => between("name", terms.name.len(), NAME_BYTES_MAX),
        Action::Publish(terms) => most("list_uri", terms.list_uri.len(), 2_000, "bytes"),
        Action::Void { indexes, .. } => between("indexes", indexes.len(), VOID_ITEMS_MAX),
        Action::Hold { target: HoldTarget::Entitlements { indexes, .. } } => {
            between("indexes", indexes.len(), HOLD_ITEMS_MAX)
        }
        Action::RegisterAuthority(terms) => {
            between("name", terms.name.len(), NAME_BYTES_MAX)?;
            keys("signers", &terms.signers)
        }
        Action::ChangeKeys { add, revoke, .. } => {
            if add.is_empty() && revoke.is_empty() {
                return Err("add, revoke: at least one key".into());
            }
            most("revoke", revoke.len(), KEYS_MAX, "keys")?;
            if add.is_empty() { Ok(()) } else { keys("add", add) }
        }
        Action::GrantMandate(terms) => between("text", terms.text.len(), RULES_BYTES_MAX),
        Action::Delegate(terms) => {
            between("actions", terms.actions.len(), Action::NAMES.len())?;
            keys("vendor", std::slice::from_ref(&terms.vendor))
        }
        Action::ProposeRules(terms) => {
            between("lineage", terms.lineage.len(), NAME_BYTES_MAX)?;
            between("text", terms.text.len(), RULES_BYTES_MAX)
        }
        Action::DefineGate(terms) => {
            most("rule_sets", terms.rule_sets.len(), GATE_RULE_SETS_MAX, "lineages")?;
            most("attestations", terms.attestations.len(), GATE_ACCEPTS_MAX, "kinds")?;
            for attestation in &terms.attestations {
                between("attestations.name", attestation.name.len(), NAME_BYTES_MAX)?;
                between("attestations.accepts", attestation.accepts.len(), GATE_ACCEPT_BYTES_MAX)?;
            }
            keys("signer", std::slice::from_ref(&terms.signer))
        }
        _ => Ok(()),
    }
}

fn most(field: &str, given: usize, most: usize, unit: &str) -> Result<(), String> {
    if given > most { Err(format!("{field}: at most {most} {unit}, not {given}")) } else { Ok(()) }
}

fn between(field: &str, given: usize, most: usize) -> Result<(), String> {
    if given == 0 || given > most {
        Err(format!("{field}: between 1 and {most}, not {given}"))
    } else {
        Ok(())
    }
}

/// ERC-7913 signer bytes: an address, or a verifier's address and a key of at most a few hundred bytes.
fn keys(field: &str, keys: &[alloy_primitives::Bytes]) -> Result<(), String> {
    between(field, keys.len(), KEYS_MAX)?;
    if keys.iter().all(|key| (20..=1_024).contains(&key.len())) {
        return Ok(());
    }
    Err(format!("{field}: a key has 20 (an address) to 1024 bytes (a verifier's address and a key)"))
}
