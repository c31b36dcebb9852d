//! The kinds of commands, and the powers to read, under the one name that mandates, delegations and the API use.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What a mandate may allow: Cedar's `Action::"…"`. A command's number is that of its [`super::Action`]. Numbers
        /// are part of stored formats and never reused.
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
    /// Take a registered Distributor into the log as a campaign.
    CreateCampaign = 1, "create_campaign";
    /// Announce a round.
    Publish = 2, "publish";
    /// Decide a range without asking.
    Push = 3, "push";
    /// Annul entitlements.
    Void = 4, "void";
    /// Make an institution known.
    RegisterAuthority = 5, "register_authority";
    /// Add and revoke an institution's keys.
    ChangeKeys = 6, "change_keys";
    /// Grant a mandate.
    GrantMandate = 7, "grant_mandate";
    /// Take one back.
    RevokeMandate = 8, "revoke_mandate";
    /// Lend part of one's mandate to a vendor's key.
    Delegate = 9, "delegate";
    /// Take that back.
    RevokeDelegation = 10, "revoke_delegation";
    /// Propose a rule set.
    ProposeRules = 11, "propose_rules";
    /// Approve one.
    ApproveRules = 12, "approve_rules";
    /// Put an approved one into force.
    ActivateRules = 13, "activate_rules";
    /// Say which rule sets and attestations a gate asks for.
    DefineGate = 14, "define_gate";
    /// Stop payments.
    Hold = 15, "hold";
    /// Confirm another's hold beyond its first term.
    ConfirmHold = 16, "confirm_hold";
    /// Renew a hold beyond its second term.
    RenewHold = 17, "renew_hold";
    /// Let a held payment go on.
    Release = 18, "release";
    /// Bind a person to the address that receives.
    BindPerson = 19, "bind_person";
    /// Change that address.
    ChangePayee = 20, "change_payee";
    /// Pause a campaign.
    Pause = 21, "pause";
    /// End a pause.
    Resume = 22, "resume";
    /// Set a campaign's fund limit.
    SetLimit = 23, "set_limit";
    /// Revoke an attestation.
    RevokeAttestation = 24, "revoke_attestation";
    /// File an appeal for a claimant.
    FileAppeal = 25, "file_appeal";
    /// Answer one.
    AnswerAppeal = 26, "answer_appeal";
    /// Take a rule set out of force.
    RetireRules = 27, "retire_rules";
    /// Read what is not public: no command.
    ReadPrivate = 201, "read_private";
    /// Read the evidence of every decision: no command.
    Audit = 202, "audit";
}

impl ActionKind {
    /// Whether it is a command, and not a power to read.
    pub const fn is_command(self) -> bool {
        (self as u8) < Self::ReadPrivate as u8
    }

    /// Whether an authority may lend this to a vendor's key. What makes or unmakes authorities, mandates, keys and
    /// delegations stays with the institution itself: a vendor would lend itself powers without a limit.
    pub const fn is_delegable(self) -> bool {
        !matches!(
            self,
            Self::GrantMandate
                | Self::RevokeMandate
                | Self::Delegate
                | Self::RevokeDelegation
                | Self::RegisterAuthority
                | Self::ChangeKeys
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

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::*;

    /// Bytes that begin with a number of no action are told apart from those that end too early.
    #[test]
    fn every_command_has_a_kind_and_every_kind_of_command_a_command() {
        let known = |number: u8| {
            let error = borsh::from_slice::<Action>(&[number]).unwrap_err();
            !error.to_string().contains("variant tag")
        };
        let numbers: Vec<u8> = (0..=u8::MAX).filter(|number| known(*number)).collect();
        let commands = ActionKind::ALL.iter().filter(|kind| kind.is_command());
        assert_eq!(numbers, commands.clone().map(|kind| *kind as u8).collect::<Vec<_>>());
        assert_eq!(Action::NAMES.to_vec(), commands.map(|kind| kind.as_str()).collect::<Vec<_>>());
    }

    #[test]
    fn a_kind_is_read_by_its_name() {
        for kind in ActionKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("rotate_key".parse::<ActionKind>().is_err());
    }
}
