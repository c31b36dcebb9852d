//! What authorities sign, one struct per action, letter for letter as `contracts/src/lib/Actions.sol`: the struct's
//! name and fields are its EIP-712 type.

use alloy_sol_types::sol;

sol! {
    #[derive(Debug)]
    struct Publish {
        address distributor;
        uint256 round;
        bytes32 root;
        uint8 depth;
        uint64 count;
        uint128 total;
        bytes32 rulesHash;
        uint64 opensAt;
        uint64 closesAt;
        uint8 mode;
        uint16 gate;
        uint256 supersedes;
        string listUri;
        bytes32 listHash;
        uint64 setVersion;
        uint64 deadline;
    }

    #[derive(Debug)]
    struct Cancel { address distributor; uint256 round; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Veto { address distributor; uint256 round; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct ExtendClosing { address distributor; uint256 round; uint64 closesAt; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Void { address distributor; uint256 round; uint256 word; uint256 mask; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Withdraw { address distributor; uint256 amount; uint256 nonce; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct RegisterDistributor { address distributor; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct SequencerKeys { address control; address[] lanes; }

    #[derive(Debug)]
    struct RemoveSequencer { uint32 sequencer; SequencerKeys[] replacement; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Institution { string name; bytes[] signers; }

    #[derive(Debug)]
    struct ChangeAuthorities { Institution[] institutions; uint8 publishThreshold; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct AddSequencer { SequencerKeys keys; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct ChangeLanes { uint32 sequencer; address[] lanes; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct LogKey { bytes32 key; string name; }

    #[derive(Debug)]
    struct ChangeLogKeys { LogKey[] add; bytes32[] revoke; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct CancelChange { bytes32 change; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct InstallGate { address distributor; uint16 gateVersion; bytes signer; bytes32 rulesHash; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct DisableGate {
        address distributor;
        uint16 gateVersion;
        uint64 until;
        uint8 together;
        uint256 nonce;
        uint64 setVersion;
        uint64 deadline;
    }

    #[derive(Debug)]
    struct Hold {
        address distributor;
        uint256 round;
        uint256 word;
        uint256 mask;
        bytes32 reason;
        uint8 together;
        uint256 nonce;
        uint64 setVersion;
        uint64 deadline;
    }

    #[derive(Debug)]
    struct ConfirmHold { address distributor; uint256 hold; uint8 together; uint256 nonce; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Release { address distributor; uint256 hold; uint8 together; uint256 nonce; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct HoldCampaign { address distributor; uint64 until; uint8 together; uint256 nonce; uint64 setVersion; uint64 deadline; }

    #[derive(Debug)]
    struct Pause { address distributor; uint64 until; uint8 together; uint256 nonce; uint64 setVersion; uint64 deadline; }

    /// What a gate's key signs, in the Distributor's domain.
    #[derive(Debug)]
    struct Gate {
        uint256 round;
        uint16 gateVersion;
        uint256 word;
        uint256 mask;
        bytes32 rulesHash;
        uint64 asOfSeq;
        uint64 expiry;
    }
}
