//! What an authority may order, and what each order is about.

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{
    ActionKind, AppealAbout, AuthorityTerms, CampaignTerms, DelegationTerms, GateTerms, HoldTarget,
    MandateTerms, RoundTerms, RulesTerms, Subject,
};
use crate::amount::Total;
use crate::ids::{CampaignId, Millis, RoundNo, Seq};

/// What an authority may order. Each has a typed struct of its own in [`crate::signing`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[serde(tag = "action", rename_all = "snake_case")]
#[repr(u8)]
pub enum Action {
    /// Take a registered Distributor into the log as a campaign.
    CreateCampaign(CampaignTerms) = 1,
    /// Announce the next round.
    Publish(RoundTerms) = 2,
    /// Decide a range of a round without asking.
    Push {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNo,
        /// First index.
        from: u64,
        /// One past the last index.
        to: u64,
    } = 3,
    /// Annul entitlements.
    Void {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNo,
        /// Ascending, each once.
        indexes: Vec<u64>,
    } = 4,
    /// Make an institution outside the Charter known.
    RegisterAuthority(AuthorityTerms) = 5,
    /// Add and revoke keys of an institution. Revoked keys stay revoked, whatever the Charter says later.
    ChangeKeys {
        /// Whose.
        authority: B256,
        /// ERC-7913 signer bytes to add.
        add: Vec<Bytes>,
        /// ERC-7913 signer bytes to revoke.
        revoke: Vec<Bytes>,
    } = 6,
    /// Let an authority do something.
    GrantMandate(MandateTerms) = 7,
    /// End a mandate.
    RevokeMandate {
        /// Its id.
        mandate: B256,
    } = 8,
    /// Let a vendor's key act in the authority's name.
    Delegate(DelegationTerms) = 9,
    /// End a delegation.
    RevokeDelegation {
        /// Its id.
        delegation: B256,
    } = 10,
    /// Propose a rule set.
    ProposeRules(RulesTerms) = 11,
    /// Approve a proposed rule set.
    ApproveRules {
        /// Its name.
        rules: B256,
    } = 12,
    /// Put an approved rule set into force, in place of its lineage's last.
    ActivateRules {
        /// Its name.
        rules: B256,
        /// When; 0 for the command's own position.
        at: Millis,
    } = 13,
    /// Say what a gate version of a campaign asks for.
    DefineGate(GateTerms) = 14,
    /// Stop payments.
    Hold {
        /// Which.
        target: HoldTarget,
    } = 15,
    /// Confirm another institution's hold, so that it lasts longer.
    ConfirmHold {
        /// The position of the entry that placed it.
        hold: Seq,
    } = 16,
    /// Renew a confirmed hold.
    RenewHold {
        /// The position of the entry that placed it.
        hold: Seq,
    } = 17,
    /// Let payments go on.
    Release {
        /// The position of the entry that placed the hold.
        hold: Seq,
    } = 18,
    /// Say which address receives for a person.
    BindPerson {
        /// The registrar's id of the person.
        person: B256,
        /// Where the person is paid.
        payee: Address,
        /// The jurisdiction the person belongs to, as mandates name it (`DE`, `DE-BE`); empty for none.
        #[serde(default)]
        jurisdiction: String,
    } = 19,
    /// The person moves to another address.
    ChangePayee {
        /// The person.
        person: B256,
        /// Where the person is paid from now on.
        payee: Address,
    } = 20,
    /// Decide and settle nothing in a campaign.
    Pause {
        /// The campaign.
        campaign: CampaignId,
        /// It ends by itself then.
        until: Millis,
    } = 21,
    /// End a pause.
    Resume {
        /// The campaign.
        campaign: CampaignId,
    } = 22,
    /// Decide no more than this in all, until somebody sets another limit.
    SetLimit {
        /// The campaign.
        campaign: CampaignId,
        /// Base units; `None` for no limit.
        limit: Option<Total>,
    } = 23,
    /// An attestation counts no more.
    RevokeAttestation {
        /// Its uid.
        uid: B256,
    } = 24,
    /// Ask that another authority look at a decision.
    FileAppeal {
        /// Which decision.
        about: AppealAbout,
    } = 25,
    /// Answer an appeal.
    AnswerAppeal {
        /// The position of the entry that filed it.
        appeal: Seq,
        /// Whether the appeal is right.
        upheld: bool,
    } = 26,
    /// Take a rule set out of force without another in its place: its gates then permit nothing.
    RetireRules {
        /// Its name.
        rules: B256,
    } = 27,
}

impl Action {
    /// Every [`Self::name`], in the order of the actions' numbers.
    pub const NAMES: [&'static str; 27] = {
        let mut names = [""; 27];
        let mut at = 0;
        while at < names.len() {
            names[at] = ActionKind::ALL[at].as_str();
            at += 1;
        }
        names
    };

    /// Which kind it is.
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::CreateCampaign(_) => ActionKind::CreateCampaign,
            Self::Publish(_) => ActionKind::Publish,
            Self::Push { .. } => ActionKind::Push,
            Self::Void { .. } => ActionKind::Void,
            Self::RegisterAuthority(_) => ActionKind::RegisterAuthority,
            Self::ChangeKeys { .. } => ActionKind::ChangeKeys,
            Self::GrantMandate(_) => ActionKind::GrantMandate,
            Self::RevokeMandate { .. } => ActionKind::RevokeMandate,
            Self::Delegate(_) => ActionKind::Delegate,
            Self::RevokeDelegation { .. } => ActionKind::RevokeDelegation,
            Self::ProposeRules(_) => ActionKind::ProposeRules,
            Self::ApproveRules { .. } => ActionKind::ApproveRules,
            Self::ActivateRules { .. } => ActionKind::ActivateRules,
            Self::DefineGate(_) => ActionKind::DefineGate,
            Self::Hold { .. } => ActionKind::Hold,
            Self::ConfirmHold { .. } => ActionKind::ConfirmHold,
            Self::RenewHold { .. } => ActionKind::RenewHold,
            Self::Release { .. } => ActionKind::Release,
            Self::BindPerson { .. } => ActionKind::BindPerson,
            Self::ChangePayee { .. } => ActionKind::ChangePayee,
            Self::Pause { .. } => ActionKind::Pause,
            Self::Resume { .. } => ActionKind::Resume,
            Self::SetLimit { .. } => ActionKind::SetLimit,
            Self::RevokeAttestation { .. } => ActionKind::RevokeAttestation,
            Self::FileAppeal { .. } => ActionKind::FileAppeal,
            Self::AnswerAppeal { .. } => ActionKind::AnswerAppeal,
            Self::RetireRules { .. } => ActionKind::RetireRules,
        }
    }

    /// The action's name in mandates, delegations and the API.
    pub const fn name(&self) -> &'static str {
        self.kind().as_str()
    }

    /// What it is about; its authors name the position at which that last changed.
    pub fn subject(&self) -> Subject {
        match self {
            Self::CreateCampaign(_)
            | Self::RegisterAuthority(_)
            | Self::ProposeRules(_)
            | Self::FileAppeal { .. } => Subject::New,
            Self::Publish(terms) => Subject::Campaign(terms.campaign),
            Self::Push { campaign, round, .. } | Self::Void { campaign, round, .. } => {
                Subject::Round(*campaign, *round)
            }
            // A hold is the safe direction: it is never too late for what changed meanwhile.
            Self::Hold { .. } => Subject::New,
            Self::ChangeKeys { authority, .. } => Subject::Authority(*authority),
            Self::GrantMandate(terms) => Subject::Authority(terms.holder),
            Self::RevokeMandate { mandate } => Subject::Mandate(*mandate),
            Self::Delegate(terms) => Subject::Authority(terms.authority),
            Self::RevokeDelegation { delegation } => Subject::Delegation(*delegation),
            Self::ApproveRules { rules }
            | Self::ActivateRules { rules, .. }
            | Self::RetireRules { rules } => Subject::Rules(*rules),
            Self::DefineGate(terms) => Subject::Campaign(terms.campaign),
            Self::BindPerson { person, .. } | Self::ChangePayee { person, .. } => Subject::Person(*person),
            Self::Pause { campaign, .. } | Self::Resume { campaign } | Self::SetLimit { campaign, .. } => {
                Subject::Campaign(*campaign)
            }
            Self::ConfirmHold { hold } | Self::RenewHold { hold } | Self::Release { hold } => {
                Subject::Hold(*hold)
            }
            Self::RevokeAttestation { uid } => Subject::Attestation(*uid),
            Self::AnswerAppeal { appeal, .. } => Subject::Appeal(*appeal),
        }
    }

    /// The campaign whose commands it stands with ([`CampaignId::orders`] is their queue); the stream's own (nil) for what
    /// concerns no single existing one.
    pub fn queue(&self) -> CampaignId {
        match self {
            Self::CreateCampaign(_) => CampaignId::default(),
            Self::Publish(terms) => terms.campaign,
            Self::Push { campaign, .. }
            | Self::Void { campaign, .. }
            | Self::Hold {
                target: HoldTarget::Entitlements { campaign, .. } | HoldTarget::Campaign { campaign },
            }
            | Self::Pause { campaign, .. }
            | Self::Resume { campaign }
            | Self::SetLimit { campaign, .. }
            | Self::FileAppeal {
                about: AppealAbout::Void { campaign, .. } | AppealAbout::Refusal { campaign, .. },
            } => *campaign,
            Self::DefineGate(terms) => terms.campaign,
            // What concerns institutions, rules and persons concerns every campaign.
            _ => CampaignId::default(),
        }
    }
}
