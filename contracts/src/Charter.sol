// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IDistributor} from "./interfaces/IDistributor.sol";
import {
    Approval,
    ChangeKind,
    Constitution,
    Founding,
    Institution,
    LogKey,
    Phase,
    Quorum,
    SequencerKeys
} from "./interfaces/Types.sol";
import {Notarized} from "./lib/Notarized.sol";
import {Notary} from "./Notary.sol";
import {Warden} from "./Warden.sol";
import {Sequencers} from "./charter/Sequencers.sol";

/// @title Charter: the constitution of one stream on one chain
/// @notice See ICharter. Everything that changes the constitution is scheduled here for 7 days and then applied.
contract Charter is Sequencers {
    /// @dev Time between approval of a change and the first moment it may be applied: time to see it and to leave.
    uint64 public constant CHANGE_DELAY = 7 days;
    /// @dev The same for the way back from EXIT, which takes nothing from anybody.
    uint64 public constant RESUME_DELAY = 24 hours;
    /// @dev An approved change that nobody applied lapses, so that it cannot be sprung years later.
    uint64 public constant CHANGE_WINDOW = 14 days;

    struct Change {
        ChangeKind kind;
        uint64 readyAt;
        uint64 setVersion;
        bytes data;
    }

    address public immutable notary = address(new Notary());
    address public immutable warden = address(new Warden());

    mapping(bytes32 id => Change) private _changes;
    mapping(address distributor => bool) public isRegistered;

    /// @dev keccak256 of the ABI-encoded founding content. A transaction that deploys has room for 49,152 bytes (EIP-3860):
    /// code that serves once, and a content without bound, would not fit beside the Notary's and the Warden's.
    bytes32 private immutable FOUNDING;

    constructor(bytes32 founding) {
        FOUNDING = founding;
    }

    /// @dev Until then the set version is 0, there is nobody to count, and every quorum is refused.
    function found(Founding calldata) external {
        if (_head.setVersion != 0) revert AlreadyFounded();
        // The very bytes that were promised; what they decode to follows.
        bytes32 given = keccak256(msg.data[4:]);
        if (given != FOUNDING) revert OtherFounding(given, FOUNDING);
        Founding memory f = abi.decode(msg.data[4:], (Founding));
        _head.setVersion = 1;
        _setTimers(f.timers);
        _setInstitutions(f.institutions, f.publishThreshold);
        if (f.sequencers.length == 0) revert BadConstitution("a Charter needs a sequencer");
        for (uint256 i; i < f.sequencers.length; ++i) _addSequencer(f.sequencers[i]);
        _changeLogKeys(f.logKeys, new bytes32[](0));
        emit SetChanged(1, ChangeKind.AUTHORITIES);
    }

    function registerDistributor(address distributor, Approval calldata) external {
        if (isRegistered[distributor]) revert AlreadyRegistered(distributor);
        Notarized.require_(notary);
        if (distributor.code.length == 0 || IDistributor(distributor).charter() != address(this)) {
            revert NotOurDistributor(distributor);
        }
        isRegistered[distributor] = true;
        emit DistributorRegistered(distributor);
    }

    function removeSequencer(uint32 id, SequencerKeys[] calldata replacement, Approval calldata) external {
        if (replacement.length > 1) revert BadConstitution("at most one replacement");
        Notarized.require_(notary);
        // The old one first, so that its replacement may take over accounts that were not the cause.
        _removeSequencer(id);
        if (replacement.length == 1) _addSequencer(replacement[0]);
        if (_liveSequencers == 0) revert LastSequencer();
    }

    function scheduleAuthorities(
        Institution[] calldata institutions,
        uint8 publishThreshold,
        Approval calldata approval
    ) external returns (bytes32 id) {
        return _schedule(ChangeKind.AUTHORITIES, abi.encode(institutions, publishThreshold), approval.setVersion);
    }

    function scheduleSequencer(SequencerKeys calldata keys, Approval calldata approval)
        external
        returns (bytes32 id)
    {
        return _schedule(ChangeKind.ADD_SEQUENCER, abi.encode(keys), approval.setVersion);
    }

    function scheduleLanes(uint32 sequencer, address[] calldata lanes, Approval calldata approval)
        external
        returns (bytes32 id)
    {
        return _schedule(ChangeKind.LANES, abi.encode(sequencer, lanes), approval.setVersion);
    }

    function scheduleLogKeys(LogKey[] calldata add, bytes32[] calldata revoke, Approval calldata approval)
        external
        returns (bytes32 id)
    {
        return _schedule(ChangeKind.LOG_KEYS, abi.encode(add, revoke), approval.setVersion);
    }

    function exit(string calldata, uint64, uint256, Approval calldata) external {
        if (_head.phase == Phase.EXIT) revert WrongPhase(Phase.EXIT);
        Notarized.require_(notary);
        _setPhase(Phase.EXIT);
    }

    function scheduleResume(uint64 counter, uint256, Approval calldata approval) external returns (bytes32 id) {
        if (_head.phase != Phase.EXIT) revert WrongPhase(_head.phase);
        return _schedule(ChangeKind.RESUME, abi.encode(counter), approval.setVersion);
    }

    function cancelChange(bytes32 id, Approval calldata) external {
        if (_changes[id].readyAt == 0) revert UnknownChange(id);
        Notarized.require_(notary);
        // The entry stays as used, so that the same signatures cannot schedule it again.
        delete _changes[id].data;
        _changes[id].readyAt = 0;
        emit ChangeCancelled(id);
    }

    function applyChange(bytes32 id) external {
        Change storage change = _changes[id];
        uint64 readyAt = change.readyAt;
        if (readyAt == 0) revert UnknownChange(id);
        if (block.timestamp < readyAt || block.timestamp > readyAt + CHANGE_WINDOW) {
            revert ChangeNotReady(readyAt, readyAt + CHANGE_WINDOW);
        }
        if (change.setVersion != _head.setVersion) revert StaleSetVersion(change.setVersion, _head.setVersion);
        change.readyAt = 0;
        if (change.kind == ChangeKind.RESUME) {
            _resume(abi.decode(change.data, (uint64)));
        } else {
            _head.setVersion += 1;
            _apply(change.kind, change.data);
            emit SetChanged(_head.setVersion, change.kind);
        }
        delete change.data;
    }

    /// @dev The phase may have moved since the signatures were given: they were for the exit they name.
    function _resume(uint64 counter) private {
        if (_head.phase != Phase.EXIT || _head.phaseCounter != counter) revert WrongPhase(_head.phase);
        _setPhase(Phase.ACTIVE);
    }

    function _schedule(ChangeKind kind, bytes memory data, uint64 version) private returns (bytes32 id) {
        (id,) = Notarized.require_(notary);
        if (_changes[id].setVersion != 0) revert AlreadyUsed(id);
        uint64 delay = kind == ChangeKind.RESUME ? RESUME_DELAY : CHANGE_DELAY;
        uint64 readyAt = uint64(block.timestamp) + delay;
        _changes[id] = Change(kind, readyAt, version, data);
        emit ChangeScheduled(id, kind, readyAt, data);
    }

    function _apply(ChangeKind kind, bytes memory data) private {
        if (kind == ChangeKind.AUTHORITIES) {
            (Institution[] memory institutions, uint8 threshold) = abi.decode(data, (Institution[], uint8));
            _setInstitutions(institutions, threshold);
        } else if (kind == ChangeKind.ADD_SEQUENCER) {
            _addSequencer(abi.decode(data, (SequencerKeys)));
        } else if (kind == ChangeKind.LANES) {
            (uint32 sequencer, address[] memory lanes) = abi.decode(data, (uint32, address[]));
            _setLanes(sequencer, lanes);
            emit LanesChanged(sequencer, lanes);
        } else {
            (LogKey[] memory add, bytes32[] memory revoke) = abi.decode(data, (LogKey[], bytes32[]));
            _changeLogKeys(add, revoke);
        }
    }

    function constitution() external view returns (Constitution memory c) {
        c.phase = _head.phase;
        c.epoch = _head.epoch;
        c.setVersion = _head.setVersion;
        c.phaseCounter = _head.phaseCounter;
        for (uint256 i; i < 5; ++i) c.quorums[i] = uint8(quorumOf(Quorum(i)));
        c.institutions = _allInstitutions();
        c.sequencers = _allSequencers();
        c.logKeys = _allLogKeys();
        c.timers = _timers;
    }
}
