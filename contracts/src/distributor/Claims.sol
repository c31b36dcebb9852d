// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {Mode, Phase} from "../interfaces/Types.sol";
import {Domain} from "../lib/Domain.sol";
import {Hot, WAS_PAUSED} from "../lib/Hot.sol";
import {Signatures} from "../lib/Signatures.sol";
import {Rounds} from "./Rounds.sol";

/// @notice Wallets paying themselves, and anyone carrying what a wallet signed.
abstract contract Claims is Rounds {
    bytes32 internal constant CLAIM = keccak256(
        "Claim(uint256 round,uint256 index,address recipient,address to,uint96 amount,uint64 deadline)"
    );

    /// @dev The one call wallets pay for themselves, so it keeps to the word as proven instead of unpacking it.
    function claim(uint256 roundNo, uint64 index, bytes32[4] calldata bucket, bytes32[] calldata proof)
        external
        guarded
    {
        (Round storage r, Hot hot) = _requireClaims(roundNo);
        uint256 entry = _proveWord(r, hot.depth(), index, bucket, proof);
        if (uint160(msg.sender) != entry >> 96) revert NotRecipient(msg.sender, address(uint160(entry >> 96)));
        if (_isForbidden(msg.sender)) revert NotPayable(roundNo, index);
        emit Claimed(roundNo, index, msg.sender);
        _payOne(roundNo, r, hot, index, msg.sender, uint96(entry));
    }

    function claimFor(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        uint64 deadline,
        bytes calldata signature
    ) external guarded {
        (Round storage r, Hot hot) = _requireClaims(roundNo);
        (address recipient, uint96 amount) = _proveEntry(r, hot.depth(), index, bucket, proof);
        _requireSigned(roundNo, index, recipient, recipient, amount, deadline, signature);
        _payClaim(roundNo, r, hot, index, recipient, recipient, amount);
    }

    function claimTo(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        address to,
        uint64 deadline,
        bytes calldata signature
    ) external guarded {
        (Round storage r, Hot hot) = _requireClaims(roundNo);
        (address recipient, uint96 amount) = _proveEntry(r, hot.depth(), index, bucket, proof);
        _requireSigned(roundNo, index, recipient, to, amount, deadline, signature);
        _payClaim(roundNo, r, hot, index, recipient, to, amount);
    }

    /// @dev Whether wallets may be paid in this round now. The Charter is asked only where the answer may depend on it.
    function _requireClaims(uint256 roundNo) internal view returns (Round storage r, Hot hot) {
        r = _rounds[roundNo];
        hot = r.hot;
        if (_exitOnly() && _phase() == uint8(Phase.ACTIVE)) revert ClaimsNotOpen(Phase.ACTIVE);
        if (!hot.isPlain()) {
            _requirePaying(roundNo, hot, _phase() != uint8(Phase.ACTIVE));
            if (hot.mode() == Mode.GATED) revert WrongMode(roundNo, Mode.GATED);
        }
        if (block.timestamp > hot.closesAt()) {
            uint64 at = _closing(r);
            if (block.timestamp > at) revert Closed(at);
        }
    }

    /// @dev The Charter's phase as a number. In assembly, because checking an enum at every step costs as much as a
    /// read; the Charter is trusted to answer with a phase.
    function _phase() private view returns (uint256 phase) {
        address charter_ = _charter();
        bytes4 selector = ICharter.phase.selector;
        assembly ("memory-safe") {
            mstore(0x00, selector)
            let ok := staticcall(gas(), charter_, 0x00, 0x04, 0x00, 0x20)
            if iszero(and(ok, gt(returndatasize(), 0x1f))) { revert(0x00, 0x00) }
            phase := mload(0x00)
        }
    }

    /// @dev Pays an entitlement where its recipient signed.
    function _payClaim(
        uint256 roundNo,
        Round storage r,
        Hot hot,
        uint256 index,
        address recipient,
        address to,
        uint256 amount
    ) internal {
        if (_isForbidden(recipient)) revert NotPayable(roundNo, index);
        if (to != recipient && _isForbidden(to)) revert BadDestination(to);
        emit Claimed(roundNo, index, to);
        _payOne(roundNo, r, hot, index, to, amount);
    }

    function _requireSigned(
        uint256 roundNo,
        uint256 index,
        address recipient,
        address to,
        uint96 amount,
        uint64 deadline,
        bytes calldata signature
    ) internal view {
        if (block.timestamp > deadline) revert ClaimExpired(deadline);
        if (!_isSigned(roundNo, index, recipient, to, amount, deadline, signature)) {
            revert BadClaimSignature(recipient);
        }
    }

    function _isSigned(
        uint256 roundNo,
        uint256 index,
        address recipient,
        address to,
        uint96 amount,
        uint64 deadline,
        bytes calldata signature
    ) internal view returns (bool) {
        bytes32 digest = Domain.digest(
            address(this), keccak256(abi.encode(CLAIM, roundNo, index, recipient, to, amount, deadline))
        );
        return Signatures.isValid(recipient, digest, signature);
    }
}
