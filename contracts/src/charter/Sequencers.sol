// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {LogKey, LogKeyView, Phase, SequencerKeys, SequencerView} from "../interfaces/Types.sol";
import {Institutions} from "./Institutions.sol";

/// @notice Sequencers, their lanes, epochs, and the keys that sign the log.
abstract contract Sequencers is Institutions {
    /// @dev Settlement accounts of one sequencer: a campaign belongs to one lane, and 16 are looped over on removal.
    uint256 private constant MAX_LANES = 16;
    /// @dev Sequencers and log keys ever, the removed ones included: `constitution` returns all of them.
    uint256 private constant MAX_SEQUENCERS = 256;
    uint256 private constant MAX_LOG_KEYS = 256;
    uint256 private constant MAX_KEY_NAME = 128;
    /// @dev A database may have raised its epoch often while the chain was away; more than this is a mistake or a theft.
    uint64 private constant MAX_EPOCH_STEP = 1000;
    /// @dev Epochs one control key may take in a row before `takeEpochEvery` holds it back.
    uint64 private constant EPOCH_BURST = 8;

    struct Sequencer {
        address control;
        bool removed;
        /// @dev When its allowance of epochs will be whole again.
        uint64 fullAt;
        address[] lanes;
    }

    Sequencer[] private _sequencers;
    uint256 internal _liveSequencers;
    LogKeyView[] private _logKeys;
    /// @dev 1 + place in `_logKeys`.
    mapping(bytes32 key => uint256) private _logKeyAt;
    mapping(address account => uint32) public laneOf;
    mapping(address account => uint32) public controlOf;
    mapping(uint64 epoch => uint32) public sequencerOf;

    function takeEpoch(uint64 epoch_) external {
        if (_head.phase != Phase.ACTIVE) revert WrongPhase(_head.phase);
        uint32 id = controlOf[msg.sender];
        if (id == 0) revert NotAControlKey(msg.sender);
        _takeEpoch(id, epoch_);
    }

    function requireSettler(uint64 epoch_, address account) external view returns (bool exit) {
        Phase phase_ = _head.phase;
        if (phase_ == Phase.EXIT) return true;
        if (phase_ != Phase.ACTIVE) revert WrongPhase(phase_);
        if (epoch_ != _head.epoch) revert StaleEpoch(epoch_, _head.epoch);
        uint32 lane = laneOf[account];
        if (lane == 0 || lane != _head.sequencer) revert NotALane(account);
        return false;
    }

    function _takeEpoch(uint32 id, uint64 epoch_) internal {
        uint64 current = _head.epoch;
        if (epoch_ <= current || epoch_ > current + MAX_EPOCH_STEP) revert EpochOutOfRange(epoch_, current);
        _spendAllowance(_sequencers[id - 1]);
        _head.epoch = epoch_;
        _head.sequencer = id;
        sequencerOf[epoch_] = id;
        emit EpochTaken(epoch_, id, _sequencers[id - 1].control);
    }

    /// @dev A stolen control key can fence the right sequencer only so often until it is removed.
    function _spendAllowance(Sequencer storage s) private {
        uint64 every = _timers.takeEpochEvery;
        if (every == 0) return;
        uint64 now_ = uint64(block.timestamp);
        uint64 fullAt = (s.fullAt > now_ ? s.fullAt : now_) + every;
        if (fullAt > now_ + EPOCH_BURST * every) revert EpochRateLimited(fullAt - EPOCH_BURST * every);
        s.fullAt = fullAt;
    }

    function _addSequencer(SequencerKeys memory keys) internal {
        if (_sequencers.length == MAX_SEQUENCERS) revert BadConstitution("at most 256 sequencers ever");
        if (keys.control == address(0)) revert BadConstitution("a control key must not be zero");
        if (controlOf[keys.control] != 0) revert BadConstitution("a control key is used twice");
        _sequencers.push();
        uint32 id = uint32(_sequencers.length);
        _sequencers[id - 1].control = keys.control;
        controlOf[keys.control] = id;
        _liveSequencers += 1;
        _setLanes(id, keys.lanes);
        emit SequencerAdded(id, keys.control, keys.lanes);
    }

    function _setLanes(uint32 id, address[] memory lanes) internal {
        Sequencer storage s = _live(id);
        if (lanes.length == 0 || lanes.length > MAX_LANES) revert BadConstitution("lanes must number 1 to 16");
        _forgetLanes(s);
        for (uint256 i; i < lanes.length; ++i) {
            if (lanes[i] == address(0)) revert BadConstitution("a lane must not be zero");
            if (laneOf[lanes[i]] != 0) revert BadConstitution("an account is a lane already");
            laneOf[lanes[i]] = id;
        }
        s.lanes = lanes;
    }

    /// @dev Its epoch stays taken but nobody is its lane any more, so nothing settles until another takes one.
    function _removeSequencer(uint32 id) internal {
        Sequencer storage s = _live(id);
        _forgetLanes(s);
        delete s.lanes;
        delete controlOf[s.control];
        s.removed = true;
        _liveSequencers -= 1;
        emit SequencerRemoved(id);
    }

    function _live(uint32 id) internal view returns (Sequencer storage s) {
        if (id == 0 || id > _sequencers.length) revert UnknownSequencer(id);
        s = _sequencers[id - 1];
        if (s.removed) revert UnknownSequencer(id);
    }

    function _forgetLanes(Sequencer storage s) private {
        for (uint256 i; i < s.lanes.length; ++i) delete laneOf[s.lanes[i]];
    }

    function _changeLogKeys(LogKey[] memory add, bytes32[] memory revoke) internal {
        for (uint256 i; i < revoke.length; ++i) {
            uint256 at = _logKeyAt[revoke[i]];
            if (at == 0 || _logKeys[at - 1].revokedAt != 0) revert BadConstitution("no such log key is in force");
            _logKeys[at - 1].revokedAt = uint64(block.timestamp);
            emit LogKeyRevoked(revoke[i]);
        }
        for (uint256 i; i < add.length; ++i) {
            if (_logKeys.length == MAX_LOG_KEYS) revert BadConstitution("at most 256 log keys ever");
            if (add[i].key == 0 || _logKeyAt[add[i].key] != 0) revert BadConstitution("a log key is zero or was used");
            if (bytes(add[i].name).length > MAX_KEY_NAME) revert BadConstitution("a key name is above 128 bytes");
            _logKeys.push(LogKeyView(add[i].key, uint64(block.timestamp), 0, add[i].name));
            _logKeyAt[add[i].key] = _logKeys.length;
            emit LogKeyAdded(add[i].key, add[i].name);
        }
    }

    function _allSequencers() internal view returns (SequencerView[] memory all) {
        all = new SequencerView[](_sequencers.length);
        for (uint256 i; i < all.length; ++i) {
            Sequencer storage s = _sequencers[i];
            all[i] = SequencerView(uint32(i + 1), s.removed, s.control, s.lanes);
        }
    }

    function _allLogKeys() internal view returns (LogKeyView[] memory) {
        return _logKeys;
    }
}
