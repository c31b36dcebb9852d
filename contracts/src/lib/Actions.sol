// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Types of the structs that authorities sign, one per action, in the Charter's EIP-712 domain. Each ends in the
/// set version it binds and a deadline. No two actions share a type, so a signature for one never serves another. What
/// one institution may do and several may do more of says how many act `together`: see IDistributor.
library Actions {
    bytes32 internal constant PUBLISH = keccak256(
        "Publish(address distributor,uint256 round,bytes32 root,uint8 depth,uint64 count,uint128 total,bytes32 rulesHash,uint64 opensAt,uint64 closesAt,uint8 mode,uint16 gate,uint256 supersedes,string listUri,bytes32 listHash,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant CANCEL =
        keccak256("Cancel(address distributor,uint256 round,uint64 setVersion,uint64 deadline)");
    bytes32 internal constant VETO =
        keccak256("Veto(address distributor,uint256 round,uint64 setVersion,uint64 deadline)");
    bytes32 internal constant EXTEND_CLOSING = keccak256(
        "ExtendClosing(address distributor,uint256 round,uint64 closesAt,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant VOID = keccak256(
        "Void(address distributor,uint256 round,uint256 word,uint256 mask,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant WITHDRAW = keccak256(
        "Withdraw(address distributor,uint256 amount,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );

    bytes32 internal constant REGISTER_DISTRIBUTOR =
        keccak256("RegisterDistributor(address distributor,uint64 setVersion,uint64 deadline)");
    bytes32 internal constant REMOVE_SEQUENCER = keccak256(
        "RemoveSequencer(uint32 sequencer,SequencerKeys[] replacement,uint64 setVersion,uint64 deadline)SequencerKeys(address control,address[] lanes)"
    );
    bytes32 internal constant CHANGE_AUTHORITIES = keccak256(
        "ChangeAuthorities(Institution[] institutions,uint8 publishThreshold,uint64 setVersion,uint64 deadline)Institution(string name,bytes[] signers)"
    );
    bytes32 internal constant ADD_SEQUENCER = keccak256(
        "AddSequencer(SequencerKeys keys,uint64 setVersion,uint64 deadline)SequencerKeys(address control,address[] lanes)"
    );
    bytes32 internal constant CHANGE_LANES =
        keccak256("ChangeLanes(uint32 sequencer,address[] lanes,uint64 setVersion,uint64 deadline)");
    bytes32 internal constant CHANGE_LOG_KEYS = keccak256(
        "ChangeLogKeys(LogKey[] add,bytes32[] revoke,uint64 setVersion,uint64 deadline)LogKey(bytes32 key,string name)"
    );
    bytes32 internal constant CANCEL_CHANGE =
        keccak256("CancelChange(bytes32 change,uint64 setVersion,uint64 deadline)");

    bytes32 internal constant EXIT =
        keccak256("Exit(string reason,uint64 phaseCounter,uint256 nonce,uint64 setVersion,uint64 deadline)");
    bytes32 internal constant RESUME =
        keccak256("Resume(uint64 phaseCounter,uint256 nonce,uint64 setVersion,uint64 deadline)");

    bytes32 internal constant HOLD = keccak256(
        "Hold(address distributor,uint256 round,uint256 word,uint256 mask,bytes32 reason,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant CONFIRM_HOLD = keccak256(
        "ConfirmHold(address distributor,uint256 hold,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant RELEASE = keccak256(
        "Release(address distributor,uint256 hold,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant HOLD_CAMPAIGN = keccak256(
        "HoldCampaign(address distributor,uint64 until,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant PAUSE = keccak256(
        "Pause(address distributor,uint64 until,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant INSTALL_GATE = keccak256(
        "InstallGate(address distributor,uint16 gateVersion,bytes signer,bytes32 rulesHash,uint64 setVersion,uint64 deadline)"
    );
    bytes32 internal constant DISABLE_GATE = keccak256(
        "DisableGate(address distributor,uint16 gateVersion,uint64 until,uint8 together,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    // Signed struct of a function that comes next; fixed now, so that signers and tools need not change.
    bytes32 internal constant RECOVER = keccak256(
        "Recover(uint64 epoch,uint64 phaseCounter,uint256 nonce,uint64 setVersion,uint64 deadline)"
    );
    /// @dev In the Distributor's domain, signed by a gate's key.
    bytes32 internal constant GATE = keccak256(
        "Gate(uint256 round,uint16 gateVersion,uint256 word,uint256 mask,bytes32 rulesHash,uint64 asOfSeq,uint64 expiry)"
    );

    bytes32 internal constant INSTITUTION = keccak256("Institution(string name,bytes[] signers)");
    bytes32 internal constant SEQUENCER_KEYS = keccak256("SequencerKeys(address control,address[] lanes)");
    bytes32 internal constant LOG_KEY = keccak256("LogKey(bytes32 key,string name)");
}
