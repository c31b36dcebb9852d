// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ICharter} from "../interfaces/ICharter.sol";
import {Phase, Timers} from "../interfaces/Types.sol";
import {Domain} from "../lib/Domain.sol";

/// @notice What every settlement reads, the time constants, and the phase with its clock.
abstract contract Head is ICharter {
    /// @dev One slot.
    /// @param sequencer the sequencer that took `epoch`
    struct HeadSlot {
        Phase phase;
        uint64 epoch;
        uint32 sequencer;
        uint64 setVersion;
        uint64 phaseCounter;
    }

    /// @dev Seconds outside ACTIVE: those of finished outages, and when the present one began (0 in ACTIVE).
    struct Outage {
        uint64 finished;
        uint64 since;
    }

    /// @dev Longest W1 and W2, each: more would only hide a mistake in units.
    uint64 private constant MAX_WINDOW = 90 days;
    uint64 private constant MAX_FINALITY = 30 days;
    uint64 private constant MAX_TAKE_EPOCH_EVERY = 1 days;

    HeadSlot internal _head;
    Outage internal _outage;
    Timers internal _timers;

    // What trip and recover will remember. Their functions come next; nothing writes these yet.

    /// @dev When somebody first called an action due, by its hash; it may be taken W1/2 later.
    mapping(bytes32 action => uint64) internal _suspectedAt;
    uint64 internal _lastBeat;
    uint64 internal _lastRecovery;

    function _setTimers(Timers memory t) internal {
        if (t.w1 == 0 || t.w1 > MAX_WINDOW) revert BadConstitution("w1 must be 1 second to 90 days");
        if (t.w2 == 0 || t.w2 > MAX_WINDOW) revert BadConstitution("w2 must be 1 second to 90 days");
        if (t.finality > MAX_FINALITY) revert BadConstitution("finality must be at most 30 days");
        if (t.beatEvery > t.w1) revert BadConstitution("beatEvery must be at most w1");
        if (t.takeEpochEvery > MAX_TAKE_EPOCH_EVERY) revert BadConstitution("takeEpochEvery must be at most a day");
        _timers = t;
    }

    /// @dev The only way a phase changes. Time outside ACTIVE is counted, because closings recede by it.
    function _setPhase(Phase phase_) internal {
        if (_head.phase == Phase.ACTIVE) {
            _outage.since = uint64(block.timestamp);
        } else if (phase_ == Phase.ACTIVE) {
            _outage.finished += uint64(block.timestamp) - _outage.since;
            _outage.since = 0;
        }
        _head.phase = phase_;
        _head.phaseCounter += 1;
        emit PhaseChanged(phase_, _head.phaseCounter);
    }

    function epoch() external view returns (uint64) {
        return _head.epoch;
    }

    function phase() external view returns (Phase) {
        return _head.phase;
    }

    function phaseCounter() external view returns (uint64) {
        return _head.phaseCounter;
    }

    function setVersion() external view returns (uint64) {
        return _head.setVersion;
    }

    function inactiveSeconds() external view returns (uint64) {
        if (_outage.since == 0) return _outage.finished;
        return _outage.finished + uint64(block.timestamp) - _outage.since;
    }

    function timers() external view returns (Timers memory) {
        return _timers;
    }

    function domainSeparator() external view returns (bytes32) {
        return Domain.separator(address(this));
    }
}
