// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Approval, AuthoritySignature, Institution, Quorum} from "../interfaces/Types.sol";
import {Domain} from "../lib/Domain.sol";
import {Signatures} from "../lib/Signatures.sol";
import {Head} from "./Head.sol";

/// @notice Institutions, their signers, and counting who signed. An institution counts once, however many keys it has.
abstract contract Institutions is Head {
    /// @dev Bounds of the set: it is replaced in one transaction, and a bitmap of institutions fits a word.
    uint256 private constant MAX_INSTITUTIONS = 32;
    uint256 private constant MAX_SIGNERS = 8;
    uint256 private constant MAX_SIGNER_BYTES = 160;
    uint256 private constant MAX_NAME = 64;

    Institution[] private _institutions;
    uint8 private _publishThreshold;
    /// @dev 1 + the institution, by keccak256 of the signer's bytes.
    mapping(bytes32 signerHash => uint256) private _institutionOf;

    function requireQuorum(Quorum quorum, bytes32 structHash, Approval calldata approval)
        public
        view
        returns (uint256 institutions)
    {
        // Version 0 is a Charter not founded yet, where a quorum of nobody would be had for nothing.
        if (approval.setVersion == 0 || approval.setVersion != _head.setVersion) {
            revert StaleSetVersion(approval.setVersion, _head.setVersion);
        }
        if (block.timestamp > approval.deadline) revert ApprovalExpired(approval.deadline);
        bytes32 digest = Domain.digest(address(this), structHash);
        uint256 count;
        for (uint256 i; i < approval.signatures.length; ++i) {
            AuthoritySignature calldata s = approval.signatures[i];
            uint256 id = _institutionOf[keccak256(s.signer)];
            if (id == 0) revert NotAnAuthority(s.signer);
            if (!Signatures.isValid(s.signer, digest, s.signature)) revert BadAuthoritySignature(s.signer);
            uint256 bit = 1 << (id - 1);
            if (institutions & bit == 0) {
                institutions |= bit;
                ++count;
            }
        }
        uint256 needed = quorumOf(quorum);
        if (count < needed) revert QuorumMissed(count, needed);
    }

    function quorumOf(Quorum quorum) public view returns (uint256) {
        uint256 n = _institutions.length;
        if (quorum == Quorum.ONE) return 1;
        if (quorum == Quorum.THIRD) return n / 3 + 1;
        if (quorum == Quorum.HALF) return n / 2 + 1;
        if (quorum == Quorum.PUBLISH) return _publishThreshold;
        return (3 * n + 3) / 4;
    }

    function institutionOf(bytes calldata signer) external view returns (uint256) {
        return _institutionOf[keccak256(signer)];
    }

    function institutionCount() external view returns (uint256) {
        return _institutions.length;
    }

    /// @dev Replaces the whole set. From four institutions on no threshold takes all of them, so that one lost key can
    /// never lock the campaign; the other quorums satisfy this by their formulas.
    function _setInstitutions(Institution[] memory institutions, uint8 threshold) internal {
        uint256 n = institutions.length;
        if (n == 0 || n > MAX_INSTITUTIONS) revert BadConstitution("institutions must number 1 to 32");
        if (threshold < n / 2 + 1) revert BadConstitution("publish threshold must be at least floor(N/2)+1");
        if (threshold > (n < 4 ? n : n - 1)) {
            revert BadConstitution("publish threshold must be at most N-1, or N below four institutions");
        }
        _forgetInstitutions();
        for (uint256 i; i < n; ++i) {
            _addSigners(institutions[i], i + 1);
            _institutions.push(institutions[i]);
        }
        _publishThreshold = threshold;
    }

    function _addSigners(Institution memory institution, uint256 id) private {
        uint256 count = institution.signers.length;
        if (bytes(institution.name).length > MAX_NAME) revert BadConstitution("a name must be at most 64 bytes");
        if (count == 0 || count > MAX_SIGNERS) revert BadConstitution("an institution must have 1 to 8 signers");
        for (uint256 i; i < count; ++i) {
            bytes memory signer = institution.signers[i];
            if (signer.length < 20 || signer.length > MAX_SIGNER_BYTES || address(bytes20(signer)) == address(0)) {
                revert BadConstitution("a signer must be 20 to 160 bytes and begin with an address");
            }
            bytes32 hash = keccak256(signer);
            if (_institutionOf[hash] != 0) revert BadConstitution("a signer is named twice");
            _institutionOf[hash] = id;
        }
    }

    function _forgetInstitutions() private {
        for (uint256 i; i < _institutions.length; ++i) {
            bytes[] storage signers = _institutions[i].signers;
            for (uint256 j; j < signers.length; ++j) delete _institutionOf[keccak256(signers[j])];
        }
        delete _institutions;
    }

    function _allInstitutions() internal view returns (Institution[] memory) {
        return _institutions;
    }
}
