// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice A plain token and its ill-behaved relatives, chosen per recipient so that one list can hold all of them.
contract OddToken {
    enum Manner {
        GOOD,
        REVERT,
        FALSE,
        SILENT,
        SHORT,
        TWO,
        BURN,
        BOMB,
        FEE,
        HOOK,
        EMPTY_REVERT,
        HUNGRY
    }

    mapping(address => uint256) public balanceOf;
    mapping(address => Manner) public manner;
    /// @dev What a HOOK recipient's transfer calls: target and data.
    address public hookTarget;
    bytes public hookData;
    bool public hookSucceeded;
    bytes public hookAnswer;
    uint8 public constant decimals = 18;

    error Refused(address to);

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function burn(address from, uint256 amount) external {
        balanceOf[from] -= amount;
    }

    function setManner(address to, Manner m) external {
        manner[to] = m;
    }

    function setHook(address target, bytes calldata data) external {
        hookTarget = target;
        hookData = data;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        Manner m = manner[to];
        if (m == Manner.REVERT) revert Refused(to);
        if (m == Manner.EMPTY_REVERT) {
            assembly ("memory-safe") {
                revert(0, 0)
            }
        }
        // Refuses unless it gets nearly all of the 200,000 gas that these tests' Distributor promises it.
        if (m == Manner.HUNGRY && gasleft() < 190_000) revert Refused(to);
        if (m == Manner.FALSE) return false;
        if (m == Manner.BURN) while (true) {}
        if (m == Manner.BOMB) {
            assembly ("memory-safe") {
                revert(0, 100000)
            }
        }
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += m == Manner.FEE ? amount - amount / 10 : amount;
        if (m == Manner.HOOK) (hookSucceeded, hookAnswer) = hookTarget.call(hookData);
        if (m == Manner.SILENT) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        if (m == Manner.SHORT) {
            assembly ("memory-safe") {
                mstore(0, not(0))
                return(0, 31)
            }
        }
        if (m == Manner.TWO) {
            assembly ("memory-safe") {
                mstore(0, 2)
                return(0, 32)
            }
        }
        return true;
    }
}

/// @notice Not a token: it has code but no decimals.
contract NoDecimals {
    function balanceOf(address) external pure returns (uint256) {
        return 0;
    }
}

/// @notice A second address of another token, as some tokens have.
contract Alias {
    OddToken private immutable REAL;

    constructor(OddToken real) {
        REAL = real;
    }

    function balanceOf(address who) external view returns (uint256) {
        return REAL.balanceOf(who);
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        REAL.burn(msg.sender, amount);
        REAL.mint(to, amount);
        return true;
    }
}
