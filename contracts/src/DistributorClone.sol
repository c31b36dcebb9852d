// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Settlement} from "./distributor/Settlement.sol";
import {TermsCheck} from "./distributor/TermsCheck.sol";
import {ClaimPolicy, DistributorTerms} from "./interfaces/Types.sol";

/// @title The code behind clones: a Distributor whose terms stand behind the clone's own code
/// @notice Deploys for a fraction of the price and costs about 3,900 gas more per claim. It refuses to be used itself:
/// it has no terms.
contract DistributorClone is Settlement {
    address private immutable SELF = address(this);

    modifier onlyClone() {
        if (address(this) == SELF) revert NotAClone();
        _;
    }

    /// @dev As they stand, instead of one by one. A factory checks them in the transaction that deploys the clone; whoever
    /// deploys one past the factory checks nothing, as whoever deploys any other contract.
    function terms() external view override onlyClone returns (DistributorTerms memory) {
        return abi.decode(Clones.fetchCloneArgs(address(this)), (DistributorTerms));
    }

    /// @dev The `word`-th 32-byte word of the terms, which stand at the end of the clone's code. Whoever moves money or
    /// asks for terms reads the token or the Charter, and that is where the implementation refuses.
    function _word(uint256 word) private view returns (uint256 value) {
        assembly ("memory-safe") {
            extcodecopy(address(), 0x00, add(0x2d, shl(5, word)), 0x20)
            value := mload(0x00)
        }
    }

    function _token() internal view override onlyClone returns (address) {
        return address(uint160(_word(0)));
    }

    function _charter() internal view override onlyClone returns (address) {
        return address(uint160(_word(1)));
    }

    function _refund() internal view override returns (address) {
        return address(uint160(_word(2)));
    }

    function _exitOnly() internal view override returns (bool) {
        return _word(3) == uint256(ClaimPolicy.EXIT_ONLY);
    }

    function _grace() internal view override returns (uint64) {
        return uint64(_word(4));
    }

    function _openingDelay() internal view override returns (uint64) {
        return uint64(_word(5));
    }

    function _transferGas() internal view override returns (uint256) {
        return _word(6);
    }

    function _gasNeeded() internal view override returns (uint256) {
        return TermsCheck.gasNeeded(_word(6));
    }
}
