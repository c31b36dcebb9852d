// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SparseWord} from "../interfaces/Types.sol";
import {Actions} from "../lib/Actions.sol";
import {Domain} from "../lib/Domain.sol";
import {Hot} from "../lib/Hot.sol";
import {Gates} from "./Gates.sol";

/// @dev How far a batch's packed words were read, in memory, with all that is hashed and recovered in the order in which
/// it is: 0x00 where the next word begins in calldata; from 0x20 on the struct that a gate signs (its type, round, version,
/// word, mask, rules, asOfSeq, expiry); from 0x13e on its digest's prefix, separator, struct hash; from 0x180 on what the
/// precompile is asked (digest, v, r, s); from 0x200 on a seal's root, signer, rules; at 0x260 whether a gate version may
/// be disabled.
type Reading is uint256;

/// @notice Gates' words as `settleGated` gets them, packed: see `IDistributor.settleGated`. What they cost is paid for
/// every recipient, so they are read, hashed and recovered in one go.
abstract contract PackedGates is Gates {
    uint256 private constant AFTER_HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1;

    /// @dev Begins to read. A Reading of zero stands for no words at all.
    function _read(bytes calldata gates) internal view returns (Reading reading) {
        (bytes32 typeHash, bytes32 separator) = (Actions.GATE, Domain.separator(address(this)));
        bool stopped = _campaign.gatesStopped;
        assembly ("memory-safe") {
            reading := mload(0x40)
            mstore(0x40, add(reading, 0x280))
            mstore(reading, gates.offset)
            mstore(add(reading, 0x20), typeHash)
            mstore(add(reading, 0xc0), 0)
            mstore(add(reading, 0x120), 0x1901)
            mstore(add(reading, 0x140), separator)
            mstore(add(reading, 0x260), stopped)
        }
    }

    /// @dev What was read is what was given: neither more than that, nor less.
    function _requireAllRead(Reading reading, bytes calldata gates) internal pure {
        uint256 length;
        assembly ("memory-safe") {
            length := sub(mload(reading), gates.offset)
        }
        if (length != gates.length) revert BadInputLength(gates.length, length);
    }

    /// @dev Proves that a chunk is of its round's tree and that the round's gate approved all of it, against one word of
    /// storage where the gate signs with a key. Where that does not fit, a contract signed or something is wrong: then
    /// each is looked at by itself.
    function _proveApproved(Reading reading, Round storage r, Hot hot, SparseWord calldata chunk) internal view {
        uint16 version = hot.gate();
        bool stopped;
        assembly ("memory-safe") {
            stopped := mload(add(reading, 0x260))
        }
        if (stopped) _requireGateOn(_gates[version].disabledUntil, version);
        bytes32 root = _rootOf(hot.depth(), chunk);
        (bytes32 found, bytes32 digest, bytes32 rulesHash, bytes calldata signature) =
            _next(reading, version, chunk, root);
        // Zero is no key's, and the seal of a gate that has none.
        if (found != 0 && found == r.cold.seal) return;

        if (root != r.root) revert BadProof();
        Gate memory gate;
        _look(gate, hot);
        if (gate.rulesHash != rulesHash) revert BadGateSignature(version);
        _requireGateSigned(gate, digest, signature);
    }

    /// @dev Reads the next word.
    /// @return found the seal of `root` with whoever signed, zero if that was no key
    /// @return digest what was signed
    /// @return rulesHash under these rules
    /// @return signature by whom it may concern
    function _next(Reading reading, uint256 version, SparseWord calldata chunk, bytes32 root)
        private
        view
        returns (bytes32 found, bytes32 digest, bytes32 rulesHash, bytes calldata signature)
    {
        uint256 expiry;
        assembly ("memory-safe") {
            let at := mload(reading)
            let head := calldataload(at)
            expiry := and(shr(112, head), 0xffffffffffffffff)
            // Round, word and mask begin a chunk.
            mstore(add(reading, 0x40), calldataload(chunk))
            mstore(add(reading, 0x60), version)
            mstore(add(reading, 0x80), calldataload(add(chunk, 0x20)))
            mstore(add(reading, 0xa0), or(calldataload(add(chunk, 0x40)), calldataload(add(at, 18))))
            mstore(add(reading, 0xe0), and(shr(176, head), 0xffffffffffffffff))
            mstore(add(reading, 0x100), expiry)
            at := add(at, 50)
            if shr(255, head) {
                mstore(add(reading, 0xc0), calldataload(at))
                at := add(at, 0x20)
            }
            rulesHash := mload(add(reading, 0xc0))
            mstore(add(reading, 0x160), keccak256(add(reading, 0x20), 0x100))
            digest := keccak256(add(reading, 0x13e), 0x42)
            signature.offset := at
            signature.length := and(shr(240, head), 0x7fff)
            mstore(reading, add(at, signature.length))
            // A signature has one form only: whose s lies in the upper half is refused, as OpenZeppelin's ECDSA does.
            calldatacopy(add(reading, 0x1c0), at, 0x40)
            if and(eq(signature.length, 65), lt(mload(add(reading, 0x1e0)), AFTER_HALF_ORDER)) {
                mstore(add(reading, 0x180), digest)
                mstore(add(reading, 0x1a0), byte(0, calldataload(add(at, 0x40))))
                mstore(add(reading, 0x200), root)
                mstore(add(reading, 0x240), rulesHash)
                // The precompile answers nothing at all to what is no signature.
                pop(staticcall(gas(), 1, add(reading, 0x180), 0x80, add(reading, 0x220), 0x20))
                if returndatasize() { found := keccak256(add(reading, 0x200), 0x60) }
            }
        }
        if (block.timestamp > expiry) revert GateExpired(uint64(expiry));
    }
}
