//! What stood at a position: the sums of State, and everything that institutions had put into force.

use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::amount::Total;
use sluice_core::ids::{CampaignId, Epoch, Millis, RoundNo, Seq};
use sluice_core::state::State;
use sluice_core::state::funds::Account;
use sluice_core::state::rules::RulesPhase;
use sluice_gate::rules::{Compiled, Explained, explain};

use super::{EvidenceError, LogSource, Replay};

/// Up to where a log is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This position.
    Seq(Seq),
    /// The last entry recorded at or before this time.
    Time(Millis),
    /// The end.
    End,
}

impl Until {
    /// Whether an entry at this position, recorded then, still belongs to it.
    pub fn covers(&self, seq: Seq, recorded_at: Millis) -> bool {
        match self {
            Self::Seq(until) => seq <= *until,
            Self::Time(until) => recorded_at <= *until,
            Self::End => true,
        }
    }
}

/// State at a position, for readers.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The position.
    pub seq: Seq,
    /// Its entry's epoch.
    pub epoch: Epoch,
    /// When it was recorded.
    pub recorded_at: Millis,
    /// The Merkle root over the entries up to it.
    pub root: B256,
    /// The hash of State.
    pub state_hash: B256,
    /// Campaigns.
    pub campaigns: Vec<CampaignStanding>,
    /// Rule sets that were not retired.
    pub rule_sets: Vec<RulesStanding>,
    /// Mandates in force.
    pub mandates: Vec<MandateStanding>,
    /// Delegations in force.
    pub delegations: Vec<DelegationStanding>,
    /// Holds in force.
    pub holds: Vec<HoldStanding>,
    /// Institutions that have keys in the log.
    pub authorities: Vec<AuthorityStanding>,
    /// Persons whom registrars made known.
    pub persons: usize,
    /// Attestations revoked.
    pub revoked: usize,
    /// Appeals that waited.
    pub appeals: usize,
}

/// A campaign's sums.
#[derive(Clone, Debug, Serialize)]
pub struct CampaignStanding {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: String,
    /// Why nothing was decided, if so.
    pub stopped: Option<&'static str>,
    /// Base units, free.
    pub free: Total,
    /// Base units, decided and not paid finally.
    pub reserved: Total,
    /// Base units, paid finally.
    pub paid: Total,
    /// Base units, annulled.
    pub voided: Total,
    /// Its rounds.
    pub rounds: Vec<RoundStanding>,
    /// Entitlements under holds.
    pub held: usize,
    /// Gate versions, each with the lineages it asks and the rule set of each in force.
    pub gates: Vec<GateStanding>,
}

/// A round.
#[derive(Clone, Debug, Serialize)]
pub struct RoundStanding {
    /// Its number.
    pub round: RoundNo,
    /// How far it was.
    pub phase: String,
    /// Entitlements listed.
    pub count: u64,
    /// Their sum.
    pub total: Total,
    /// The gate version; 0 where none.
    pub gate: u64,
}

/// A gate version.
#[derive(Clone, Debug, Serialize)]
pub struct GateStanding {
    /// Its number.
    pub version: u16,
    /// For each lineage the rule set in force; zero where none.
    pub rule_sets: Vec<B256>,
}

/// A rule set.
#[derive(Clone, Debug, Serialize)]
pub struct RulesStanding {
    /// Its name.
    pub rules: B256,
    /// Its owner.
    pub owner: B256,
    /// Whose versions it follows.
    pub lineage: String,
    /// Its author's version; empty where its bytes cannot be read.
    pub version: String,
    /// `proposed`, `scheduled`, `in_force`.
    pub phase: &'static str,
    /// The position at which it last changed.
    pub since: Seq,
    /// Its rules in words.
    pub rules_in_words: Vec<Explained>,
}

/// A mandate.
#[derive(Clone, Debug, Serialize)]
pub struct MandateStanding {
    /// Its id.
    pub mandate: B256,
    /// Whose it is.
    pub holder: B256,
    /// The position at which it last changed.
    pub since: Seq,
    /// Base units done under it.
    pub spent: Total,
    /// Items done under it.
    pub items: u64,
}

/// A delegation.
#[derive(Clone, Debug, Serialize)]
pub struct DelegationStanding {
    /// Its id.
    pub delegation: B256,
    /// Who delegates.
    pub authority: B256,
    /// The key that may act.
    pub vendor: alloy_primitives::Bytes,
    /// Which actions.
    pub actions: Vec<String>,
    /// Until when.
    pub expires_at: Millis,
}

/// A hold.
#[derive(Clone, Debug, Serialize)]
pub struct HoldStanding {
    /// The position at which it was placed.
    pub hold: Seq,
    /// By whom.
    pub placed_by: B256,
    /// `entitlements`, `person` or `campaign`.
    pub on: &'static str,
    /// Entitlements it covers.
    pub covers: usize,
    /// It ends by itself then.
    pub until: Millis,
}

/// An institution.
#[derive(Clone, Debug, Serialize)]
pub struct AuthorityStanding {
    /// Its id.
    pub authority: B256,
    /// Its name; empty for one that the Charter names.
    pub name: String,
    /// Keys in force that stand in the log.
    pub keys: usize,
    /// Keys revoked.
    pub revoked: usize,
}

/// Replays up to a position or a time and shows what stood there.
///
/// # Errors
/// When the log cannot be read or was changed, or has no such position.
pub async fn standing(source: &LogSource, until: Until) -> Result<Standing, EvidenceError> {
    let mut replay = Replay::new(Vec::new());
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        if !replay.take(&page, |_, entry, _| until.covers(entry.seq, entry.recorded_at))? {
            break;
        }
    }
    let verified = replay.verified();
    let state = match (replay.state(), until) {
        (None, _) => return Err(EvidenceError::NotFound("the log has no entry at or before that".into())),
        (Some(state), Until::Seq(seq)) if state.seq < seq => {
            return Err(EvidenceError::NotFound(format!("the log ends at {}", state.seq)));
        }
        (Some(state), _) => state,
    };
    Ok(shown(state, verified.root, verified.state_hash))
}

fn shown(state: &State, root: B256, state_hash: B256) -> Standing {
    let rule_sets = state.rule_sets.iter().filter(|(_, set)| set.phase != RulesPhase::Retired);
    let mandates = state.mandates.iter().filter(|(_, mandate)| !mandate.ended);
    let delegations = state.delegations.iter().filter(|(_, delegation)| !delegation.ended);
    Standing {
        seq: state.seq,
        epoch: state.epoch,
        recorded_at: state.recorded_at,
        root,
        state_hash,
        campaigns: state.campaigns.keys().filter_map(|id| campaign(state, *id)).collect(),
        rule_sets: rule_sets.map(|(name, set)| rules(*name, set)).collect(),
        mandates: mandates
            .map(|(id, mandate)| MandateStanding {
                mandate: *id,
                holder: mandate.terms.holder,
                since: mandate.version,
                spent: mandate.spent.amount,
                items: mandate.spent.count,
            })
            .collect(),
        delegations: delegations
            .map(|(id, delegation)| DelegationStanding {
                delegation: *id,
                authority: delegation.terms.authority,
                vendor: delegation.terms.vendor.clone(),
                actions: delegation.terms.actions.clone(),
                expires_at: delegation.terms.expires_at,
            })
            .collect(),
        holds: state.holds.iter().map(|(at, hold)| held(*at, hold)).collect(),
        authorities: state
            .authorities
            .iter()
            .map(|(id, authority)| AuthorityStanding {
                authority: *id,
                name: authority.name.clone(),
                keys: authority.keys.len(),
                revoked: authority.revoked.len(),
            })
            .collect(),
        persons: state.persons.len(),
        revoked: state.revoked.len(),
        appeals: state.appeals.len(),
    }
}

fn campaign(state: &State, id: CampaignId) -> Option<CampaignStanding> {
    let known = state.campaign(id)?;
    let round = |round: &sluice_core::state::round::Round| RoundStanding {
        round: round.terms.round,
        phase: format!("{:?}", round.phase).to_lowercase(),
        count: round.terms.count,
        total: round.terms.total,
        gate: round.terms.gate,
    };
    let in_force = |lineage: &B256| state.rules_in_force(*lineage).unwrap_or_default();
    Some(CampaignStanding {
        campaign: id,
        name: known.terms.name.clone(),
        stopped: known.stopped().map(|code| code.as_str()),
        free: known.funds.there(Account::Free),
        reserved: known.funds.there(Account::Reserved),
        paid: known.funds.there(Account::Paid),
        voided: known.funds.there(Account::Voided),
        rounds: known.rounds.values().map(round).collect(),
        held: known.held.len(),
        gates: known
            .gates
            .iter()
            .map(|(version, gate)| GateStanding {
                version: *version,
                rule_sets: gate.terms.rule_sets.iter().map(in_force).collect(),
            })
            .collect(),
    })
}

fn rules(name: B256, set: &sluice_core::state::rules::RuleSet) -> RulesStanding {
    let compiled = Compiled::compile(&set.terms.text).ok();
    RulesStanding {
        rules: name,
        owner: set.terms.owner,
        lineage: set.terms.lineage.clone(),
        version: compiled.as_ref().map(|c| c.manifest().version.clone()).unwrap_or_default(),
        phase: match set.phase {
            RulesPhase::Proposed { .. } => "proposed",
            RulesPhase::Scheduled { .. } => "scheduled",
            RulesPhase::InForce => "in_force",
            RulesPhase::Retired => "retired",
        },
        since: set.version,
        rules_in_words: compiled.as_ref().map(explain).unwrap_or_default(),
    }
}

fn held(at: Seq, hold: &sluice_core::state::hold::Hold) -> HoldStanding {
    use sluice_core::command::HoldTarget;
    HoldStanding {
        hold: at,
        placed_by: hold.placed_by,
        on: match hold.target {
            HoldTarget::Entitlements { .. } => "entitlements",
            HoldTarget::Person { .. } => "person",
            HoldTarget::Campaign { .. } => "campaign",
        },
        covers: hold.covers.len(),
        until: hold.until,
    }
}
