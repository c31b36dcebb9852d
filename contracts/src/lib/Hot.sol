// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Mode, RoundState} from "../interfaces/Types.sol";

/// @notice All that paying looks at of a round, in one word, read and written as a whole:
/// bits 0–127 remaining (total − paid − voided), 128–167 closesAt, 168–207 opensAt, 208–223 gate, 224–231 depth,
/// 232–239 mode, 240–247 state, 248–255 flags.
type Hot is uint256;

using {isOpen, isPlain, remaining, closesAt, opensAt, gate, depth, mode, state, flags} for Hot global;
using {withState, withClosesAt, withFlag, minus} for Hot global;

/// @dev Set for good once anything of the kind was ever done in the round: until then paying need not look.
uint256 constant HAS_VOIDS = 1;
uint256 constant HAS_HOLDS = 2;
uint256 constant WAS_PAUSED = 4;

function pack(uint128 remaining_, uint64 closesAt_, uint64 opensAt_, uint16 gate_, uint8 depth_, Mode mode_)
    pure
    returns (Hot)
{
    return Hot.wrap(
        uint256(remaining_) | uint256(uint40(closesAt_)) << 128 | uint256(uint40(opensAt_)) << 168
            | uint256(gate_) << 208 | uint256(depth_) << 224 | uint256(mode_) << 232
            | uint256(RoundState.PUBLISHED) << 240
    );
}

function remaining(Hot hot) pure returns (uint256) {
    return uint128(Hot.unwrap(hot));
}

function closesAt(Hot hot) pure returns (uint64) {
    return uint40(Hot.unwrap(hot) >> 128);
}

function opensAt(Hot hot) pure returns (uint64) {
    return uint40(Hot.unwrap(hot) >> 168);
}

function gate(Hot hot) pure returns (uint16) {
    return uint16(Hot.unwrap(hot) >> 208);
}

function depth(Hot hot) pure returns (uint256) {
    return uint8(Hot.unwrap(hot) >> 224);
}

function mode(Hot hot) pure returns (Mode) {
    return Mode(uint8(Hot.unwrap(hot) >> 232));
}

function state(Hot hot) pure returns (RoundState) {
    return RoundState(uint8(Hot.unwrap(hot) >> 240));
}

/// @dev `state() == OPEN`, without the range check of an enum conversion.
function isOpen(Hot hot) pure returns (bool) {
    return uint8(Hot.unwrap(hot) >> 240) == uint8(RoundState.OPEN);
}

/// @dev Open, not GATED and never paused: the common case, in one comparison.
function isPlain(Hot hot) pure returns (bool) {
    return Hot.unwrap(hot) >> 232 & (WAS_PAUSED << 16 | 0xff << 8 | 0xfe) == uint256(RoundState.OPEN) << 8;
}

function flags(Hot hot) pure returns (uint256) {
    return Hot.unwrap(hot) >> 248;
}

function withState(Hot hot, RoundState state_) pure returns (Hot) {
    return Hot.wrap(Hot.unwrap(hot) & ~(uint256(0xff) << 240) | uint256(state_) << 240);
}

function withClosesAt(Hot hot, uint64 closesAt_) pure returns (Hot) {
    return Hot.wrap(Hot.unwrap(hot) & ~(uint256(type(uint40).max) << 128) | uint256(uint40(closesAt_)) << 128);
}

function withFlag(Hot hot, uint256 flag) pure returns (Hot) {
    return Hot.wrap(Hot.unwrap(hot) | flag << 248);
}

/// @dev Takes `sum` from what remains; the caller has checked that there is as much.
function minus(Hot hot, uint256 sum) pure returns (Hot) {
    unchecked {
        return Hot.wrap(Hot.unwrap(hot) - sum);
    }
}
