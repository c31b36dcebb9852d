// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "../src/interfaces/IDistributor.sol";
import {ClaimPolicy, DistributorTerms, Mode} from "../src/interfaces/Types.sol";
import {Base} from "./support/Base.sol";
import {PayTest} from "./Pay.t.sol";
import {TestTree} from "./support/TestTree.sol";

interface IFactory {
    function deploy(DistributorTerms calldata terms, bytes32 salt) external returns (address);
    function addressOf(DistributorTerms calldata terms, bytes32 salt, address deployer)
        external
        view
        returns (address);
    function implementation() external view returns (address);
}

abstract contract Factories is Base {
    IFactory internal factory;

    function deploy(ClaimPolicy policy) internal virtual override returns (IDistributor) {
        address code = vm.deployCode("DistributorClone.sol:DistributorClone", "");
        factory = IFactory(vm.deployCode("DistributorFactory.sol:DistributorFactory", abi.encode(code)));
        return IDistributor(factory.deploy(termsOf(policy), "salt"));
    }
}

/// @notice Everything PayTest says, of a clone.
contract ClonePayTest is PayTest, Factories {
    function deploy(ClaimPolicy policy) internal override(Base, Factories) returns (IDistributor) {
        return Factories.deploy(policy);
    }
}

contract CloneTest is Factories {
    using TestTree for TestTree.Tree;

    function test_termsAreTheClonesOwn() public view {
        eq(keccak256(abi.encode(dist.terms())), keccak256(abi.encode(termsOf(ClaimPolicy.ALWAYS))), "terms");
        eq(dist.token(), address(token), "token");
        eq(dist.charter(), address(charter), "charter");
    }

    /// @notice Nobody can take the address: it binds deployer, salt and terms.
    function test_frontRunning() public {
        DistributorTerms memory t = termsOf(ClaimPolicy.EXIT_ONLY);
        address wanted = factory.addressOf(t, "x", person(1));
        vm.prank(stranger);
        isTrue(factory.deploy(t, "x") != wanted, "another deployer gets another address");
        DistributorTerms memory evil = termsOf(ClaimPolicy.EXIT_ONLY);
        evil.refund = stranger;
        vm.prank(person(1));
        isTrue(factory.deploy(evil, "x") != wanted, "other terms get another address");
        vm.prank(person(1));
        eq(factory.deploy(t, "x"), wanted, "the right one gets it");
        vm.prank(person(1));
        (bool again,) = address(factory).call(abi.encodeCall(IFactory.deploy, (t, "x")));
        isTrue(!again, "once");
    }

    function test_badTermsAreRefused() public {
        DistributorTerms memory t = termsOf(ClaimPolicy.ALWAYS);
        t.refund = address(0);
        vm.expectPartialRevert(IDistributor.BadTerms.selector);
        factory.deploy(t, "y");
        t = termsOf(ClaimPolicy.ALWAYS);
        t.grace = 1;
        vm.expectPartialRevert(IDistributor.BadTerms.selector);
        factory.deploy(t, "y");
    }

    function test_implementationRefusesDirectUse() public {
        IDistributor code = IDistributor(factory.implementation());
        vm.expectRevert(IDistributor.NotAClone.selector);
        code.terms();
        TestTree.Tree memory t = people(4);
        vm.expectRevert(IDistributor.NotAClone.selector);
        code.claim(1, 0, t.bucket(0), t.proof(0));
        (bytes memory words, bytes32[] memory path) = t.range(0, 0);
        vm.prank(lane);
        vm.expectRevert(IDistributor.NotAClone.selector);
        code.settle(1, 1, 0, 1, 0, 0, words, path);
    }

    /// @notice Two clones share nothing: a claim signed for one is no claim on the other.
    function test_clonesHaveTheirOwnDomain() public {
        IDistributor other = IDistributor(factory.deploy(termsOf(ClaimPolicy.ALWAYS), "other"));
        isTrue(other.domainSeparator() != dist.domainSeparator(), "own domain");
    }
}
