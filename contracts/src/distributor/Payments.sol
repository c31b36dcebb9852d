// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {RoundState, SparseWord} from "../interfaces/Types.sol";
import {BucketTree} from "../lib/BucketTree.sol";
import {Entries} from "../lib/Entries.sol";
import {HAS_HOLDS, HAS_VOIDS, Hot, WAS_PAUSED} from "../lib/Hot.sol";
import {Ledger} from "./Ledger.sol";

/// @notice The money path shared by settlements and claims: prove, mark, transfer, unmark what failed.
abstract contract Payments is Ledger {
    /// @dev What a batch achieved, in words or single items: a batch that tried and paid nothing reverts.
    struct Tally {
        uint256 attempted;
        uint256 paid;
        bytes firstReason;
    }

    /// @dev Refuses rounds that may not pay now: not open, or the campaign paused or held as a whole.
    function _requirePaying(uint256 roundNo, Hot hot, bool exit) internal view {
        if (!hot.isOpen()) revert WrongState(roundNo, hot.state());
        if (hot.flags() & WAS_PAUSED != 0) {
            if (_campaign.pausedUntil > block.timestamp && !exit) revert Paused(_campaign.pausedUntil);
            if (_campaign.heldUntil > block.timestamp) revert Paused(_campaign.heldUntil);
        }
    }

    function _requireState(uint256 roundNo, Hot hot, RoundState wanted) internal pure {
        RoundState state = hot.state();
        if (state != wanted) revert WrongState(roundNo, state);
    }

    /// @dev Proves a sparse chunk against its round: bounds, lengths, hashes.
    function _proveChunk(Round storage r, uint256 depth, SparseWord calldata chunk) internal view {
        if (_rootOf(depth, chunk) != r.root) revert BadProof();
    }

    /// @dev The root that a sparse chunk proves, zero if none.
    function _rootOf(uint256 depth, SparseWord calldata chunk) internal pure returns (bytes32) {
        _requireInTree(depth, chunk.word, chunk.mask);
        uint256 buckets = BucketTree.bucketsOf(chunk.mask);
        uint256 expected = BucketTree.countOf(buckets) * BucketTree.BUCKET;
        if (chunk.words.length != expected) revert BadInputLength(chunk.words.length, expected);
        return BucketTree.sparseRoot(buckets, chunk.words, chunk.proof, chunk.word, depth);
    }

    /// @dev A round's root, its gate's key and its rules in one hash, which a settlement compares instead of reading
    /// each: whoever finds it again has proven all three.
    function _seal(bytes32 root, address account, bytes32 rulesHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(root, account, rulesHash));
    }

    /// @dev Proves one bucket and returns the entitlement asked for.
    function _proveEntry(
        Round storage r,
        uint256 depth,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof
    ) internal view returns (address recipient, uint96 amount) {
        uint256 entry = _proveWord(r, depth, index, bucket, proof);
        return (address(uint160(entry >> 96)), uint96(entry));
    }

    /// @dev The same, as the word it stands in.
    function _proveWord(
        Round storage r,
        uint256 depth,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof
    ) internal view returns (uint256 entry) {
        if (index >= uint256(4) << depth) revert IndexOutOfRange(index);
        if (proof.length != depth) revert BadProofLength(proof.length, depth);
        if (BucketTree.climb(BucketTree.leaf(bucket), index >> 2, proof) != r.root) revert BadProof();
        assembly ("memory-safe") {
            entry := calldataload(add(bucket, shl(5, and(index, 3))))
        }
    }

    function _requireInTree(uint256 depth, uint256 word, uint256 mask) internal pure {
        uint256 capacity = uint256(4) << depth;
        uint256 words = capacity > 256 ? capacity >> 8 : 1;
        if (mask == 0 || word >= words || (capacity < 256 && mask >> capacity != 0)) {
            revert IndexOutOfRange(word << 8);
        }
    }

    /// @dev Whether tokens sent to `to` would be lost or come back here.
    function _isForbidden(address to) internal view returns (bool forbidden) {
        (address token_, address charter_) = (_token(), _charter());
        assembly ("memory-safe") {
            forbidden := or(or(iszero(to), eq(to, token_)), or(eq(to, address()), eq(to, charter_)))
        }
    }

    /// @dev Those of `bits` that no void or hold stands against.
    function _unbarred(uint256 roundNo, uint256 word, uint256 bits, uint256 flags) private view returns (uint256) {
        if (flags & HAS_VOIDS != 0) bits &= ~_void[roundNo][word].bits;
        if (flags & HAS_HOLDS != 0) bits &= ~_held[roundNo][word].bits;
        return bits;
    }

    /// @dev `hot` with `sum` taken from what the round may still pay.
    function _less(uint256 roundNo, Hot hot, uint256 sum) internal pure returns (Hot) {
        if (sum > hot.remaining()) revert TotalExceeded(roundNo, hot.remaining(), sum);
        return hot.minus(sum);
    }

    /// @dev Pays what may be paid of `wanted`. The bits stand before the first transfer; those of failed transfers and
    /// of padding are cleared afterwards, on freshly read storage, and only what was really paid leaves the round's sum.
    /// @param words every bucket that has a bit in `given`
    function _payWord(
        Tally memory tally,
        uint256 roundNo,
        Round storage r,
        uint256 word,
        uint256 wanted,
        uint256 given,
        bytes calldata words
    ) internal {
        Word storage marks = _paid[roundNo][word];
        wanted &= ~marks.bits;
        wanted = _unbarred(roundNo, word, wanted, r.hot.flags());
        if (wanted == 0) return;

        Entries.Run memory run = Entries.start(wanted, given, words);
        marks.bits |= wanted;
        uint256 failed = _transferAll(tally, run, roundNo, word);
        uint256 unpaid = failed | run.refused;
        if (unpaid != 0) marks.bits &= ~unpaid;
        r.hot = _less(roundNo, r.hot, run.sum);

        uint256 paid = wanted & ~unpaid;
        if (paid != 0 || failed != 0) ++tally.attempted;
        if (paid == 0) return;
        ++tally.paid;
        emit Settled(roundNo, word, paid);
    }

    function _transferAll(Tally memory tally, Entries.Run memory run, uint256 roundNo, uint256 word)
        private
        returns (uint256 failed)
    {
        while (true) {
            Entries.Stop stop = Entries.pay(run, _token(), _charter(), _transferGas(), _gasNeeded());
            if (stop == Entries.Stop.END) return failed;
            if (stop == Entries.Stop.SHORT_OF_GAS) revert TooLittleGas(gasleft(), _gasNeeded());
            bytes memory reason = Entries.reason();
            emit ItemSkipped(roundNo, _firstIndex(word, Entries.present(run)), reason);
            if (tally.firstReason.length == 0) tally.firstReason = reason;
            failed |= Entries.present(run);
            Entries.pass(run);
        }
    }

    function _requireSomePaid(Tally memory tally) internal pure {
        if (tally.attempted != 0 && tally.paid == 0) revert NothingPaid(tally.firstReason);
    }

    /// @dev One payment that must succeed: a claim reverts as a whole, with the token's own reason.
    function _payOne(uint256 roundNo, Round storage r, Hot hot, uint256 index, address to, uint256 amount) internal {
        uint256 bit = 1 << (index & 0xff);
        Word storage marks = _paid[roundNo][index >> 8];
        uint256 paid = marks.bits;
        if (paid & bit != 0) revert AlreadyPaid(roundNo, index);
        if (hot.flags() & (HAS_VOIDS | HAS_HOLDS) != 0) {
            if (_void[roundNo][index >> 8].bits & bit != 0) revert AlreadyVoid(roundNo, index);
            if (_held[roundNo][index >> 8].bits & bit != 0) revert Held(roundNo, index);
        }
        marks.bits = paid | bit;
        r.hot = _less(roundNo, hot, amount);
        if (!_send(to, amount)) revert TransferFailed(Entries.reason());
    }

    /// @dev One payment that may fail: then its bit is cleared again.
    /// @return paid whether it was paid; if not, the token's answer is in the return buffer
    function _tryPayOne(uint256 roundNo, Round storage r, uint256 index, address to, uint256 amount)
        internal
        returns (bool paid)
    {
        uint256 bit = 1 << (index & 0xff);
        Word storage marks = _paid[roundNo][index >> 8];
        marks.bits |= bit;
        paid = _send(to, amount);
        if (paid) r.hot = _less(roundNo, r.hot, amount);
        else marks.bits &= ~bit;
    }

    /// @dev Whether nothing stands against paying this entitlement.
    function _isUnpaid(uint256 roundNo, Hot hot, uint256 index) internal view returns (bool) {
        uint256 word = index >> 8;
        uint256 bit = (1 << (index & 0xff)) & ~_paid[roundNo][word].bits;
        return _unbarred(roundNo, word, bit, hot.flags()) != 0;
    }

    function _send(address to, uint256 amount) private returns (bool) {
        uint256 needed = _gasNeeded();
        if (gasleft() < needed) revert TooLittleGas(gasleft(), needed);
        return Entries.send(_token(), to, amount, _transferGas());
    }

    function _firstIndex(uint256 word, uint256 bits) internal pure returns (uint256) {
        uint256 i;
        while (bits >> i & 1 == 0) ++i;
        return word << 8 | i;
    }
}
