// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {
    Approval,
    ChangeKind,
    Constitution,
    Founding,
    Institution,
    LogKey,
    Phase,
    Quorum,
    SequencerKeys,
    Timers
} from "./Types.sol";

/// @title Charter: who may do what, for one stream on one chain
/// @notice Institutions and their keys, sequencers and their lanes, epochs, log keys, registered Distributors and the
/// phase. It holds no money and nobody owns it. Signatures are EIP-712 in the domain
/// {name: "Sluice", version: "1", chainId, verifyingContract: this}; the typed structs are in `Actions`, who must sign them in `Notary`.
interface ICharter {
    /// @notice The signatures bind another set version than the one in force: collect them again.
    error StaleSetVersion(uint64 given, uint64 current);
    /// @notice The signatures' deadline has passed.
    error ApprovalExpired(uint64 deadline);
    /// @notice A signer that belongs to no institution.
    error NotAnAuthority(bytes signer);
    /// @notice A signature that does not prove its signer's consent to this action.
    error BadAuthoritySignature(bytes signer);
    /// @notice Too few distinct institutions signed.
    error QuorumMissed(uint256 institutions, uint256 needed);
    /// @notice An approval that may serve once has served.
    error AlreadyUsed(bytes32 action);
    /// @notice The institutions, their signers or the threshold break a rule; `rule` names it.
    error BadConstitution(string rule);
    /// @notice The Charter has its founding content.
    error AlreadyFounded();
    /// @notice Another founding content than the one the Charter was deployed for, each by its hash.
    error OtherFounding(bytes32 given, bytes32 wanted);
    /// @notice The call is not possible in this phase.
    error WrongPhase(Phase phase);
    /// @notice A settlement under an epoch that is not the current one.
    error StaleEpoch(uint64 given, uint64 current);
    /// @notice An epoch that is not above the current one, or too far above it.
    error EpochOutOfRange(uint64 given, uint64 current);
    /// @notice This control key took epochs too often; `until` is when it may again.
    error EpochRateLimited(uint64 until);
    /// @notice The account is not a lane of the current epoch's sequencer.
    error NotALane(address account);
    /// @notice The account is no sequencer's control key.
    error NotAControlKey(address account);
    /// @notice No such sequencer, or it was removed.
    error UnknownSequencer(uint32 id);
    /// @notice The last sequencer goes only together with its replacement.
    error LastSequencer();
    /// @notice The Distributor is registered already.
    error AlreadyRegistered(address distributor);
    /// @notice The contract is not a Distributor of this Charter.
    error NotOurDistributor(address distributor);
    /// @notice No change is scheduled under this id.
    error UnknownChange(bytes32 id);
    /// @notice The change may be applied only inside [readyAt, expiresAt].
    error ChangeNotReady(uint64 readyAt, uint64 expiresAt);

    /// @notice The constitution changed: every signature collected under an older version is void.
    event SetChanged(uint64 indexed setVersion, ChangeKind kind);
    /// @notice A change was approved and may be applied from `readyAt` on, seconds.
    event ChangeScheduled(bytes32 indexed id, ChangeKind kind, uint64 readyAt, bytes data);
    /// @notice A scheduled change was withdrawn.
    event ChangeCancelled(bytes32 indexed id);
    /// @notice A sequencer took the chain's epoch: settlements of older epochs revert from here on.
    event EpochTaken(uint64 indexed epoch, uint32 indexed sequencer, address control);
    /// @notice A sequencer may work here.
    event SequencerAdded(uint32 indexed id, address control, address[] lanes);
    /// @notice A sequencer's settlement accounts were replaced.
    event LanesChanged(uint32 indexed id, address[] lanes);
    /// @notice A sequencer and all its lanes are out.
    event SequencerRemoved(uint32 indexed id);
    /// @notice A log key is in force.
    event LogKeyAdded(bytes32 indexed key, string name);
    /// @notice A log key no longer signs for this stream.
    event LogKeyRevoked(bytes32 indexed key);
    /// @notice A Distributor belongs to this Charter.
    event DistributorRegistered(address indexed distributor);
    /// @notice The phase changed.
    event PhaseChanged(Phase indexed phase, uint64 phaseCounter);

    /// @notice Gives the Charter its founding content, which its constructor named by hash. Anyone, once; before it nothing
    /// else can be done here.
    function found(Founding calldata f) external;

    /// @notice Takes `epoch` for the calling control key's sequencer.
    /// @param epoch above the current epoch by at most 1,000: the number won in the database
    function takeEpoch(uint64 epoch) external;

    /// @notice Registers a Distributor that names this Charter. Takes M.
    function registerDistributor(address distributor, Approval calldata approval) external;

    /// @notice Removes a sequencer with all its lanes, at once. Takes floor(N/3)+1. Does not raise the set version, so
    /// that a minority cannot spoil signatures being collected.
    /// @param replacement none or one; the last sequencer goes only with one
    function removeSequencer(uint32 id, SequencerKeys[] calldata replacement, Approval calldata approval) external;

    /// @notice Schedules a new set of institutions and its publish threshold. Takes ceil(3N/4); 7 days.
    function scheduleAuthorities(
        Institution[] calldata institutions,
        uint8 publishThreshold,
        Approval calldata approval
    ) external returns (bytes32 id);

    /// @notice Schedules one more sequencer. Takes ceil(3N/4); 7 days.
    function scheduleSequencer(SequencerKeys calldata keys, Approval calldata approval) external returns (bytes32 id);

    /// @notice Schedules the full new list of a sequencer's lanes. Takes ceil(3N/4); 7 days.
    function scheduleLanes(uint32 sequencer, address[] calldata lanes, Approval calldata approval)
        external
        returns (bytes32 id);

    /// @notice Schedules log keys to add and to revoke. Takes ceil(3N/4); 7 days.
    function scheduleLogKeys(LogKey[] calldata add, bytes32[] calldata revoke, Approval calldata approval)
        external
        returns (bytes32 id);

    /// @notice Lets everybody out: from here on anyone settles and wallets pay themselves. Takes floor(N/2)+1, any time.
    /// The signatures bind the phase counter and a free nonce, never the epoch, so nobody can spoil them by acting first.
    /// @param reason why, in words; signed, and readable in the call
    function exit(string calldata reason, uint64 counter, uint256 nonce, Approval calldata approval) external;

    /// @notice Schedules the way back from EXIT to ACTIVE. Takes ceil(3N/4); 24 hours, then `applyChange`.
    function scheduleResume(uint64 counter, uint256 nonce, Approval calldata approval) external returns (bytes32 id);

    /// @notice Withdraws a scheduled change. Takes floor(N/3)+1: as many as could have refused it.
    function cancelChange(bytes32 id, Approval calldata approval) external;

    /// @notice Applies a scheduled change whose time has come. Anyone.
    function applyChange(bytes32 id) external;

    /// @notice Proves that `quorum` distinct institutions approved an action; reverts otherwise.
    /// @param structHash EIP-712 hash of the action's struct, which carries the approval's set version and deadline
    /// @return institutions bit i is set if institution i signed
    function requireQuorum(Quorum quorum, bytes32 structHash, Approval calldata approval)
        external
        view
        returns (uint256 institutions);

    /// @notice Who may settle now. ACTIVE: only a lane of the current epoch's sequencer. TRIPPED: reverts. EXIT: anyone.
    /// @return exit true in EXIT, where epochs and batch numbers mean nothing
    function requireSettler(uint64 epoch, address account) external view returns (bool exit);

    /// @notice The whole constitution in one answer.
    function constitution() external view returns (Constitution memory);

    /// @notice The current epoch; 0 until the first is taken.
    function epoch() external view returns (uint64);

    /// @notice The current phase.
    function phase() external view returns (Phase);

    /// @notice Raised by every change of phase; bound by the signatures of exit, recover and resume.
    function phaseCounter() external view returns (uint64);

    /// @notice Seconds this Charter has spent outside ACTIVE so far; closings recede by them.
    function inactiveSeconds() external view returns (uint64);

    /// @notice Raised by every applied change of the constitution; starts at 1.
    function setVersion() external view returns (uint64);

    /// @notice The sequencer that took `epoch`, or 0.
    function sequencerOf(uint64 epoch) external view returns (uint32);

    /// @notice The sequencer an account settles for, or 0.
    function laneOf(address account) external view returns (uint32);

    /// @notice The sequencer a control key belongs to, or 0.
    function controlOf(address account) external view returns (uint32);

    /// @notice 1 + the institution a signer speaks for, or 0.
    function institutionOf(bytes calldata signer) external view returns (uint256);

    /// @notice How many institutions there are (N).
    function institutionCount() external view returns (uint256);

    /// @notice How many institutions `quorum` takes now.
    function quorumOf(Quorum quorum) external view returns (uint256);

    /// @notice Whether M of N registered this Distributor.
    function isRegistered(address distributor) external view returns (bool);

    /// @notice The contract that knows what each action's signatures are over and whose it takes.
    function notary() external view returns (address);

    /// @notice The contract that keeps holds and what few institutions may do of them: see IWarden.
    function warden() external view returns (address);

    /// @notice The time constants.
    function timers() external view returns (Timers memory);

    /// @notice EIP-712 domain separator on the present chain.
    function domainSeparator() external view returns (bytes32);
}
