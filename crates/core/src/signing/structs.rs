//! The typed structs of commands, as the people who sign them see them.

use alloy_sol_types::sol;

sol! {
    /// Takes a Distributor into the log. Every term is signed: the block from which it is read decides which deposits and
    /// payments the log comes to know, and the chain may be another than the domain's, which is the stream's home.
    #[derive(Debug)]
    struct CreateCampaignCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        bytes16 project;
        string name;
        uint256 distributorChain;
        address distributor;
        address token;
        uint8 decimals;
        uint64 deployedAt;
        string visibility;
        string jurisdiction;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Announces a round.
    #[derive(Debug)]
    struct PublishCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        bytes32 root;
        uint64 count;
        uint128 total;
        bytes32 termsHash;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Decides a range of a round.
    #[derive(Debug)]
    struct PushCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64 fromIndex;
        uint64 toIndex;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Annuls entitlements.
    #[derive(Debug)]
    struct VoidCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64[] indexes;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Makes an institution known.
    #[derive(Debug)]
    struct RegisterAuthorityCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 registered;
        string name;
        bytes[] signers;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Adds and revokes an institution's keys.
    #[derive(Debug)]
    struct ChangeKeysCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 changed;
        bytes[] added;
        bytes[] revoked;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Lets an authority do something.
    #[derive(Debug)]
    struct GrantMandateCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 holder;
        bytes mandateText;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Ends a mandate.
    #[derive(Debug)]
    struct RevokeMandateCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 revoked;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Lets a vendor's key act in the authority's name.
    #[derive(Debug)]
    struct DelegateCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 delegator;
        bytes32 underMandate;
        bytes vendor;
        string[] actions;
        bytes16 campaign;
        uint128 amountMax;
        uint64 countMax;
        uint64 expiresAt;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Ends a delegation.
    #[derive(Debug)]
    struct RevokeDelegationCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 revoked;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Proposes a rule set.
    #[derive(Debug)]
    struct ProposeRulesCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 owner;
        string lineage;
        bytes32 rules;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Approves a rule set.
    #[derive(Debug)]
    struct ApproveRulesCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 rules;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Puts a rule set into force.
    #[derive(Debug)]
    struct ActivateRulesCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 rules;
        uint64 at;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Takes a rule set out of force.
    #[derive(Debug)]
    struct RetireRulesCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 rules;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Says what a gate version asks for.
    #[derive(Debug)]
    struct DefineGateCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint16 gateVersion;
        bytes32[] ruleSets;
        string[] attestations;
        bytes[] accepts;
        bytes signer;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Stops payments of entitlements.
    #[derive(Debug)]
    struct HoldEntitlementsCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64[] indexes;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Stops payments to a person.
    #[derive(Debug)]
    struct HoldPersonCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 person;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Stops a campaign's payments.
    #[derive(Debug)]
    struct HoldCampaignCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Confirms a hold.
    #[derive(Debug)]
    struct ConfirmHoldCommand {
        bytes32 authority;
        bytes16 id;
        uint64 hold;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Renews a hold.
    #[derive(Debug)]
    struct RenewHoldCommand {
        bytes32 authority;
        bytes16 id;
        uint64 hold;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Ends a hold.
    #[derive(Debug)]
    struct ReleaseCommand {
        bytes32 authority;
        bytes16 id;
        uint64 hold;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Says where a person is paid.
    #[derive(Debug)]
    struct BindPersonCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 person;
        address payee;
        string jurisdiction;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// The person moves to another address.
    #[derive(Debug)]
    struct ChangePayeeCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 person;
        address payee;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Pauses a campaign.
    #[derive(Debug)]
    struct PauseCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint64 until;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Ends a pause.
    #[derive(Debug)]
    struct ResumeCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Sets how much a campaign decides in all.
    #[derive(Debug)]
    struct SetLimitCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        bool limited;
        uint128 limit;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// An attestation counts no more.
    #[derive(Debug)]
    struct RevokeAttestationCommand {
        bytes32 authority;
        bytes16 id;
        bytes32 uid;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Appeals against a hold.
    #[derive(Debug)]
    struct AppealHoldCommand {
        bytes32 authority;
        bytes16 id;
        uint64 hold;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Appeals against an annulment.
    #[derive(Debug)]
    struct AppealVoidCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64 index;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Appeals against a refused claim.
    #[derive(Debug)]
    struct AppealRefusalCommand {
        bytes32 authority;
        bytes16 id;
        bytes16 campaign;
        uint256 round;
        uint64 index;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }

    /// Answers an appeal.
    #[derive(Debug)]
    struct AnswerAppealCommand {
        bytes32 authority;
        bytes16 id;
        uint64 appeal;
        bool upheld;
        bytes32 mandate;
        bytes32 delegation;
        uint64 subjectVersion;
        string reason;
        uint64 validAt;
        uint64 deadline;
    }
}
