// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../src/interfaces/ICharter.sol";
import {IWarden} from "../src/interfaces/IWarden.sol";
import {Approval, Mode} from "../src/interfaces/Types.sol";
import {Actions} from "../src/lib/Actions.sol";
import {Gated} from "./support/Gated.sol";

/// @notice What one institution may do and several may do more of: a signature says how many act together, and serves
/// nothing else.
contract TogetherTest is Gated {
    enum Kind {
        HOLD,
        CONFIRM,
        RELEASE,
        CAMPAIGN,
        PAUSE,
        DISABLE
    }

    uint256 private constant KINDS = 6;
    uint256 private r;
    uint256 private firm;
    uint64 private until;

    /// @dev A round with a gate, a hold of M, and a time further off than anybody's alone.
    function setUp() public override {
        super.setUp();
        r = opened(people(8), Mode.GATED);
        firm = hold(r, 0, 0x10, 0, 3);
        until = now_() + 20 days;
    }

    function _fields(Kind kind, uint256 together) private returns (bytes memory) {
        address d = address(dist);
        ++nonce;
        if (kind == Kind.HOLD) {
            return abi.encode(Actions.HOLD, d, r, uint256(0), uint256(1), bytes32("why"), together, nonce);
        }
        if (kind == Kind.CONFIRM) return abi.encode(Actions.CONFIRM_HOLD, d, firm, together, nonce);
        if (kind == Kind.RELEASE) return abi.encode(Actions.RELEASE, d, firm, together, nonce);
        if (kind == Kind.CAMPAIGN) return abi.encode(Actions.HOLD_CAMPAIGN, d, until, together, nonce);
        if (kind == Kind.PAUSE) return abi.encode(Actions.PAUSE, d, until, together, nonce);
        return abi.encode(Actions.DISABLE_GATE, d, uint16(1), until, together, nonce);
    }

    function _call(Kind kind, uint8 together, Approval memory a) private {
        if (kind == Kind.HOLD) dist.hold(r, 0, 1, "why", together, nonce, a);
        else if (kind == Kind.CONFIRM) dist.confirmHold(firm, together, nonce, a);
        else if (kind == Kind.RELEASE) dist.release(firm, together, nonce, a);
        else if (kind == Kind.CAMPAIGN) dist.holdCampaign(until, together, nonce, a);
        else if (kind == Kind.PAUSE) dist.pause(until, together, nonce, a);
        else dist.disableGate(1, until, together, nonce, a);
    }

    function _missed(uint256 count, uint256 needed) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ICharter.QuorumMissed.selector, count, needed);
    }

    /// @notice Whoever sees a signature of an act of several cannot put it forward alone, nor use up what it names.
    function test_fewerSignaturesThanSaidAreWorthNothing() public {
        for (uint256 k; k < KINDS; ++k) {
            Kind kind = Kind(k);
            uint256 together = kind == Kind.CONFIRM ? 4 : 3;
            bytes memory fields = _fields(kind, together);
            for (uint256 count = 1; count < together; ++count) {
                Approval memory few = approveFrom(fields, 1, count);
                vm.expectRevert(_missed(count, together));
                _call(kind, uint8(together), few);
            }
            uint256 before = vm.snapshotState();
            _call(kind, uint8(together), approveFrom(fields, 1, together));
            // More sign than act: that is no harm, and serves once.
            vm.revertToState(before);
            _call(kind, uint8(together), approveFrom(fields, 0, 5));
            vm.revertToState(before);
        }
    }

    /// @notice The number is part of what is signed.
    function test_theNumberIsSigned() public {
        for (uint256 k; k < KINDS; ++k) {
            Approval memory several = approveFrom(_fields(Kind(k), 3), 0, 1);
            vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
            _call(Kind(k), 1, several);
            Approval memory alone = approveFrom(_fields(Kind(k), 1), 0, 5);
            vm.expectPartialRevert(ICharter.BadAuthoritySignature.selector);
            _call(Kind(k), 4, alone);
        }
    }

    /// @notice What each signed to do alone is worth one, however many signed the same.
    function test_singleActsDoNotAddUp() public {
        bytes memory ration = abi.encodeWithSelector(IWarden.RationSpent.selector, 20 days, 24 hours);
        _refused(Kind.PAUSE, ration);
        ration = abi.encodeWithSelector(IWarden.RationSpent.selector, 20 days, 72 hours);
        _refused(Kind.DISABLE, ration);
        _refused(Kind.RELEASE, _missed(1, 3));
        _refused(Kind.CONFIRM, _missed(1, 4));
        _refused(Kind.CAMPAIGN, _missed(1, 3));
        _call(Kind.HOLD, 1, approveFrom(_fields(Kind.HOLD, 1), 0, 5));
        isTrue(!warden.holdOf(address(dist), 2).firm, "of one");
        eq(warden.holdOf(address(dist), 2).expiresAt, now_() + 72 hours, "for 72 hours");
    }

    function _refused(Kind kind, bytes memory why) private {
        Approval memory a = approveFrom(_fields(kind, 1), 0, 5);
        vm.expectRevert(why);
        _call(kind, 1, a);
    }

    /// @notice Nobody at all is nobody, whatever the number says.
    function test_nobodyIsNobody() public {
        for (uint256 k; k < KINDS; ++k) {
            Approval memory none = approveFrom(_fields(Kind(k), 0), 0, 0);
            vm.expectRevert(_missed(0, 1));
            _call(Kind(k), 0, none);
        }
    }
}
