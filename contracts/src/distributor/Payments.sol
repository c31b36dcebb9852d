// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {Mode, Phase, RoundState, SparseWord} from "../interfaces/Types.sol";
import {BucketTree} from "../lib/BucketTree.sol";
import {Entries} from "../lib/Entries.sol";
import {Ledger} from "./Ledger.sol";

/// @notice The money path shared by settlements and claims: prove, mark, transfer, unmark what failed.
abstract contract Payments is Ledger {
    /// @dev What a batch achieved: a batch in which every attempted transfer failed reverts.
    struct Tally {
        uint256 attempted;
        uint256 failed;
        bytes firstReason;
    }

    /// @dev Refuses rounds that may not pay now: not open, or the campaign paused or held as a whole.
    function _requirePaying(uint256 roundNo, Round storage r, bool exit) internal view {
        _requireState(roundNo, r, RoundState.OPEN);
        if (r.hot.flags & WAS_PAUSED != 0) {
            if (_campaign.pausedUntil > block.timestamp && !exit) revert Paused(_campaign.pausedUntil);
            if (_campaign.heldUntil > block.timestamp) revert Paused(_campaign.heldUntil);
        }
    }

    function _requireState(uint256 roundNo, Round storage r, RoundState wanted) internal view {
        RoundState state = r.hot.state;
        if (state != wanted) revert WrongState(roundNo, state);
    }

    /// @dev Proves a sparse chunk against its round: bounds, lengths, hashes.
    function _proveChunk(Round storage r, SparseWord calldata chunk) internal view {
        uint256 depth = r.hot.depth;
        _requireInTree(depth, chunk.word, chunk.mask);
        uint256 buckets = BucketTree.bucketsOf(chunk.mask);
        uint256 expected = BucketTree.popCount(buckets) * BucketTree.BUCKET;
        if (chunk.words.length != expected) revert BadInputLength(chunk.words.length, expected);
        if (BucketTree.sparseRoot(buckets, chunk.words, chunk.proof, chunk.word, depth) != r.root) {
            revert BadProof();
        }
    }

    /// @dev Proves one bucket and returns the entitlement asked for.
    function _proveEntry(Round storage r, uint256 index, bytes calldata bucket, bytes32[] calldata proof)
        internal
        view
        returns (address recipient, uint96 amount)
    {
        uint256 depth = r.hot.depth;
        if (index >= uint256(4) << depth) revert IndexOutOfRange(index);
        if (bucket.length != BucketTree.BUCKET) revert BadInputLength(bucket.length, BucketTree.BUCKET);
        if (proof.length != depth) revert BadProofLength(proof.length, depth);
        if (BucketTree.climb(keccak256(bucket), index >> 2, proof) != r.root) revert BadProof();
        uint256 at = (index & 3) << 5;
        uint256 entry = uint256(bytes32(bucket[at:at + 32]));
        return (address(uint160(entry >> 96)), uint96(entry));
    }

    function _requireInTree(uint256 depth, uint256 word, uint256 mask) private pure {
        uint256 capacity = uint256(4) << depth;
        uint256 words = capacity > 256 ? capacity >> 8 : 1;
        if (mask == 0 || word >= words || (capacity < 256 && mask >> capacity != 0)) {
            revert IndexOutOfRange(word << 8);
        }
    }

    function _payableOf(uint256 wanted, uint256 given, bytes calldata words)
        internal
        view
        returns (uint256 bits, uint256 sum)
    {
        uint256 source;
        assembly ("memory-safe") {
            source := words.offset
        }
        return Entries.payable_(wanted, given, source, _token(), address(this), _charter());
    }

    /// @dev Whether tokens sent to `to` would be lost or come back here.
    function _isForbidden(address to) internal view returns (bool) {
        return to == address(0) || to == _token() || to == address(this) || to == _charter();
    }

    /// @dev Those of `bits` that nothing on chain stands against.
    function _unpaid(uint256 roundNo, uint256 word, uint256 bits, uint256 flags) internal view returns (uint256) {
        bits &= ~_paid[roundNo][word];
        if (flags & HAS_VOIDS != 0) bits &= ~_void[roundNo][word];
        if (flags & HAS_HOLDS != 0) bits &= ~_held[roundNo][word];
        return bits;
    }

    /// @dev Takes `sum` from what the round may still pay.
    function _reserve(uint256 roundNo, Round storage r, uint256 sum) internal {
        uint256 left = r.hot.remaining;
        if (sum > left) revert TotalExceeded(roundNo, left, sum);
        unchecked {
            r.hot.remaining = uint128(left - sum);
        }
    }

    /// @dev Pays what may be paid of `wanted`. The bits stand before the first transfer and those of failed transfers
    /// are cleared afterwards, each time on freshly read storage.
    /// @param source where the first given bucket's words stand in calldata
    function _payWord(
        Tally memory tally,
        uint256 roundNo,
        Round storage r,
        uint256 word,
        uint256 wanted,
        uint256 given,
        uint256 source
    ) internal {
        uint256 sum;
        wanted = _unpaid(roundNo, word, wanted, r.hot.flags);
        (wanted, sum) = Entries.payable_(wanted, given, source, _token(), address(this), _charter());
        if (wanted == 0) return;

        _paid[roundNo][word] |= wanted;
        _reserve(roundNo, r, sum);
        (uint256 failed, uint256 failedSum) = _transferAll(tally, roundNo, word, wanted, given, source);
        if (failed != 0) {
            _paid[roundNo][word] &= ~failed;
            r.hot.remaining += uint128(failedSum);
            wanted &= ~failed;
        }
        if (wanted != 0) emit Settled(roundNo, word, wanted);
    }

    function _transferAll(
        Tally memory tally,
        uint256 roundNo,
        uint256 word,
        uint256 wanted,
        uint256 given,
        uint256 source
    ) private returns (uint256 failed, uint256 failedSum) {
        uint256 at;
        unchecked {
            tally.attempted += 1;
            while (true) {
                bool oneFailed;
                bool shortOfGas;
                (oneFailed, shortOfGas, at, source) = Entries.payUntilFailure(
                    wanted, given, at, source, _token(), _transferGas(), _gasNeeded()
                );
                if (shortOfGas) revert TooLittleGas(gasleft(), _gasNeeded());
                if (!oneFailed) break;
                bytes memory reason = Entries.reason();
                emit ItemSkipped(roundNo, word << 8 | at, reason);
                if (tally.firstReason.length == 0) tally.firstReason = reason;
                failed |= 1 << at;
                uint256 entry;
                assembly ("memory-safe") {
                    entry := calldataload(source)
                }
                failedSum += uint96(entry);
                source += 32;
                ++at;
            }
            if (failed == wanted) tally.failed += 1;
        }
    }

    function _requireSomePaid(Tally memory tally) internal pure {
        if (tally.attempted != 0 && tally.failed == tally.attempted) revert NothingPaid(tally.firstReason);
    }

    /// @dev One payment that must succeed: a claim reverts as a whole, with the token's own reason.
    function _payOne(uint256 roundNo, Round storage r, uint256 index, address to, uint256 amount) internal {
        uint256 word = index >> 8;
        uint256 bit = 1 << (index & 0xff);
        uint256 paid = _paid[roundNo][word];
        if (paid & bit != 0) revert AlreadyPaid(roundNo, index);
        uint256 flags = r.hot.flags;
        if (flags & HAS_VOIDS != 0 && _void[roundNo][word] & bit != 0) revert AlreadyVoid(roundNo, index);
        if (flags & HAS_HOLDS != 0 && _held[roundNo][word] & bit != 0) revert Held(roundNo, index);
        _paid[roundNo][word] = paid | bit;
        _reserve(roundNo, r, amount);
        if (gasleft() < _gasNeeded()) revert TooLittleGas(gasleft(), _gasNeeded());
        if (!Entries.send(_token(), to, amount, _transferGas())) revert TransferFailed(Entries.reason());
    }

    function _firstIndex(uint256 word, uint256 bits) internal pure returns (uint256) {
        uint256 i;
        while (bits >> i & 1 == 0) ++i;
        return word << 8 | i;
    }
}
