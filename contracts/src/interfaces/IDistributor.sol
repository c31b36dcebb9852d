// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {
    Approval,
    DistributorTerms,
    GateWord,
    Mode,
    Phase,
    Redirect,
    RoundState,
    RoundTerms,
    RoundView,
    SparseWord
} from "./Types.sol";

/// @title Distributor: holds one campaign's tokens and pays each entitlement at most once
/// @notice Entitlements are addressed by (round, index) and marked in bitmaps; amounts are base units. Wallets sign
/// EIP-712 `Claim(uint256 round,uint256 index,address recipient,address to,uint96 amount,uint64 deadline)` in the domain
/// {name: "Sluice", version: "1", chainId, verifyingContract: this}; authorities sign in the Charter's domain.
interface IDistributor {
    /// @notice A term of the deployment breaks a rule; `rule` names it.
    error BadTerms(string rule);
    /// @notice The clone implementation was called directly.
    error NotAClone();
    /// @notice A call from inside a call.
    error Reentered();
    /// @notice Publication names another round than the next one.
    error WrongRound(uint256 given, uint256 next);
    /// @notice A term of the round breaks a rule; `rule` names it.
    error BadRound(string rule);
    /// @notice The round's state does not allow this.
    error WrongState(uint256 round, RoundState state);
    /// @notice Not before `at`, seconds.
    error TooEarly(uint64 at);
    /// @notice Wallets' claims ended at `at`, seconds.
    error Closed(uint64 at);
    /// @notice The round's mode does not allow this call.
    error WrongMode(uint256 round, Mode mode);
    /// @notice The tokens here do not cover what open rounds owe.
    error Underfunded(uint256 balance, uint256 needed);
    /// @notice The batch number is not the next one.
    error WrongBatch(uint64 given, uint64 next);
    /// @notice `index` is not below 4·2^depth, or the range is not aligned.
    error IndexOutOfRange(uint256 index);
    /// @notice The input is not exactly 128 bytes a bucket.
    error BadInputLength(uint256 given, uint256 expected);
    /// @notice The proof is not exactly as long as the tree demands.
    error BadProofLength(uint256 given, uint256 expected);
    /// @notice The data does not lead to the round's root.
    error BadProof();
    /// @notice The round would pay more than its total.
    error TotalExceeded(uint256 round, uint256 remaining, uint256 wanted);
    /// @notice Too little gas for one transfer: send more.
    error TooLittleGas(uint256 gasLeft, uint256 needed);
    /// @notice Every attempted transfer failed; the first failure's return data.
    error NothingPaid(bytes reason);
    /// @notice The token refused the transfer.
    error TransferFailed(bytes reason);
    /// @notice The entitlement is paid already.
    error AlreadyPaid(uint256 round, uint256 index);
    /// @notice The entitlement was annulled.
    error AlreadyVoid(uint256 round, uint256 index);
    /// @notice The entitlement is held.
    error Held(uint256 round, uint256 index);
    /// @notice Padding, or a recipient that is never paid: zero, the token, this contract, the Charter.
    error NotPayable(uint256 round, uint256 index);
    /// @notice `to` may not be zero, the token, this contract or the Charter.
    error BadDestination(address to);
    /// @notice Only the recipient itself may call this.
    error NotRecipient(address caller, address recipient);
    /// @notice Wallets may pay themselves here only while the Charter is not ACTIVE.
    error ClaimsNotOpen(Phase phase);
    /// @notice The claim's deadline has passed.
    error ClaimExpired(uint64 deadline);
    /// @notice The signature is not the recipient's consent to this claim.
    error BadClaimSignature(address recipient);
    /// @notice Only in phase ACTIVE.
    error NotActive(Phase phase);
    /// @notice Payments are paused until then, seconds.
    error Paused(uint64 until);
    /// @notice Only before any round was opened.
    error AlreadyOpened();
    /// @notice An approval that may serve once has served.
    error AlreadyUsed(bytes32 action);
    /// @notice The campaign's own token is never rescued.
    error OwnToken();
    /// @notice The gate's word does not cover all of these entitlements. In `settleGated`, where a word is its chunk's, that is
    /// a bad signature.
    error NotApproved(uint256 round, uint256 word, uint256 mask);
    /// @notice The gate's word has expired.
    error GateExpired(uint64 expiry);
    /// @notice The gate version is disabled until then, seconds.
    error GateOff(uint16 gateVersion, uint64 until);
    /// @notice The signature is not that of the round's gate version over this word.
    error BadGateSignature(uint16 gateVersion);
    /// @notice Holds stand on the round: end them first.
    error HoldsStand(uint256 round, uint256 holds);

    /// @notice A round was published; `terms` as signed.
    event RoundPublished(uint256 indexed round, RoundTerms terms, uint64 publishedAt);
    /// @notice A round is open: its entitlements may be paid.
    event RoundOpened(uint256 indexed round, uint256 balance, uint256 owed);
    /// @notice A round will never open; `vetoed` if by veto.
    event RoundCancelled(uint256 indexed round, bool vetoed);
    /// @notice A round closes later, seconds.
    event ClosingExtended(uint256 indexed round, uint64 closesAt);
    /// @notice A sequencer's batch was settled. `logRoot` is evidence only.
    event BatchSettled(uint64 indexed batchNo, uint64 epoch, bytes32 logRoot);
    /// @notice The entitlements of one word that this call really paid to their recipients.
    event Settled(uint256 indexed round, uint256 indexed word, uint256 mask);
    /// @notice An entitlement could not be paid and may be paid later; `reason` is the token's return data or our error.
    event ItemSkipped(uint256 indexed round, uint256 index, bytes reason);
    /// @notice An entitlement was paid where its recipient signed, in a batch.
    event Redirected(uint256 indexed round, uint256 index, address to);
    /// @notice An entitlement was paid by claim.
    event Claimed(uint256 indexed round, uint256 index, address to);
    /// @notice Entitlements were annulled without pay; `amount` base units are free again.
    event Voided(uint256 indexed round, uint256 indexed word, uint256 mask, uint256 amount);
    /// @notice A round is over: `amount` went back to the refund address.
    event Swept(uint256 indexed round, uint256 amount);
    /// @notice Tokens went back before the first opening.
    event Withdrawn(uint256 amount);
    /// @notice A foreign token went to the refund address.
    event Rescued(address indexed token, uint256 amount);
    /// @notice A gate version is installed, for good.
    event GateInstalled(uint16 indexed gateVersion, bytes signer, bytes32 rulesHash);
    /// @notice A gate version does not count until then, seconds; a time that is past: it counts again.
    event GateDisabled(uint16 indexed gateVersion, uint64 until, uint256 institutions);
    /// @notice Entitlements are held, at least until `until`, seconds. `institutions` is who signed, as a bitmap.
    event HoldPlaced(
        uint256 indexed hold,
        uint256 indexed round,
        uint256 indexed word,
        uint256 mask,
        uint64 until,
        uint256 institutions,
        bytes32 reason
    );
    /// @notice A hold was confirmed or renewed.
    event HoldConfirmed(uint256 indexed hold, uint64 until, uint256 institutions);
    /// @notice A hold ended: released by `institutions`, or lapsed if that is zero.
    event HoldEnded(
        uint256 indexed hold, uint256 indexed round, uint256 indexed word, uint256 mask, uint256 institutions
    );
    /// @notice The whole campaign is held until then, seconds, the exit included.
    event CampaignHeld(uint64 until, uint256 institutions);
    /// @notice Payments are paused until then, seconds; in EXIT they go on.
    event PauseSet(uint64 until, uint256 institutions);

    /// @notice Publishes the next round. Takes M. Rounds count from 1.
    function publish(uint256 roundNo, RoundTerms calldata terms, Approval calldata approval) external;

    /// @notice Opens a round whose time has come and whose money is here. Anyone.
    function open(uint256 roundNo) external;

    /// @notice Cancels a round before it opens. Takes M.
    function cancel(uint256 roundNo, Approval calldata approval) external;

    /// @notice Vetoes a round before it opens. Takes floor(N/3)+1.
    function veto(uint256 roundNo, Approval calldata approval) external;

    /// @notice Moves a closing to later. Takes M.
    function extendClosing(uint256 roundNo, uint64 closesAt, Approval calldata approval) external;

    /// @notice Pays a whole aligned range of a PUSH round: 2^levels buckets from entitlement `start` on.
    /// @param epoch the sequencer's epoch (ignored in EXIT, as are `batchNo` and `logRoot`)
    /// @param batchNo this Distributor's next batch number
    /// @param logRoot checkpoint root, evidence only
    /// @param words 128 bytes a bucket, entitlement by entitlement
    /// @param path depth − levels sibling hashes, from the range up
    function settle(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        uint256 roundNo,
        uint256 start,
        uint8 levels,
        bytes calldata words,
        bytes32[] calldata path
    ) external;

    /// @notice Pays chosen entitlements of PUSH and PULL rounds to their recipients.
    function settleSparse(uint64 epoch, uint64 batchNo, bytes32 logRoot, SparseWord[] calldata chunks) external;

    /// @notice Pays chosen entitlements of GATED rounds to their recipients.
    /// @param gates the gate's word for each chunk, in the same order and packed, for calldata is most of what a word
    /// costs beside its signature. Each is: two bytes, of which the lower fifteen bits are the signature's length and the
    /// highest says that the rules differ from those of the word before (which are zero before the first); asOfSeq, eight bytes;
    /// expiry, eight bytes; the mask less the chunk's own, 32 bytes; the round's rules hash, 32 bytes, if it differs; the
    /// signature. Round, word and the mask's other bits are the chunk's.
    function settleGated(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        SparseWord[] calldata chunks,
        bytes calldata gates
    ) external;

    /// @notice Pays entitlements where their recipients signed. An item whose claim is not valid now is skipped.
    /// @param gates for items of GATED rounds: a gate's words that cover them; empty otherwise
    function settleTo(
        uint64 epoch,
        uint64 batchNo,
        bytes32 logRoot,
        Redirect[] calldata items,
        GateWord[] calldata gates
    ) external;

    /// @notice Pays the caller its own entitlement.
    /// @dev `index` is a uint64 here because that makes the selector the second lowest: the compiler looks selectors up
    /// in ascending order, and each one passed costs 22 gas.
    /// @param bucket the four words of the bucket that holds it
    /// @param proof depth sibling hashes, from the bucket up
    function claim(uint256 roundNo, uint64 index, bytes32[4] calldata bucket, bytes32[] calldata proof) external;

    /// @notice Pays a recipient that signed `Claim` with to = recipient. Anyone may carry it.
    function claimFor(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice Pays where the recipient signed. Anyone may carry it.
    function claimTo(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        address to,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice Pays an entitlement of a GATED round that its gate approved: to the calling recipient itself (then the
    /// recipient's signature is not looked at), else where the recipient signed.
    function claimAttested(
        uint256 roundNo,
        uint256 index,
        bytes32[4] calldata bucket,
        bytes32[] calldata proof,
        address to,
        uint64 deadline,
        bytes calldata signature,
        GateWord calldata gate
    ) external;

    /// @notice Installs a gate version for good. Takes M. A new key is a new version; rounds keep theirs.
    /// @param gateVersion 1 to 65,535, not used before
    /// @param signer the gate's key (ERC-7913), which is not a sequencer's
    function installGate(uint16 gateVersion, bytes calldata signer, bytes32 rulesHash, Approval calldata approval)
        external;

    /// @notice Lets a gate version not count until `until`, seconds. One institution alone, in ACTIVE only: 72 hours in
    /// all; M: 30 days, and to an earlier time; ceil(3N/4): 30 days more.
    /// @param together how many institutions act (here and in what follows). It is signed: fewer signatures are worth
    /// nothing, more are worth no more, so none serves an act of another strength
    /// @param nonce any number not used before with the same fields (here and in what follows)
    function disableGate(uint16 gateVersion, uint64 until, uint8 together, uint256 nonce, Approval calldata approval)
        external;

    /// @notice Holds unpaid entitlements of one word; those paid, void or held drop out. One institution alone, in
    /// ACTIVE and until the round's grace is over: 72 hours, 256 entitlements in any 72 hours, each once. M: 30 days, a
    /// second time ceil(3N/4); it takes over what single institutions hold, and a hold that loses all to it has ended,
    /// without an event of its own.
    /// @param reason hash of the reason, which is not on chain
    /// @return id of the hold
    function hold(
        uint256 roundNo,
        uint256 word,
        uint256 mask,
        bytes32 reason,
        uint8 together,
        uint256 nonce,
        Approval calldata approval
    ) external returns (uint256 id);

    /// @notice Lets a hold by one institution last 30 days from its beginning: another institution, outside ACTIVE M.
    /// Renews one that lasts as long for 30 days from now: ceil(3N/4).
    function confirmHold(uint256 id, uint8 together, uint256 nonce, Approval calldata approval) external;

    /// @notice Ends a hold. The institution that placed it, as long as nobody confirmed it; else M.
    function release(uint256 id, uint8 together, uint256 nonce, Approval calldata approval) external;

    /// @notice Ends a hold that has expired. Anyone.
    function lapse(uint256 id) external;

    /// @notice Holds the whole campaign until `until`, seconds, the exit included. Takes M, for 30 days; ceil(3N/4) for
    /// 30 days more. A time that is past ends it.
    function holdCampaign(uint64 until, uint8 together, uint256 nonce, Approval calldata approval) external;

    /// @notice Stops settlements and claims until `until`, seconds, except in EXIT. One institution alone may only
    /// lengthen, by 24 hours in any 30 days; M may order 30 days, again and again, and end it.
    function pause(uint64 until, uint8 together, uint256 nonce, Approval calldata approval) external;

    /// @notice Annuls unpaid entitlements and frees their money. Takes M, in EXIT ceil(3N/4). The signatures are over
    /// (round, word, mask); words and proof only prove the amounts. Reverts if any of them is paid or void.
    function void(SparseWord calldata chunk, Approval calldata approval) external;

    /// @notice Ends a round after its closing plus grace and sends what no other round needs to the refund address.
    /// May be called again for a swept round to send a later surplus.
    function sweep(uint256 roundNo) external;

    /// @notice Sends `amount` to the refund address before any round was opened. Takes M.
    /// @param nonce any number not used before with the same amount
    function withdraw(uint256 amount, uint256 nonce, Approval calldata approval) external;

    /// @notice Sends another token that landed here to the refund address. Anyone; never the campaign's own.
    function rescue(address foreign) external;

    /// @notice Whether the entitlement is paid.
    function isPaid(uint256 roundNo, uint256 index) external view returns (bool);

    /// @notice Whether the entitlement was annulled.
    function isVoid(uint256 roundNo, uint256 index) external view returns (bool);

    /// @notice Whether the entitlement is held.
    function isHeld(uint256 roundNo, uint256 index) external view returns (bool);

    /// @notice Paid bits of entitlements 256·word to 256·word + 255.
    function paidWord(uint256 roundNo, uint256 word) external view returns (uint256);

    /// @notice Void bits of entitlements 256·word to 256·word + 255.
    function voidWord(uint256 roundNo, uint256 word) external view returns (uint256);

    /// @notice Held bits of entitlements 256·word to 256·word + 255.
    function heldWord(uint256 roundNo, uint256 word) external view returns (uint256);

    /// @notice A round as stored; all zero if it does not exist.
    function round(uint256 roundNo) external view returns (RoundView memory);

    /// @notice How many rounds were published; the next is one more.
    function roundCount() external view returns (uint256);

    /// @notice What a round may still pay: total − paid − voided.
    function remaining(uint256 roundNo) external view returns (uint256);

    /// @notice What all open rounds may still pay.
    function owed() external view returns (uint256);

    /// @notice When wallets' claims end, with pauses and time outside ACTIVE added so far, seconds.
    function closing(uint256 roundNo) external view returns (uint64);

    /// @notice The batch number the next settlement must carry; starts at 1.
    function nextBatch() external view returns (uint64);

    /// @notice Until when payments are paused, seconds; 0 or past means they are not.
    function pausedUntil() external view returns (uint64);

    /// @notice Until when the whole campaign is held, seconds; 0 or past means it is not.
    function heldUntil() external view returns (uint64);

    /// @notice The fixed terms of this deployment.
    function terms() external view returns (DistributorTerms memory);

    /// @notice The token paid.
    function token() external view returns (address);

    /// @notice The Charter obeyed.
    function charter() external view returns (address);

    /// @notice EIP-712 domain separator on the present chain.
    function domainSeparator() external view returns (bytes32);
}
