// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {TestToken} from "./TestToken.sol";

/// @notice A test token that refuses chosen recipients, as tokens with a blacklist do. Anyone may bar anyone: for the
/// crash test only.
contract BarringToken is TestToken {
    mapping(address => bool) public barred;

    error Barred(address account);

    constructor(string memory name_, string memory symbol_, uint8 decimals_) TestToken(name_, symbol_, decimals_) {}

    /// @notice Bars an account from receiving, or lets it receive again.
    function bar(address account, bool yes) external {
        barred[account] = yes;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (barred[to]) revert Barred(to);
        super._update(from, to, value);
    }
}
