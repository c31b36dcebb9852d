// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {ICharter} from "../interfaces/ICharter.sol";
import {IDistributor} from "../interfaces/IDistributor.sol";
import {DistributorTerms, Timers} from "../interfaces/Types.sol";

/// @notice What a deployment's terms must satisfy, the same for both ways to deploy.
library TermsCheck {
    /// @notice A veto needs some time; more than a month would only hide a mistake in units.
    uint64 internal constant MIN_OPENING_DELAY = 1;
    uint64 internal constant MAX_OPENING_DELAY = 30 days;
    /// @notice A grace beyond this would lock tokens for no one's good.
    uint64 internal constant MAX_GRACE = 3650 days;
    /// @notice Below, an ordinary ERC-20 transfer to a fresh account fails; above, one malicious recipient of a token
    /// with hooks could burn a large part of a transaction (cap 16,777,216).
    uint64 internal constant MIN_TRANSFER_GAS = 60_000;
    uint64 internal constant MAX_TRANSFER_GAS = 2_000_000;

    /// @notice Gas in hand before a transfer so that it really gets `transferGas` (a call keeps a 64th back) and its
    /// failure can still be recorded.
    function gasNeeded(uint256 transferGas) internal pure returns (uint256) {
        return transferGas + transferGas / 63 + 20_000;
    }

    /// @param distributor whose terms they are to be
    function check(DistributorTerms memory t, address distributor) internal view {
        if (t.token.code.length == 0) revert IDistributor.BadTerms("token has no code");
        if (t.charter.code.length == 0) revert IDistributor.BadTerms("charter has no code");
        if (t.token == t.charter) revert IDistributor.BadTerms("token and charter are the same");
        if (t.refund == address(0) || t.refund == t.token || t.refund == distributor || t.refund == t.charter) {
            revert IDistributor.BadTerms("refund address must be none of zero, token, distributor, charter");
        }
        if (t.openingDelay < MIN_OPENING_DELAY || t.openingDelay > MAX_OPENING_DELAY) {
            revert IDistributor.BadTerms("opening delay must be 1 second to 30 days");
        }
        if (t.transferGas < MIN_TRANSFER_GAS || t.transferGas > MAX_TRANSFER_GAS) {
            revert IDistributor.BadTerms("transfer gas must be 60,000 to 2,000,000");
        }
        // A token without decimals is refused here, before any amount was scaled for it.
        IERC20Metadata(t.token).decimals();
        Timers memory timers = ICharter(t.charter).timers();
        if (timers.w1 == 0) revert IDistributor.BadTerms("the Charter is not founded yet");
        if (t.grace < timers.w1 + timers.w2 + timers.finality) {
            revert IDistributor.BadTerms("grace must be at least w1 + w2 + finality of the Charter");
        }
        if (t.grace > MAX_GRACE) revert IDistributor.BadTerms("grace must be at most 3,650 days");
    }
}
