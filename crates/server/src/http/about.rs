//! Entries in short: what happened, and what it is about. Nothing personal without a mandate to read it.

use alloy_primitives::B256;
use serde::Serialize;
use sluice_core::command::{Action, AppealAbout, Command, HoldTarget, Subject};
use sluice_core::ids::{BatchNo, CampaignId, DemandId, EntitlementId, Epoch, Millis, RoundNo, Seq};
use sluice_core::log::entry::{Body, ChainEvent, Due, Entry, Outcome};
use sluice_gate::mandate::Subject as About;
use utoipa::ToSchema;

use super::hidden::Hidden;
use super::reader::Sight;
use super::sealed::entitlement;

/// An entry in short. Only what applies is there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    /// Its position.
    seq: Seq,
    /// What happened.
    #[schema(example = "claim_decided")]
    kind: &'static str,
    /// Milliseconds.
    recorded_at: Millis,
    /// The epoch of the leader that appended it.
    epoch: Epoch,
    /// Its leaf in the Merkle log, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    leaf: Option<B256>,
    /// Another project's: nothing more is told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    campaign: Option<CampaignId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<RoundNo>,
    /// One entitlement.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// How many entitlements.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlements: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<BatchNo>,
    /// The id of the claim or command it answers. A claim's opens what its claimant is told, so others are shown the
    /// SHA-256 of its 16 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    id: Option<Hidden<DemandId>>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The command, as far as it is no one's own affair.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Ordered>,
    /// What fell due, or the kinds of events in a block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'static str>,
    /// What fell due is about this.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<SubjectView>,
}

/// A command in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ordered {
    /// What was ordered.
    action: &'static str,
    /// What it is about.
    subject: SubjectView,
    /// Whose: the first signer's; zero for a person's own.
    #[schema(value_type = String)]
    authority: B256,
    /// Under which mandate; zero where the Charter gives the power.
    #[schema(value_type = String)]
    mandate: B256,
    /// When it is meant to hold in the real world, milliseconds.
    valid_at: Millis,
    /// Why, in its authors' words; others are shown the SHA-256 of the command's canonical bytes, as the entry holds them.
    #[schema(value_type = Object)]
    reason: Hidden<String>,
}

/// What a command is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SubjectView {
    /// `new`, `authority`, `mandate`, `delegation`, `rule_set`, `campaign`, `round`, `person`, `hold`, `appeal` or
    /// `attestation`.
    kind: &'static str,
    /// Its id; of a person, for those who may not read it, the SHA-256 of the command's canonical bytes, as of its reason: a hash
    /// of the id would tell which commands are about one person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    id: Option<Named>,
    /// Of a round.
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<RoundNo>,
}

/// An id.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Named {
    Id(String),
    Person(Hidden<B256>),
}

impl SubjectView {
    /// `proved_by`: the bytes whose hash stands for a person.
    fn new(sight: &Sight, subject: &Subject, proved_by: &[u8]) -> Self {
        let shown = |kind, id: String| Self { kind, id: Some(Named::Id(id)), round: None };
        match subject {
            Subject::New => Self { kind: "new", id: None, round: None },
            Subject::Authority(id) => shown("authority", id.to_string()),
            Subject::Mandate(id) => shown("mandate", id.to_string()),
            Subject::Delegation(id) => shown("delegation", id.to_string()),
            Subject::Rules(id) => shown("rule_set", id.to_string()),
            Subject::Campaign(id) => shown("campaign", id.to_string()),
            Subject::Round(id, round) => Self { round: Some(*round), ..shown("round", id.to_string()) },
            Subject::Person(id) => {
                let hidden = Hidden::new(sight, [About::Person { person: *id }], *id).or_hash_of(proved_by);
                Self { kind: "person", id: Some(Named::Person(hidden)), round: None }
            }
            Subject::Hold(at) => shown("hold", at.to_string()),
            Subject::Appeal(at) => shown("appeal", at.to_string()),
            Subject::Attestation(id) => shown("attestation", id.to_string()),
        }
    }
}

impl Change {
    pub(crate) fn new(sight: &Sight, entry: &Entry, leaf: Option<B256>) -> Self {
        let mut change = Self {
            seq: entry.seq,
            kind: kind(&entry.body),
            recorded_at: entry.recorded_at,
            epoch: entry.epoch,
            leaf,
            hidden: false,
            campaign: campaign(&entry.body),
            round: None,
            index: None,
            entitlements: None,
            batch: None,
            id: None,
            code: None,
            command: command(&entry.body).map(|c| Ordered::new(sight, c)),
            events: Vec::new(),
            about: None,
        };
        change.describe(sight, &entry.body);
        change
    }

    /// The same, with nothing of what it is about.
    pub(crate) fn hide(self) -> Self {
        Self {
            hidden: true,
            campaign: None,
            round: None,
            index: None,
            entitlements: None,
            batch: None,
            id: None,
            code: None,
            command: None,
            events: Vec::new(),
            about: None,
            ..self
        }
    }

    /// The campaign it belongs to, if it belongs to one.
    pub(crate) const fn campaign(&self) -> Option<CampaignId> {
        self.campaign
    }

    fn describe(&mut self, sight: &Sight, body: &Body) {
        let open = |id: DemandId| Some(Hidden::open(sight, id));
        match body {
            Body::ClaimDecided(claim) => {
                self.claimed(sight, claim.intake.campaign, claim.id, claim.entitlement);
            }
            Body::ClaimRefused(claim) => {
                self.claimed(sight, claim.intake.campaign, claim.id, claim.entitlement);
                self.code = Some(claim.code.as_str());
            }
            Body::CampaignCreated(c) => self.id = open(c.id),
            Body::RoundPublished(published) => {
                (self.id, self.round) = (open(published.command.id), Some(published.terms.round));
                self.entitlements = Some(published.terms.count);
            }
            Body::Pushed(pushed) => {
                self.id = open(pushed.command.id);
                self.entitlements = Some(pushed.decided.iter().map(|(_, count, _)| u64::from(*count)).sum());
            }
            Body::Voided(voided) => {
                (self.id, self.entitlements) = (open(voided.command.id), Some(voided.items.len() as u64));
            }
            Body::Ordered(ordered) => {
                self.id = open(ordered.id);
                let hidden = self.command.as_ref().is_some_and(|command| command.reason.is_hidden());
                if let Outcome::Held(placed) = &ordered.outcome
                    && !(hidden && is_about_a_person(&ordered.command.action))
                {
                    self.entitlements = Some(placed.covers.len() as u64);
                }
            }
            Body::CommandRefused(refused) => {
                (self.id, self.code) = (open(refused.id), Some(refused.code.as_str()));
            }
            Body::GateSigned(gate) => {
                self.id = open(gate.id);
                self.entitlements = Some(
                    gate.signed
                        .words
                        .iter()
                        .flat_map(|word| word.mask)
                        .map(|mask| u64::from(mask.count_ones()))
                        .sum(),
                );
            }
            Body::BatchPlanned(plan) => {
                self.batch = Some(plan.batch);
                self.entitlements = Some(plan.words.iter().map(|word| u64::from(word.count())).sum());
            }
            Body::AttemptSigned(attempt) => self.batch = Some(attempt.batch),
            Body::BatchMined(mined) => self.batch = Some(mined.batch),
            Body::BatchUnmined(at) => self.batch = Some(at.batch),
            Body::BatchFinal(done) => self.batch = Some(done.batch),
            Body::BatchReplanned(batch) => self.batch = Some(batch.batch),
            Body::EventsMined(mined) => self.events = mined.events.iter().map(event).collect(),
            Body::Due(due) => {
                self.events = vec![due_kind(due)];
                let about = due_subject(due);
                if let Some(Subject::Round(_, round)) = about {
                    self.round = Some(round);
                }
                // Nothing falls due about a person by name.
                self.about = about.map(|subject| SubjectView::new(sight, &subject, &[]));
            }
            _ => {}
        }
    }

    fn claimed(&mut self, sight: &Sight, campaign: CampaignId, id: DemandId, claimed: EntitlementId) {
        let hidden = Hidden::new(sight, entitlement(campaign, claimed), id);
        self.id = Some(hidden.or_hash_of(id.0.as_bytes()));
        (self.round, self.index) = (Some(claimed.round), Some(claimed.index));
    }
}

/// A command's bytes, as its entry holds them.
fn canonical(command: &Command) -> Vec<u8> {
    borsh::to_vec(command).expect("writing to memory cannot fail")
}

/// Why a command was given, for its authors and those who may read it. The hash is over the whole command: its signatures
/// cannot be guessed, a reason can.
pub(crate) fn reason(sight: &Sight, command: &Command) -> Hidden<String> {
    said(&Hidden::new(sight, [subject_of(&command.action)], ()), command)
}

/// The same for the readers of something else.
pub(crate) fn said<T>(like: &Hidden<T>, command: &Command) -> Hidden<String> {
    let authors = command.approvals.iter().map(|approval| approval.authority);
    like.and(command.reason.clone()).or_hash_of(&canonical(command)).written_by(authors)
}

impl Ordered {
    fn new(sight: &Sight, command: &Command) -> Self {
        Self {
            action: command.action.name(),
            subject: SubjectView::new(sight, &command.action.subject(), &canonical(command)),
            authority: command.approvals.first().map_or(B256::ZERO, |a| a.authority),
            mandate: command.mandate,
            valid_at: command.valid_at,
            reason: reason(sight, command),
        }
    }
}

/// Whether a command is about a person.
pub(crate) fn is_about_a_person(action: &Action) -> bool {
    matches!(subject_of(action), About::Person { .. })
}

/// What a command is about, as mandates to read it know it.
pub(crate) fn subject_of(action: &Action) -> About {
    match action {
        Action::Hold { target: HoldTarget::Person { person } } => About::Person { person: *person },
        Action::Hold { target: HoldTarget::Campaign { campaign } } => About::Campaign { campaign: *campaign },
        Action::Hold { target: HoldTarget::Entitlements { campaign, round, .. } } => {
            About::Round { campaign: *campaign, round: *round }
        }
        Action::FileAppeal {
            about:
                AppealAbout::Void { campaign, entitlement } | AppealAbout::Refusal { campaign, entitlement },
        } => About::Entitlement { campaign: *campaign, round: entitlement.round, index: entitlement.index },
        _ => match action.subject() {
            Subject::Campaign(campaign) => About::Campaign { campaign },
            Subject::Round(campaign, round) => About::Round { campaign, round },
            Subject::Person(person) => About::Person { person },
            _ => About::Stream,
        },
    }
}

/// The command of an entry that one brought about.
pub(crate) const fn command(body: &Body) -> Option<&Command> {
    match body {
        Body::CampaignCreated(c) => Some(&c.command),
        Body::RoundPublished(p) => Some(&p.command.command),
        Body::Pushed(p) => Some(&p.command.command),
        Body::Voided(v) => Some(&v.command.command),
        Body::Ordered(o) => Some(&o.command),
        _ => None,
    }
}

/// Whether an entry is about what a command is about.
pub(crate) fn is_about(body: &Body, subject: &Subject) -> bool {
    if let Some(command) = command(body)
        && command.action.subject() == *subject
    {
        return true;
    }
    match (body, subject) {
        (Body::Due(due), _) => due_subject(due).as_ref() == Some(subject),
        (Body::EventsFinal(events), Subject::Campaign(id) | Subject::Round(id, _)) => events.campaign == *id,
        (Body::CampaignCreated(created), Subject::Campaign(id)) => created.outcome.campaign == *id,
        (Body::Ordered(ordered), Subject::Hold(hold)) => {
            matches!(ordered.outcome, Outcome::Answered { released: Some(released) } if released == *hold)
        }
        _ => false,
    }
}

fn due_subject(due: &Due) -> Option<Subject> {
    match due {
        Due::RoundCloses { campaign, round } => Some(Subject::Round(*campaign, *round)),
        Due::SkipRetry { .. } | Due::ChainHoldEnds { .. } => None,
        Due::HoldEnds { hold } => Some(Subject::Hold(*hold)),
        Due::RulesStart { rules } => Some(Subject::Rules(*rules)),
        Due::AppealLapses { appeal } => Some(Subject::Appeal(*appeal)),
        Due::PauseEnds { campaign } => Some(Subject::Campaign(*campaign)),
    }
}

const fn due_kind(due: &Due) -> &'static str {
    match due {
        Due::RoundCloses { .. } => "round_closes",
        Due::SkipRetry { .. } => "skip_retry",
        Due::HoldEnds { .. } => "hold_ends",
        Due::RulesStart { .. } => "rules_start",
        Due::AppealLapses { .. } => "appeal_lapses",
        Due::PauseEnds { .. } => "pause_ends",
        Due::ChainHoldEnds { .. } => "chain_hold_ends",
    }
}

fn campaign(body: &Body) -> Option<CampaignId> {
    let own = match body {
        Body::BatchPlanned(b) => Some(b.campaign),
        Body::AttemptSigned(b) => Some(b.campaign),
        Body::BatchMined(b) => Some(b.campaign),
        Body::BatchUnmined(b) => Some(b.campaign),
        Body::BatchFinal(b) => Some(b.campaign),
        Body::BatchReplanned(b) => Some(b.campaign),
        Body::EventsMined(e) => Some(e.campaign),
        Body::EventsUnmined(e) => Some(e.campaign),
        Body::EventsFinal(e) => Some(e.campaign),
        Body::Due(
            Due::RoundCloses { campaign, .. }
            | Due::SkipRetry { campaign, .. }
            | Due::PauseEnds { campaign }
            | Due::ChainHoldEnds { campaign, .. },
        ) => Some(*campaign),
        Body::CampaignCreated(created) => Some(created.outcome.campaign),
        _ => body.intake().map(|key| key.campaign.of_queue()),
    };
    own.filter(|id| *id != CampaignId::default())
}

const fn kind(body: &Body) -> &'static str {
    match body {
        Body::CharterRead(_) => "charter_read",
        Body::EpochBegan(_) => "epoch_began",
        Body::CampaignCreated(_) => "campaign_created",
        Body::RoundPublished(_) => "round_published",
        Body::ClaimDecided(_) => "claim_decided",
        Body::ClaimRefused(_) => "claim_refused",
        Body::Pushed(_) => "pushed",
        Body::Voided(_) => "voided",
        Body::CommandRefused(_) => "command_refused",
        Body::Due(_) => "due",
        Body::BatchPlanned(_) => "batch_planned",
        Body::AttemptSigned(_) => "attempt_signed",
        Body::BatchMined(_) => "batch_mined",
        Body::BatchUnmined(_) => "batch_unmined",
        Body::BatchFinal(_) => "batch_final",
        Body::BatchReplanned(_) => "batch_replanned",
        Body::EventsMined(_) => "events_mined",
        Body::EventsUnmined(_) => "events_unmined",
        Body::EventsFinal(_) => "events_final",
        Body::ChainCursor(_) => "chain_cursor",
        Body::EpochOnChain(_) => "epoch_on_chain",
        Body::Ordered(_) => "ordered",
        Body::GateSigned(_) => "gate_signed",
        Body::Erased(_) => "erased",
    }
}

const fn event(event: &ChainEvent) -> &'static str {
    match event {
        ChainEvent::Funded { .. } => "funded",
        ChainEvent::Published { .. } => "published",
        ChainEvent::Opened { .. } => "opened",
        ChainEvent::Cancelled { .. } => "cancelled",
        ChainEvent::ClosingExtended { .. } => "closing_extended",
        ChainEvent::Paid { .. } | ChainEvent::PaidUnannounced { .. } => "paid",
        ChainEvent::Voided { .. } | ChainEvent::VoidedUnannounced { .. } => "voided",
        ChainEvent::Swept { .. } => "swept",
        ChainEvent::Withdrawn { .. } => "withdrawn",
        ChainEvent::HoldSet { .. } => "hold_set",
        ChainEvent::HoldCleared { .. } => "hold_cleared",
        ChainEvent::PausedUntil { .. } => "paused_until",
        ChainEvent::GateInstalled { .. } => "gate_installed",
        ChainEvent::GateDisabled { .. } => "gate_disabled",
        #[allow(unreachable_patterns, reason = "events are added by the chain's half of the format")]
        _ => "other",
    }
}
