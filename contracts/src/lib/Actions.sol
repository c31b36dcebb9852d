// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Approval, Institution, LogKey, RoundTerms, SequencerKeys} from "../interfaces/Types.sol";

/// @notice The typed structs that authorities sign, one per action, in the Charter's EIP-712 domain. Each ends in the
/// set version it binds and a deadline. No two actions share a type, so a signature for one never serves another.
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

    bytes32 private constant INSTITUTION = keccak256("Institution(string name,bytes[] signers)");
    bytes32 private constant SEQUENCER_KEYS = keccak256("SequencerKeys(address control,address[] lanes)");
    bytes32 private constant LOG_KEY = keccak256("LogKey(bytes32 key,string name)");

    function publish(uint256 roundNo, RoundTerms calldata t, Approval calldata approval)
        internal
        view
        returns (bytes32)
    {
        // Two halves only because one abi.encode of eighteen values is too deep for the stack.
        bytes memory head = abi.encode(
            PUBLISH,
            address(this),
            roundNo,
            t.root,
            t.depth,
            t.count,
            t.total,
            t.rulesHash,
            t.opensAt,
            t.closesAt
        );
        bytes memory tail = abi.encode(
            t.mode,
            t.gate,
            t.supersedes,
            keccak256(bytes(t.listUri)),
            t.listHash,
            approval.setVersion,
            approval.deadline
        );
        return keccak256(bytes.concat(head, tail));
    }

    function cancel(uint256 roundNo, Approval calldata approval) internal view returns (bytes32) {
        return keccak256(abi.encode(CANCEL, address(this), roundNo, approval.setVersion, approval.deadline));
    }

    function veto(uint256 roundNo, Approval calldata approval) internal view returns (bytes32) {
        return keccak256(abi.encode(VETO, address(this), roundNo, approval.setVersion, approval.deadline));
    }

    function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata approval)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(EXTEND_CLOSING, address(this), roundNo, closesAt, approval.setVersion, approval.deadline)
        );
    }

    function void(uint256 roundNo, uint256 word, uint256 mask, Approval calldata approval)
        internal
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(VOID, address(this), roundNo, word, mask, approval.setVersion, approval.deadline)
        );
    }

    function withdraw(uint256 amount, uint256 nonce, Approval calldata approval) internal view returns (bytes32) {
        return keccak256(
            abi.encode(WITHDRAW, address(this), amount, nonce, approval.setVersion, approval.deadline)
        );
    }

    function registerDistributor(address distributor, Approval calldata approval) internal pure returns (bytes32) {
        return keccak256(abi.encode(REGISTER_DISTRIBUTOR, distributor, approval.setVersion, approval.deadline));
    }

    function removeSequencer(uint32 sequencer, SequencerKeys[] calldata replacement, Approval calldata approval)
        internal
        pure
        returns (bytes32)
    {
        bytes32[] memory parts = new bytes32[](replacement.length);
        for (uint256 i; i < parts.length; ++i) parts[i] = _keys(replacement[i]);
        return keccak256(
            abi.encode(
                REMOVE_SEQUENCER,
                sequencer,
                keccak256(abi.encodePacked(parts)),
                approval.setVersion,
                approval.deadline
            )
        );
    }

    function changeAuthorities(
        Institution[] calldata institutions,
        uint8 publishThreshold,
        Approval calldata approval
    ) internal pure returns (bytes32) {
        bytes32[] memory parts = new bytes32[](institutions.length);
        for (uint256 i; i < parts.length; ++i) parts[i] = _institution(institutions[i]);
        return keccak256(
            abi.encode(
                CHANGE_AUTHORITIES,
                keccak256(abi.encodePacked(parts)),
                publishThreshold,
                approval.setVersion,
                approval.deadline
            )
        );
    }

    function addSequencer(SequencerKeys calldata keys, Approval calldata approval) internal pure returns (bytes32) {
        return keccak256(abi.encode(ADD_SEQUENCER, _keys(keys), approval.setVersion, approval.deadline));
    }

    function changeLanes(uint32 sequencer, address[] calldata lanes, Approval calldata approval)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                CHANGE_LANES,
                sequencer,
                keccak256(abi.encodePacked(lanes)),
                approval.setVersion,
                approval.deadline
            )
        );
    }

    function changeLogKeys(LogKey[] calldata add, bytes32[] calldata revoke, Approval calldata approval)
        internal
        pure
        returns (bytes32)
    {
        bytes32[] memory parts = new bytes32[](add.length);
        for (uint256 i; i < parts.length; ++i) {
            parts[i] = keccak256(abi.encode(LOG_KEY, add[i].key, keccak256(bytes(add[i].name))));
        }
        return keccak256(
            abi.encode(
                CHANGE_LOG_KEYS,
                keccak256(abi.encodePacked(parts)),
                keccak256(abi.encodePacked(revoke)),
                approval.setVersion,
                approval.deadline
            )
        );
    }

    function cancelChange(bytes32 change, Approval calldata approval) internal pure returns (bytes32) {
        return keccak256(abi.encode(CANCEL_CHANGE, change, approval.setVersion, approval.deadline));
    }

    function _institution(Institution calldata institution) private pure returns (bytes32) {
        bytes32[] memory signers = new bytes32[](institution.signers.length);
        for (uint256 i; i < signers.length; ++i) signers[i] = keccak256(institution.signers[i]);
        return keccak256(
            abi.encode(INSTITUTION, keccak256(bytes(institution.name)), keccak256(abi.encodePacked(signers)))
        );
    }

    function _keys(SequencerKeys calldata keys) private pure returns (bytes32) {
        return keccak256(abi.encode(SEQUENCER_KEYS, keys.control, keccak256(abi.encodePacked(keys.lanes))));
    }
}
