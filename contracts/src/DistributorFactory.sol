// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {DistributorTerms} from "./interfaces/Types.sol";
import {TermsCheck} from "./distributor/TermsCheck.sol";

/// @title Deploys Distributors as clones at addresses known before
/// @notice The address binds the terms, the deployer and the deployer's salt: nobody else can take it, with these terms
/// or with others.
contract DistributorFactory {
    /// @notice The code behind every clone.
    address public immutable implementation;

    /// @notice A Distributor was deployed.
    event DistributorDeployed(address indexed distributor, address indexed deployer, DistributorTerms terms);

    constructor(address implementation_) {
        implementation = implementation_;
    }

    /// @notice Deploys a clone with these terms; reverts if a term breaks a rule (see `TermsCheck`).
    function deploy(DistributorTerms calldata terms, bytes32 salt) external returns (address distributor) {
        bytes memory args = abi.encode(terms);
        distributor = Clones.cloneDeterministicWithImmutableArgs(implementation, args, _salt(msg.sender, salt));
        TermsCheck.check(terms, distributor);
        emit DistributorDeployed(distributor, msg.sender, terms);
    }

    /// @notice Where `deployer`'s clone with these terms and salt is or would be.
    function addressOf(DistributorTerms calldata terms, bytes32 salt, address deployer)
        external
        view
        returns (address)
    {
        return Clones.predictDeterministicAddressWithImmutableArgs(
            implementation, abi.encode(terms), _salt(deployer, salt)
        );
    }

    function _salt(address deployer, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(deployer, salt));
    }
}
