// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {GateWord, Mode, Redirect, SparseWord} from "../interfaces/Types.sol";
import {BucketTree} from "../lib/BucketTree.sol";
import {Entries} from "../lib/Entries.sol";
import {Hot} from "../lib/Hot.sol";
import {PackedGates, Reading} from "./PackedGates.sol";

/// @notice Batches: in ACTIVE from a lane of the current epoch's sequencer with the next batch number, in EXIT from
/// anyone.
abstract contract Settlement is PackedGates {
    function settle(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        uint256 roundNo,
        uint256 start,
        uint8 levels,
        bytes calldata words,
        bytes32[] calldata path
    ) external guarded {
        bool exit = _beginBatch(epoch, batchNo, logRoot);
        Round storage r = _rounds[roundNo];
        _requirePaying(roundNo, r.hot, exit);
        if (r.hot.mode() != Mode.PUSH) revert WrongMode(roundNo, r.hot.mode());
        _proveRange(r, start, levels, words, path);
        _payRange(roundNo, r, start, words);
    }

    function settleSparse(uint64 epoch, uint64 batchNo, bytes32 logRoot, SparseWord[] calldata chunks)
        external
        guarded
    {
        bool exit = _beginBatch(epoch, batchNo, logRoot);
        _payChunks(chunks, Reading.wrap(0), exit);
    }

    function settleGated(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        SparseWord[] calldata chunks,
        bytes calldata gates
    ) external guarded {
        bool exit = _beginBatch(epoch, batchNo, logRoot);
        Reading reading = _read(gates);
        _payChunks(chunks, reading, exit);
        _requireAllRead(reading, gates);
    }

    function settleTo(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        Redirect[] calldata items,
        GateWord[] calldata gates
    ) external guarded {
        bool exit = _beginBatch(epoch, batchNo, logRoot);
        Tally memory tally;
        Gate memory gate;
        for (uint256 i; i < gates.length; ++i) {
            _look(gate, _rounds[gates[i].roundNo].hot);
            _verifyGate(gate, gates[i]);
        }
        for (uint256 i; i < items.length; ++i) _redirect(tally, items[i], gates, exit);
        _requireSomePaid(tally);
    }

    /// @param reading of the gates' words; zero where rounds have no gate
    function _payChunks(SparseWord[] calldata chunks, Reading reading, bool exit) private {
        Tally memory tally;
        bool gated = Reading.unwrap(reading) != 0;
        for (uint256 i; i < chunks.length; ++i) {
            SparseWord calldata chunk = chunks[i];
            Round storage r = _rounds[chunk.roundNo];
            Hot hot = r.hot;
            _requirePaying(chunk.roundNo, hot, exit);
            if ((hot.mode() == Mode.GATED) != gated) revert WrongMode(chunk.roundNo, hot.mode());
            if (gated) _proveApproved(reading, r, hot, chunk);
            else _proveChunk(r, hot.depth(), chunk);
            _payWord(tally, chunk.roundNo, r, chunk.word, chunk.mask, chunk.mask, chunk.words);
        }
        _requireSomePaid(tally);
    }

    function _beginBatch(uint64 epoch, uint64 batchNo, bytes32 logRoot) internal returns (bool exit) {
        exit = ICharter(_charter()).requireSettler(epoch, msg.sender);
        if (exit) return true;
        uint64 next = _campaign.batches + 1;
        if (batchNo != next) revert WrongBatch(batchNo, next);
        _campaign.batches = next;
        emit BatchSettled(batchNo, epoch, logRoot);
    }

    function _proveRange(
        Round storage r,
        uint256 start,
        uint256 levels,
        bytes calldata words,
        bytes32[] calldata path
    ) private view {
        uint256 depth = r.hot.depth();
        if (levels > depth) revert BadProofLength(path.length, 0);
        if (start >= uint256(4) << depth || start & ((uint256(4) << levels) - 1) != 0) revert IndexOutOfRange(start);
        uint256 expected = BucketTree.BUCKET << levels;
        if (words.length != expected) revert BadInputLength(words.length, expected);
        if (path.length != depth - levels) revert BadProofLength(path.length, depth - levels);
        bytes32 node = BucketTree.rangeNode(words, levels);
        if (BucketTree.climb(node, start >> 2 >> levels, path) != r.root) revert BadProof();
    }

    function _payRange(uint256 roundNo, Round storage r, uint256 start, bytes calldata words) private {
        Tally memory tally;
        uint256 count = words.length >> 5;
        if (count < 256) {
            // An aligned range below 256 lies inside one word, perhaps not at its beginning.
            uint256 bits = ((1 << count) - 1) << (start & 0xff);
            _payWord(tally, roundNo, r, start >> 8, bits, bits, words);
        } else {
            for (uint256 i; i < count; i += 256) {
                bytes calldata part = words[i << 5:(i + 256) << 5];
                _payWord(tally, roundNo, r, (start + i) >> 8, type(uint256).max, type(uint256).max, part);
            }
        }
        _requireSomePaid(tally);
    }

    /// @dev Pays one redirected entitlement, or says why not and goes on: a wallet that takes its signature back, or a
    /// claim paid meanwhile, must not stop the others. What the sequencer itself could get wrong reverts.
    function _redirect(Tally memory tally, Redirect calldata item, GateWord[] calldata gates, bool exit) private {
        uint256 roundNo = item.roundNo;
        Round storage r = _rounds[roundNo];
        Hot hot = r.hot;
        _requirePaying(roundNo, hot, exit);
        if (hot.mode() == Mode.GATED) _requireAnyGate(roundNo, item.index, gates);
        (address recipient, uint96 amount) = _proveEntry(r, hot.depth(), item.index, item.bucket, item.proof);
        if (_isForbidden(recipient)) revert NotPayable(roundNo, item.index);

        bytes memory refusal = _refusal(item, recipient, amount);
        if (refusal.length != 0) {
            emit ItemSkipped(roundNo, item.index, refusal);
            return;
        }
        if (!_isUnpaid(roundNo, hot, item.index)) return;

        ++tally.attempted;
        if (_tryPayOne(roundNo, r, item.index, item.to, amount)) {
            ++tally.paid;
            emit Redirected(roundNo, item.index, item.to);
        } else {
            bytes memory reason = Entries.reason();
            emit ItemSkipped(roundNo, item.index, reason);
            if (tally.firstReason.length == 0) tally.firstReason = reason;
        }
    }

    /// @dev Whether one of the gate's words, all of them verified, covers an entitlement.
    function _requireAnyGate(uint256 roundNo, uint256 index, GateWord[] calldata gates) private pure {
        (uint256 word, uint256 bit) = (index >> 8, 1 << (index & 0xff));
        for (uint256 i; i < gates.length; ++i) {
            GateWord calldata g = gates[i];
            if (g.roundNo == roundNo && g.word == word && g.mask & bit != 0) return;
        }
        revert NotApproved(roundNo, word, bit);
    }

    function _refusal(Redirect calldata item, address recipient, uint96 amount)
        private
        view
        returns (bytes memory)
    {
        if (_isForbidden(item.to)) return abi.encodeWithSelector(BadDestination.selector, item.to);
        if (block.timestamp > item.deadline) return abi.encodeWithSelector(ClaimExpired.selector, item.deadline);
        bool signed =
            _isSigned(item.roundNo, item.index, recipient, item.to, amount, item.deadline, item.signature);
        if (!signed) return abi.encodeWithSelector(BadClaimSignature.selector, recipient);
        return "";
    }
}
