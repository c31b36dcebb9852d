//! The kinds of commands, under the names that mandates use.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What a mandate may allow: Cedar's `Action::"…"`. Numbers are part of stored formats and never reused.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize,
            Deserialize,
        )]
        #[borsh(use_discriminant = true)]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum ActionKind { $($(#[$doc])* $name = $number,)* }

        impl ActionKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in policies.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Announce a round.
    Publish = 1, "publish";
    /// Decide a range without asking.
    Push = 2, "push";
    /// Annul entitlements.
    Void = 3, "void";
    /// Stop payments.
    Hold = 4, "hold";
    /// Confirm another's hold beyond its first term.
    ConfirmHold = 5, "confirm_hold";
    /// Renew a hold beyond its second term.
    RenewHold = 6, "renew_hold";
    /// Let a held payment go on.
    Release = 7, "release";
    /// Pause a campaign.
    Pause = 8, "pause";
    /// End a pause.
    Resume = 9, "resume";
    /// Bind a person to the address that receives.
    BindPerson = 10, "bind_person";
    /// Change that address.
    ChangePayee = 11, "change_payee";
    /// Propose a rule set.
    ProposeRules = 12, "propose_rules";
    /// Approve one.
    ApproveRules = 13, "approve_rules";
    /// Put an approved one into force.
    ActivateRules = 14, "activate_rules";
    /// Say which rule sets and attestations a gate asks for.
    DefineGate = 15, "define_gate";
    /// Revoke an attestation.
    RevokeAttestation = 16, "revoke_attestation";
    /// Set a campaign's fund limit.
    SetLimit = 17, "set_limit";
    /// File an appeal for a claimant.
    FileAppeal = 18, "file_appeal";
    /// Answer one.
    AnswerAppeal = 19, "answer_appeal";
    /// Correct an entitlement.
    Correct = 20, "correct";
    /// Grant a mandate.
    GrantMandate = 21, "grant_mandate";
    /// Take one back.
    RevokeMandate = 22, "revoke_mandate";
    /// Lend part of one's mandate to a vendor's key.
    Delegate = 23, "delegate";
    /// Take that back.
    RevokeDelegation = 24, "revoke_delegation";
    /// Take an institution into the log.
    RegisterAuthority = 25, "register_authority";
    /// Replace a key.
    RotateKey = 26, "rotate_key";
    /// Read what is not public.
    ReadPrivate = 27, "read_private";
    /// Read the evidence of every decision.
    Audit = 28, "audit";
    /// Take a registered Distributor into the log as a campaign.
    CreateCampaign = 29, "create_campaign";
}

impl ActionKind {
    /// Whether an authority may lend this to a vendor's key. What makes or unmakes authorities, mandates, keys and
    /// delegations stays with the institution itself.
    pub const fn is_delegable(self) -> bool {
        !matches!(
            self,
            Self::GrantMandate
                | Self::RevokeMandate
                | Self::Delegate
                | Self::RevokeDelegation
                | Self::RegisterAuthority
                | Self::RotateKey
        )
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No kind of command has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of command")]
pub struct UnknownAction(String);

impl FromStr for ActionKind {
    type Err = UnknownAction;
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownAction(text.to_owned()))
    }
}
