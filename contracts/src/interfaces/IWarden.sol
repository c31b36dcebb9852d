// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {GateView, HoldView} from "./Types.sol";

/// @title Warden: how far a few institutions' word carries
/// @notice A Charter deploys its Warden. For `hold`, `confirmHold`, `release`, `lapse`, `holdCampaign`, `pause`,
/// `installGate` and `disableGate` a Distributor asks the function of the same name here (IDistributor explains them), with the very
/// calldata it was called with. The Warden proves the signatures, counts what one institution did alone, keeps
/// holds and gate keys and answers what the Distributor is to do. Everything it keeps is kept by Distributor.
interface IWarden {
    /// @notice A gate version breaks a rule; `rule` names it.
    error BadGate(string rule);
    /// @notice No stop may last beyond `latest`, seconds, by one vote.
    error TooLong(uint64 latest);
    /// @notice One institution alone, or M alone, may not do more of this for now.
    error RationSpent(uint256 wanted, uint256 limit);
    /// @notice Every entitlement named is paid, void or held.
    error NothingToHold(uint256 round, uint256 word);
    /// @notice The institution held these entitlements before: what lapsed it cannot renew alone.
    error HeldBefore(uint256 round, uint256 word, uint256 mask);
    /// @notice No such hold, or it has ended.
    error NoSuchHold(uint256 hold);
    /// @notice The hold expired at `at`, seconds: it can no longer be confirmed.
    error HoldExpired(uint64 at);
    /// @notice It takes another institution than the one that placed the hold.
    error SecondNeeded();
    /// @notice A Distributor's gate version.
    function gateOf(address distributor, uint16 gateVersion) external view returns (GateView memory);

    /// @notice Whether the key of the calling Distributor's gate version signed this.
    function isGateSignature(uint16 gateVersion, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool);

    /// @notice A hold; all zero if there is none. Holds of a Distributor count from 1.
    function holdOf(address distributor, uint256 id) external view returns (HoldView memory);

    /// @notice How many holds there ever were.
    function holdCount(address distributor) external view returns (uint256);

    /// @notice How many holds stand on a round, and when the last one ended, seconds: a sweep waits for both.
    function holdsOn(address distributor, uint256 roundNo) external view returns (uint256 standing, uint256 endedAt);
}
