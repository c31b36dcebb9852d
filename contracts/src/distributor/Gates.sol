// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {IWarden} from "../interfaces/IWarden.sol";
import {Approval, GateWord, Mode, Phase, Ruling} from "../interfaces/Types.sol";
import {Actions} from "../lib/Actions.sol";
import {Domain} from "../lib/Domain.sol";
import {Hot} from "../lib/Hot.sol";
import {Signatures} from "../lib/Signatures.sol";
import {Holds} from "./Holds.sol";

/// @notice Gate versions and what they sign. A version never changes: a new key is a new version, and a round keeps the
/// one that it was published with.
abstract contract Gates is Holds {
    function installGate(uint16 gateVersion, bytes calldata signer, bytes32 rulesHash, Approval calldata)
        external
        guarded
    {
        _ruling();
        _gates[gateVersion] = GateKey(address(bytes20(signer)), 0, signer.length > 20, rulesHash);
        emit GateInstalled(gateVersion, signer, rulesHash);
    }

    function disableGate(uint16 gateVersion, uint64, uint8, uint256, Approval calldata) external guarded {
        Ruling memory h = _ruling();
        _gates[gateVersion].disabledUntil = uint40(h.until);
        _campaign.gatesStopped = true;
        emit GateDisabled(gateVersion, uint64(h.until), h.institutions);
    }

    function claimAttested(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        address to,
        uint64 deadline,
        bytes calldata signature,
        GateWord calldata gate
    ) external guarded {
        Round storage r = _rounds[roundNo];
        Hot hot = r.hot;
        _requireAttestedClaims(roundNo, r, hot);
        Gate memory known;
        _look(known, hot);
        _requireGate(known, roundNo, index >> 8, 1 << (index & 0xff), gate);
        (address recipient, uint96 amount) = _proveEntry(r, hot.depth(), index, bucket, proof);
        if (msg.sender != recipient || to != recipient) {
            _requireSigned(roundNo, index, recipient, to, amount, deadline, signature);
        }
        _payClaim(roundNo, r, hot, index, recipient, to, amount);
    }

    /// @dev As `_requireClaims`, for GATED rounds. Wallets claim in TRIPPED as in EXIT.
    function _requireAttestedClaims(uint256 roundNo, Round storage r, Hot hot) private view {
        Phase phase = ICharter(_charter()).phase();
        if (_exitOnly() && phase == Phase.ACTIVE) revert ClaimsNotOpen(phase);
        _requirePaying(roundNo, hot, phase != Phase.ACTIVE);
        if (hot.mode() != Mode.GATED) revert WrongMode(roundNo, hot.mode());
        uint64 at = _closing(r);
        if (block.timestamp > at) revert Closed(at);
    }

    /// @dev A gate version as looked up, and the domain it signs in.
    struct Gate {
        uint256 version;
        address account;
        bool hasKey;
        bytes32 rulesHash;
        bytes32 separator;
    }

    /// @dev Looks the round's gate up, unless it is at hand already.
    function _look(Gate memory gate, Hot hot) internal view {
        uint16 version = hot.gate();
        if (gate.version == version) return;
        GateKey memory key = _gates[version];
        _requireGateOn(key.disabledUntil, version);
        (gate.version, gate.account, gate.hasKey, gate.rulesHash) = (version, key.account, key.hasKey, key.rulesHash);
        gate.separator = Domain.separator(address(this));
    }

    /// @dev Proves that the gate approved all of `wanted`.
    function _requireGate(Gate memory gate, uint256 roundNo, uint256 word, uint256 wanted, GateWord calldata g)
        internal
        view
    {
        if (g.roundNo != roundNo || g.word != word || wanted & ~g.mask != 0) revert NotApproved(roundNo, word, wanted);
        _verifyGate(gate, g);
    }

    /// @dev Whether this gate version signed this, for its rules, which publication made sure are the round's.
    function _verifyGate(Gate memory gate, GateWord calldata g) internal view {
        if (block.timestamp > g.expiry) revert GateExpired(g.expiry);
        bytes32 digest = Domain.digestIn(gate.separator, _structHash(gate.version, gate.rulesHash, g));
        _requireGateSigned(gate, digest, g.signature);
    }

    function _requireGateSigned(Gate memory gate, bytes32 digest, bytes calldata signature) internal view {
        bool signed = gate.hasKey
            ? IWarden(ICharter(_charter()).warden()).isGateSignature(uint16(gate.version), digest, signature)
            : Signatures.isValid(gate.account, digest, signature);
        if (!signed) revert BadGateSignature(uint16(gate.version));
    }

    function _requireGateOn(uint64 disabledUntil, uint16 version) internal view {
        if (disabledUntil > block.timestamp) revert GateOff(version, disabledUntil);
    }

    /// @dev Hash of `Gate(round,gateVersion,word,mask,rulesHash,asOfSeq,expiry)`: the fields as they stand in calldata,
    /// with the round's own version and rules between them.
    function _structHash(uint256 version, bytes32 rulesHash, GateWord calldata g) private pure returns (bytes32 hash) {
        bytes32 typeHash = Actions.GATE;
        assembly ("memory-safe") {
            let fields := mload(0x40)
            mstore(fields, typeHash)
            calldatacopy(add(fields, 0x20), g, 0x20)
            mstore(add(fields, 0x40), version)
            calldatacopy(add(fields, 0x60), add(g, 0x20), 0x40)
            mstore(add(fields, 0xa0), rulesHash)
            calldatacopy(add(fields, 0xc0), add(g, 0x60), 0x40)
            hash := keccak256(fields, 0x100)
        }
    }
}
