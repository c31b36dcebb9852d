// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Walks the entitlements of one 256-entitlement word as they stand in calldata, and moves tokens. `given` says
/// which entitlements' buckets are there (a bucket with any bit), four words for each, ascending.
library Entries {
    /// @dev transfer(address,uint256), placed so that a word stored at 0x00 puts it at 0x10.
    uint256 private constant TRANSFER = 0xa9059cbb000000000000000000000000;
    uint256 private constant AMOUNT = 0xffffffffffffffffffffffff;

    /// @notice What stopped a run.
    enum Stop {
        END,
        FAILED,
        SHORT_OF_GAS
    }

    /// @notice Where a run stands and what it did so far.
    /// @param wanted entitlements to pay, from `next` on, lowest first; `given` likewise
    /// @param source the next word in calldata
    /// @param first lowest bit of the present stretch (a bucket, or all that is left), and `from` its place in calldata
    /// @param ahead where the words after the present bucket stand in calldata
    /// @param next lowest bit of the first bucket not looked at yet
    /// @param rest the present stretch's wanted bits from `source` on, lowest first
    /// @param sum base units really paid
    /// @param refused bits that are never paid: padding (zero address), token, Distributor, Charter
    /// @param freeMemory the free memory pointer, while `pay` borrows its place
    /// @param why the `Stop` that ended the loop
    struct Run {
        uint256 wanted;
        uint256 given;
        uint256 source;
        uint256 first;
        uint256 ahead;
        uint256 next;
        uint256 from;
        uint256 rest;
        uint256 sum;
        uint256 refused;
        uint256 freeMemory;
        uint256 why;
    }

    /// @notice A run over words in calldata, before its first bucket.
    function start(uint256 wanted, uint256 given, bytes calldata words) internal pure returns (Run memory run) {
        run.wanted = wanted;
        run.given = given;
        run.next = 1;
        assembly ("memory-safe") {
            mstore(add(run, 0x80), words.offset)
        }
    }

    /// @notice Bit of the entitlement a run stands on.
    function present(Run memory run) internal pure returns (uint256 bit) {
        unchecked {
            return run.first << ((run.source - run.from) >> 5);
        }
    }

    /// @notice Takes a run past the entitlement it stands on.
    function pass(Run memory run) internal pure {
        unchecked {
            run.source += 32;
            run.rest >>= 1;
        }
    }

    /// @notice Pays until a transfer fails or the words end. After FAILED, `run` stands on the failed entitlement and
    /// the token's answer is in the return buffer; `pass` takes the run past it.
    /// @param gasGiven gas each transfer gets
    /// @param gasNeeded gas that must be in hand before each transfer
    /// @dev This loop is the settlement's marginal cost. It borrows memory 0x00 to 0x80 and gives it back as it was.
    function pay(Run memory run, address token, address charter, uint256 gasGiven, uint256 gasNeeded)
        internal
        returns (Stop why)
    {
        assembly ("memory-safe") {
            mstore(add(run, 0x140), mload(0x40))
            let source := mload(add(run, 0x40))
            let rest := mload(add(run, 0xe0))
            let sum := mload(add(run, 0x100))
            mstore(0x00, TRANSFER)
            for {} 1 {} {
                for {} rest {} {
                    if and(rest, 1) {
                        let entry := calldataload(source)
                        let to := shr(96, entry)
                        if or(or(iszero(to), eq(to, token)), or(eq(to, address()), eq(to, charter))) {
                            let bit := shl(shr(5, sub(source, mload(add(run, 0xc0)))), mload(add(run, 0x60)))
                            mstore(add(run, 0x120), or(mload(add(run, 0x120)), bit))
                            rest := shr(1, rest)
                            source := add(source, 0x20)
                            continue
                        }
                        if lt(gas(), gasNeeded) {
                            mstore(add(run, 0x160), 2)
                            break
                        }
                        // The amount is the word's lower 12 bytes: its upper 20 are blanked where they fall.
                        mstore(0x34, entry)
                        mstore(0x28, 0)
                        mstore(0x14, to)
                        let ok := call(gasGiven, token, 0, 0x10, 0x44, 0x60, 0x20)
                        if iszero(and(and(ok, eq(mload(0x60), 1)), gt(returndatasize(), 0x1f))) {
                            // Some old tokens return nothing at all; anything else is a refusal.
                            if or(iszero(ok), returndatasize()) {
                                mstore(add(run, 0x160), 1)
                                break
                            }
                        }
                        sum := add(sum, mload(0x34))
                    }
                    rest := shr(1, rest)
                    source := add(source, 0x20)
                }
                if rest { break }
                // On to the next bucket that is given, or out.
                let given := mload(add(run, 0x20))
                if iszero(given) { break }
                let wanted := mload(run)
                let bucket := mload(add(run, 0xa0))
                if iszero(and(given, 0xf)) {
                    for {} iszero(and(given, 0xffffffff)) {} {
                        given := shr(32, given)
                        wanted := shr(32, wanted)
                        bucket := shl(32, bucket)
                    }
                    for {} iszero(and(given, 0xf)) {} {
                        given := shr(4, given)
                        wanted := shr(4, wanted)
                        bucket := shl(4, bucket)
                    }
                }
                source := mload(add(run, 0x80))
                mstore(add(run, 0x60), bucket)
                mstore(add(run, 0xc0), source)
                switch and(given, add(given, 1))
                case 0 {
                    // All that is left stands side by side, as in a dense range: one stretch to the end.
                    rest := wanted
                    mstore(add(run, 0x20), 0)
                }
                default {
                    rest := and(wanted, 0xf)
                    mstore(run, shr(4, wanted))
                    mstore(add(run, 0x20), shr(4, given))
                    mstore(add(run, 0x80), add(source, 0x80))
                    mstore(add(run, 0xa0), shl(4, bucket))
                }
            }
            mstore(0x40, mload(add(run, 0x140)))
            mstore(0x60, 0)
            why := mload(add(run, 0x160))
            mstore(add(run, 0x160), 0)
            mstore(add(run, 0x40), source)
            mstore(add(run, 0xe0), rest)
            mstore(add(run, 0x100), sum)
        }
    }

    /// @notice Which of `wanted` name somebody who may be paid at all, and their sum. `words` hold the buckets that have
    /// a bit in `wanted`.
    function sumOf(uint256 wanted, bytes calldata words, address token, address charter)
        internal
        view
        returns (uint256 bits, uint256 sum)
    {
        uint256 at;
        for (uint256 i; i < 256; ++i) {
            if (i & 3 == 0 && wanted >> i & 0xf == 0) {
                i += 3;
                continue;
            }
            uint256 entry = uint256(bytes32(words[at:at + 32]));
            at += 32;
            address to = address(uint160(entry >> 96));
            bool refused = to == address(0) || to == token || to == address(this) || to == charter;
            if (wanted >> i & 1 == 0 || refused) continue;
            bits |= 1 << i;
            sum += uint96(entry);
        }
    }

    /// @notice One transfer, with exactly `gasGiven` gas. The token's answer is left in the return buffer.
    function send(address token, address to, uint256 amount, uint256 gasGiven) internal returns (bool ok) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0x00, TRANSFER)
            mstore(0x14, to)
            mstore(0x34, amount)
            ok := call(gasGiven, token, 0, 0x10, 0x44, 0x60, 0x20)
            ok := and(ok, or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0x60), 1))))
            mstore(0x40, free)
            mstore(0x60, 0)
        }
    }

    /// @notice The last call's answer, at most 256 bytes of it: a token must not make us pay for more.
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
