//! Why a demand was refused. The codes are stable: API, log, pages and metrics use them.

use borsh::{BorshDeserialize, BorshSerialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $code:literal, $sentence:literal;)*) => {
        /// A refusal's code. Numbers are part of the log's format and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What a claimant or an authority is told.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

codes! {
    /// Not in the round's snapshot.
    NotListed = 1, "not_listed", "This address is not in this round's list.";
    /// Another claim or a push decided it before.
    AlreadyDecided = 2, "already_decided", "A payment for this entitlement was decided before.";
    /// Paid, and final.
    AlreadyPaid = 3, "already_paid", "This entitlement was paid before.";
    /// The round is not open on chain, or its opening is not final.
    NotOpen = 4, "not_open", "This round is not open yet.";
    /// Accepted after the closing time.
    Closed = 5, "closed", "This round has closed.";
    /// Annulled.
    Voided = 6, "voided", "This entitlement was annulled.";
    /// The campaign is paused.
    Paused = 7, "paused", "This campaign is paused.";
    /// The signature is not the recipient's.
    BadSignature = 8, "bad_signature", "The signature is not the recipient's over this claim.";
    /// The deadline leaves no time to settle.
    DeadlineTooSoon = 9, "deadline_too_soon", "The claim's deadline is too soon to be settled safely.";
    /// The Distributor's balance does not cover it.
    InsufficientFunds = 10, "insufficient_funds", "The campaign's funds do not cover this payment.";
    /// No such campaign.
    UnknownCampaign = 11, "unknown_campaign", "There is no such campaign.";
    /// No such round.
    UnknownRound = 12, "unknown_round", "There is no such round in this campaign.";
    /// Index, recipient and amount do not match the snapshot.
    WrongEntitlement = 13, "wrong_entitlement", "Index, recipient or amount differ from the list.";
    /// A redirection to the zero address, the token or the Distributor.
    BadRedirect = 14, "bad_redirect", "A payment cannot be redirected to this address.";
    /// The round pays only with a gate signature.
    GateMissing = 15, "gate_missing", "This round pays only what its gate approved.";
    /// The round does not allow it (a push of a PULL round).
    WrongMode = 16, "wrong_mode", "The round's mode does not allow this.";
    /// The subject changed since the command's author saw it.
    Stale = 17, "stale", "The subject changed since this command was signed.";
    /// Not an institution of the Charter, or not its key.
    NotAuthorized = 18, "not_authorized", "The signer is not a key of an institution of the Charter.";
    /// Fewer distinct institutions than needed.
    QuorumMissing = 19, "quorum_missing", "Fewer institutions signed than this action needs.";
    /// A command's deadline passed.
    Expired = 20, "expired", "The deadline has passed.";
    /// A range outside the round, or empty.
    BadRange = 21, "bad_range", "The range lies outside the round or is empty.";
    /// A campaign with this id or Distributor exists.
    CampaignExists = 22, "campaign_exists", "A campaign with this id or Distributor exists.";
    /// The Charter does not know the Distributor.
    NotRegistered = 23, "not_registered", "The Charter has not registered this Distributor.";
    /// Round number is not the next.
    RoundExists = 24, "round_exists", "This is not the next round of the campaign.";
    /// The snapshot is not in storage, or differs from the terms.
    SnapshotMissing = 25, "snapshot_missing", "The snapshot is not stored, or differs from the published terms.";
    /// Being paid by a transaction the claimant sent.
    PaymentSeen = 26, "payment_seen", "A payment of this entitlement was seen on chain and awaits finality.";
    /// Another claim on it waits at this node.
    ClaimOpen = 27, "claim_open", "Another claim on this entitlement is being decided.";
    /// The list names an address that is never paid.
    BadList = 28, "bad_list", "The list names the token, the Distributor or the Charter, which are never paid.";
    /// Terms that were signed are not what the chain says.
    WrongTerms = 29, "wrong_terms", "The signed terms differ from what the chain says.";
    /// Needs a mandate, and names none, or one that another holds or that ended.
    MandateMissing = 31, "mandate_missing", "This action needs a mandate in force of the authority that signs it.";
    /// The mandate's policies do not permit it.
    MandateDenies = 32, "mandate_denies", "The mandate does not permit this action here.";
    /// The mandate's limits are used up.
    MandateSpent = 33, "mandate_spent", "The mandate's limit leaves no room for this.";
    /// The delegation does not cover it, has ended, or its limits are used up.
    DelegationDenies = 34, "delegation_denies", "The delegation does not cover this command.";
    /// No such institution.
    UnknownAuthority = 35, "unknown_authority", "There is no such institution.";
    /// An institution with this id, or a key of it, exists.
    AuthorityExists = 36, "authority_exists", "An institution with this id, or with one of these keys, exists.";
    /// Not valid, or not what it is said to be.
    BadRules = 37, "bad_rules", "The rule set or mandate is not valid.";
    /// No such rule set.
    UnknownRules = 38, "unknown_rules", "There is no such rule set.";
    /// Proposed before.
    RulesExist = 39, "rules_exist", "This rule set was proposed before.";
    /// Not in the phase that this needs.
    RulesPhase = 40, "rules_phase", "The rule set is not at the stage that this needs.";
    /// Its proposer cannot approve it, nor one institution twice.
    SelfApproval = 41, "self_approval", "The proposer cannot approve, and each institution approves once.";
    /// Permits a case that must never be permitted.
    MustNever = 42, "must_never", "The rule set permits a case that it says must never be permitted.";
    /// No such gate version in this campaign.
    UnknownGate = 43, "unknown_gate", "There is no such gate version in this campaign.";
    /// The gate version is defined already, or the round's terms do not match it.
    GateMismatch = 44, "gate_mismatch", "The gate version is defined otherwise, or differs from the round's terms.";
    /// No such hold.
    UnknownHold = 45, "unknown_hold", "There is no such hold in force.";
    /// Only its placer, or three quarters of the institutions, release it.
    NotPlacer = 46, "not_placer", "Only the institution that placed the hold, or three quarters of all, may end it.";
    /// Its placer cannot confirm it.
    SameAuthority = 47, "same_authority", "Another institution than the first one must do this.";
    /// One institution alone may hold only so many entitlements in a while.
    HoldLimit = 48, "hold_limit", "One institution alone cannot hold so many entitlements in 72 hours.";
    /// More entitlements than one entry may name.
    TooMany = 49, "too_many", "The command concerns more entitlements than one entry may name.";
    /// No such person.
    UnknownPerson = 50, "unknown_person", "There is no such person.";
    /// Signed by somebody who does not receive for this person.
    NotPayee = 51, "not_payee", "Only the address that receives for the person, or the registrar, may do this.";
    /// The campaign's limit is reached.
    LimitReached = 52, "limit_reached", "The campaign has reached the limit set for it.";
    /// No attestation of the kind the gate asks for.
    AttestationMissing = 53, "attestation_missing", "An attestation that this payment needs is missing.";
    /// An attestation was found, and does not count.
    AttestationRefused = 54, "attestation_refused", "An attestation that this payment needs is expired, revoked or not about you.";
    /// A rule set does not permit it.
    RuleRefused = 55, "rule_refused", "The programme's rules do not permit this payment.";
    /// A policy could not be evaluated, which never permits.
    PolicyError = 56, "policy_error", "The programme's rules could not be applied to this claim.";
    /// A rule maps its reason to this for claimants.
    UnderReview = 57, "under_review", "This claim is under review.";
    /// A rule set that the gate asks for is not in force.
    RulesNotInForce = 58, "rules_not_in_force", "A rule set that this payment needs is not in force.";
    /// Not on hold, not annulled, not refused: nothing to appeal against.
    NothingToAppeal = 59, "nothing_to_appeal", "There is no decision of this kind to appeal against.";
    /// No such appeal.
    UnknownAppeal = 60, "unknown_appeal", "There is no such appeal waiting for an answer.";
    /// A correction was announced before the annulments it rests on are final.
    CorrectionEarly = 61, "correction_early", "An entitlement that this round corrects is not finally annulled.";
    /// Revoked before.
    AlreadyRevoked = 62, "already_revoked", "This was revoked before.";
    /// A pause of one institution lasts too long.
    PauseTooLong = 63, "pause_too_long", "One institution alone cannot pause for so long.";
    /// What a gate's rules would look at exceeds [`crate::limits::CLAIM_FACTS_BYTES_MAX`].
    FactsTooLarge = 64, "facts_too_large", "The attestations for this payment say more than the 48 KiB that a gate looks at.";
    /// [`crate::limits::RULES_PROPOSED_MAX`] of the owner's wait, or State has [`crate::limits::RULE_SETS_MAX`] not retired.
    TooManyRules = 65, "too_many_rules", "Too many rule sets are waiting or in force; withdraw or retire one first.";
    /// Not a tag like `DE` or `DE-BE`.
    BadJurisdiction = 66, "bad_jurisdiction", "A jurisdiction is a tag of at most 32 characters, as DE or DE-BE.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_unique_and_keep_their_numbers() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.windows(2).all(|w| (w[0] as u8) < (w[1] as u8)));
        assert_eq!(borsh::to_vec(&Code::InsufficientFunds).unwrap(), [10]);
    }
}
