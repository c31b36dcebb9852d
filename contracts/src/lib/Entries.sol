// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Walks the entitlements of one 256-entitlement word as they stand in calldata, and moves tokens.
/// `given` says which entitlements' buckets are there (a bucket with any bit), four words for each, ascending.
/// @dev The two loops are the settlement's marginal cost, hence assembly.
library Entries {
    uint256 private constant AMOUNT_BITS = 0xffffffffffffffffffffffff;

    /// @notice Keeps those bits of `wanted` whose recipient may be paid at all, and adds up their amounts.
    /// Padding (zero address), the token, the Distributor and the Charter are never paid.
    function payable_(
        uint256 wanted,
        uint256 given,
        uint256 source,
        address token,
        address distributor,
        address charter
    ) internal pure returns (uint256 bits, uint256 sum) {
        assembly ("memory-safe") {
            let i := 0
            for {} wanted {} {
                if iszero(and(i, 3)) {
                    if iszero(and(shr(i, given), 0xf)) {
                        wanted := shr(4, wanted)
                        i := add(i, 4)
                        continue
                    }
                }
                if and(wanted, 1) {
                    let entry := calldataload(source)
                    let to := shr(96, entry)
                    if iszero(
                        or(or(iszero(to), eq(to, token)), or(eq(to, distributor), eq(to, charter)))
                    ) {
                        bits := or(bits, shl(i, 1))
                        // At most 256 uint96 values: no overflow.
                        sum := add(sum, and(entry, AMOUNT_BITS))
                    }
                }
                wanted := shr(1, wanted)
                source := add(source, 0x20)
                i := add(i, 1)
            }
        }
    }

    /// @notice Pays the bits of `wanted` in order until one fails or none is left.
    /// @param at entitlement of the word to go on from, and `source` its place in calldata
    /// @param transferGas gas given to each transfer
    /// @param needed gas that must be in hand before each transfer, else `shortOfGas`
    /// @return failed whether entitlement `stopped` failed; its return data is still in the return buffer
    function payUntilFailure(
        uint256 wanted,
        uint256 given,
        uint256 at,
        uint256 source,
        address token,
        uint256 transferGas,
        uint256 needed
    ) internal returns (bool failed, bool shortOfGas, uint256 stopped, uint256 next) {
        assembly ("memory-safe") {
            let call_ := mload(0x40)
            mstore(call_, shl(224, 0xa9059cbb)) // transfer(address,uint256)
            wanted := shr(at, wanted)
            for {} wanted {} {
                if iszero(and(at, 3)) {
                    if iszero(and(shr(at, given), 0xf)) {
                        wanted := shr(4, wanted)
                        at := add(at, 4)
                        continue
                    }
                }
                if and(wanted, 1) {
                    if lt(gas(), needed) {
                        shortOfGas := 1
                        break
                    }
                    let entry := calldataload(source)
                    mstore(add(call_, 0x04), shr(96, entry))
                    mstore(add(call_, 0x24), and(entry, AMOUNT_BITS))
                    let ok := call(transferGas, token, 0, call_, 0x44, 0x00, 0x20)
                    // True, or nothing at all. A returned word is looked at only when there is one.
                    if iszero(
                        and(
                            ok,
                            or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))
                        )
                    ) {
                        failed := 1
                        break
                    }
                }
                wanted := shr(1, wanted)
                source := add(source, 0x20)
                at := add(at, 1)
            }
            stopped := at
            next := source
        }
    }

    /// @notice One transfer, with exactly `transferGas` gas. The return data is left in the return buffer.
    function send(address token, address to, uint256 amount, uint256 transferGas) internal returns (bool ok) {
        assembly ("memory-safe") {
            let call_ := mload(0x40)
            mstore(call_, shl(224, 0xa9059cbb))
            mstore(add(call_, 0x04), to)
            mstore(add(call_, 0x24), amount)
            ok := call(transferGas, token, 0, call_, 0x44, 0x00, 0x20)
            ok := and(
                ok,
                or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)))
            )
        }
    }

    /// @notice Return data of the last call, at most 256 bytes of it: a token must not make us pay for more.
    function reason() internal pure returns (bytes memory data) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, 256) { size := 256 }
            data := mload(0x40)
            mstore(data, size)
            returndatacopy(add(data, 0x20), 0, size)
            mstore(0x40, add(data, and(add(size, 0x3f), not(0x1f))))
        }
    }
}
