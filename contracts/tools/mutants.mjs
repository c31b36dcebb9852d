// Takes each guard away, one at a time, in a copy of the project, and demands that a test notices. A guard whose
// removal no test notices is not tested.
//   node tools/mutants.mjs            all of them (minutes)
//   node tools/mutants.mjs WORD…      those whose name contains a word
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from './lib/foundry.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAYMENTS = 'src/distributor/Payments.sol';
const CLAIMS = 'src/distributor/Claims.sol';
const SETTLEMENT = 'src/distributor/Settlement.sol';
const ROUNDS = 'src/distributor/Rounds.sol';
const LEDGER = 'src/distributor/Ledger.sol';
const GATES = 'src/distributor/Gates.sol';
const PACKED = 'src/distributor/PackedGates.sol';
const HOLDS = 'src/distributor/Holds.sol';
const WARDEN = 'src/Warden.sol';
const ENTRIES = 'src/lib/Entries.sol';
const SEQUENCERS = 'src/charter/Sequencers.sol';
const INSTITUTIONS = 'src/charter/Institutions.sol';
const SIGNATURES = 'src/lib/Signatures.sol';

/** name, file, text, what it becomes, test files that must notice */
const MUTANTS = [
  ['index bound of a claim', PAYMENTS, 'if (index >= uint256(4) << depth) revert IndexOutOfRange(index);', '', 'Guards'],
  ['word bound of a sparse chunk', PAYMENTS, 'mask == 0 || word >= words || ', 'mask == 0 || ', 'Guards'],
  ['mask bound of a small tree', PAYMENTS, '|| (capacity < 256 && mask >> capacity != 0)', '', 'Guards'],
  ['index bound of a range', SETTLEMENT, 'start >= uint256(4) << depth || ', '', 'Guards'],
  ['alignment of a range', SETTLEMENT, '|| start & ((uint256(4) << levels) - 1) != 0', '', 'Guards'],
  ['length of a claim\'s proof', PAYMENTS, 'if (proof.length != depth) revert BadProofLength(proof.length, depth);', '', 'Guards'],
  ['length of a range\'s words', SETTLEMENT, 'if (words.length != expected) revert BadInputLength(words.length, expected);', '', 'Guards'],
  ['root of a range', SETTLEMENT, 'if (BucketTree.climb(node, start >> 2 >> levels, path) != r.root) revert BadProof();', '', 'Guards'],
  ['root of a claim', PAYMENTS, 'if (BucketTree.climb(BucketTree.leaf(bucket), index >> 2, proof) != r.root) revert BadProof();', '', 'Guards'],
  ['left-over siblings', 'src/lib/BucketTree.sol', 'if (proof.length < used || proof.length - used != depth - level) return bytes32(0);', '', 'Vectors'],
  ['bitmap in a claim', PAYMENTS, 'if (paid & bit != 0) revert AlreadyPaid(roundNo, index);', '', 'Guards'],
  ['bitmap in a batch', PAYMENTS, 'wanted &= ~marks.bits;', '', 'Pay'],
  ['marks before the first transfer', PAYMENTS, 'marks.bits |= wanted;', '', 'Pay'],
  ['clearing of failed payments', PAYMENTS, 'if (unpaid != 0) marks.bits &= ~unpaid;', '', 'Tokens'],
  ['void in a claim', PAYMENTS, 'if (_void[roundNo][index >> 8].bits & bit != 0) revert AlreadyVoid(roundNo, index);', '', 'Guards'],
  ['void in a batch', PAYMENTS, 'if (flags & HAS_VOIDS != 0) bits &= ~_void[roundNo][word].bits;', '', 'Guards'],
  ['total of the round', PAYMENTS, 'if (sum > hot.remaining()) revert TotalExceeded(roundNo, hot.remaining(), sum);', '', 'Guards'],
  ['padding and forbidden recipients', ENTRIES, 'if or(or(iszero(to), eq(to, token)), or(eq(to, address()), eq(to, charter))) {', 'if eq(to, 1) {', 'Guards'],
  ['gas in hand before each transfer', ENTRIES, 'if lt(gas(), gasNeeded) {', 'if 0 {', 'Tokens'],
  ['gas in hand before a claim', PAYMENTS, 'if (gasleft() < needed) revert TooLittleGas(gasleft(), needed);', '', 'Tokens'],
  ['gas allowance of a transfer', ENTRIES, 'let ok := call(gasGiven, token', 'let ok := call(gas(), token', 'Tokens'],
  ['answer of a batch transfer', ENTRIES, 'if or(iszero(ok), returndatasize()) {', 'if iszero(ok) {', 'Tokens'],
  ['answer of a claim transfer', ENTRIES, 'ok := and(ok, or(iszero(returndatasize()), and(gt(returndatasize(), 0x1f), eq(mload(0x60), 1))))', '', 'Tokens'],
  ['revert when nothing is paid', PAYMENTS, 'if (tally.attempted != 0 && tally.paid == 0) revert NothingPaid(tally.firstReason);', '', 'Tokens'],
  ['re-entrance guard', LEDGER, 'if (_entered != 0) revert Reentered();', '', 'Tokens'],
  ['round is open', PAYMENTS, 'if (!hot.isOpen()) revert WrongState(roundNo, hot.state());', '', 'Guards'],
  ['mode of a dense settle', SETTLEMENT, 'if (r.hot.mode() != Mode.PUSH) revert WrongMode(roundNo, r.hot.mode());', '', 'Guards'],
  ['closing', CLAIMS, 'if (block.timestamp > at) revert Closed(at);', '', 'Guards'],
  ['policy exitOnly', CLAIMS, 'if (_exitOnly() && _phase() == uint8(Phase.ACTIVE)) revert ClaimsNotOpen(Phase.ACTIVE);', '', 'Guards'],
  ['caller of a claim', CLAIMS, 'if (uint160(msg.sender) != entry >> 96) revert NotRecipient(msg.sender, address(uint160(entry >> 96)));', '', 'Guards'],
  ['forbidden caller of a claim', CLAIMS, 'if (_isForbidden(msg.sender)) revert NotPayable(roundNo, index);', '', 'Guards'],
  ['forbidden recipient of a signed claim', CLAIMS, 'if (_isForbidden(recipient)) revert NotPayable(roundNo, index);', '', 'Guards'],
  ['round that is not plain', CLAIMS, 'if (!hot.isPlain()) {', 'if (false) {', 'Guards'],
  ['mode of a claim', CLAIMS, 'if (hot.mode() == Mode.GATED) revert WrongMode(roundNo, Mode.GATED);', '', 'Guards'],
  ['phase that ends a pause', CLAIMS, '_phase() != uint8(Phase.ACTIVE)', 'false', 'Bars'],
  ['levels of a climb that fill no turn', 'src/lib/BucketTree.sol', 'for {} and(left, 3) {} {', 'for {} 0 {} {', 'Vectors'],
  ['last level of a turn of eight', 'src/lib/BucketTree.sol', 'shr(7, position), calldataload(add(at, 0xe0))', 'shr(7, position), calldataload(add(at, 0xc0))', 'Vectors'],
  ['place after a turn of eight', 'src/lib/BucketTree.sol', 'position := shr(8, position)', '', 'Vectors'],
  ['place after a turn of four', 'src/lib/BucketTree.sol', 'position := shr(4, position)', '', 'Vectors'],
  ['forbidden recipient of a redirection', SETTLEMENT, 'if (_isForbidden(recipient)) revert NotPayable(roundNo, item.index);', '', 'Guards'],
  ['signature of a claim', CLAIMS, 'return Signatures.isValid(recipient, digest, signature);', 'digest; signature; return true;', 'Guards'],
  ['deadline of a claim', CLAIMS, 'if (block.timestamp > deadline) revert ClaimExpired(deadline);', '', 'Guards'],
  ['destination of a claim', CLAIMS, 'if (to != recipient && _isForbidden(to)) revert BadDestination(to);', '', 'Guards'],
  ['destination in a batch', SETTLEMENT, 'if (_isForbidden(item.to)) return abi.encodeWithSelector(BadDestination.selector, item.to);', '', 'Guards'],
  ['batch number', SETTLEMENT, 'if (batchNo != next) revert WrongBatch(batchNo, next);', '', 'Guards'],
  ['epoch', SEQUENCERS, 'if (epoch_ != _head.epoch) revert StaleEpoch(epoch_, _head.epoch);', '', 'Guards'],
  ['lane', SEQUENCERS, 'if (lane == 0 || lane != _head.sequencer) revert NotALane(account);', '', 'Guards'],
  ['lanes of a removed sequencer', SEQUENCERS, 'for (uint256 i; i < s.lanes.length; ++i) delete laneOf[s.lanes[i]];', '', 'Charter'],
  ['step of an epoch', SEQUENCERS, '|| epoch_ > current + MAX_EPOCH_STEP', '', 'Charter'],
  ['rate of epochs', SEQUENCERS, '_spendAllowance(_sequencers[id - 1]);', '', 'Charter'],
  ['counting by institution', INSTITUTIONS, 'if (institutions & bit == 0) {', '{', 'Charter'],
  ['membership', INSTITUTIONS, 'if (id == 0) revert NotAnAuthority(s.signer);', 'if (id == 0) id = 32;', 'Charter'],
  ['authority\'s signature', INSTITUTIONS, 'if (!Signatures.isValid(s.signer, digest, s.signature)) revert BadAuthoritySignature(s.signer);', '', 'Charter'],
  ['quorum', INSTITUTIONS, 'if (count < needed) revert QuorumMissed(count, needed);', '', 'Charter'],
  ['set version', INSTITUTIONS, '|| approval.setVersion != _head.setVersion', '', 'Charter'],
  ['nobody before the founding', INSTITUTIONS, 'approval.setVersion == 0 ||', '', 'Charter'],
  ['founding once', 'src/Charter.sol', 'if (_head.setVersion != 0) revert AlreadyFounded();', '', 'Charter'],
  ['founding as promised', 'src/Charter.sol', 'if (given != FOUNDING) revert OtherFounding(given, FOUNDING);', '', 'Charter'],
  ['terms under a founded Charter', 'src/distributor/TermsCheck.sol', 'if (timers.w1 == 0) revert IDistributor.BadTerms("the Charter is not founded yet");', '', 'Charter'],
  ['key of a delegated account', SIGNATURES, 'if (error == ECDSA.RecoverError.NoError && recovered == account) return true;', 'if (error == ECDSA.RecoverError.NoError && recovered == account && account.code.length == 0) return true;', 'Guards'],
  ['gas of a wallet\'s answer', SIGNATURES, 'let ok := staticcall(CHECK_GAS,', 'let ok := staticcall(gas(),', 'Guards'],
  ['round number', ROUNDS, 'if (roundNo != next) revert WrongRound(roundNo, next);', '', 'Rounds'],
  ['opening delay', ROUNDS, 'if (block.timestamp < earliest) revert TooEarly(uint64(earliest));', '', 'Rounds'],
  ['funding at opening', ROUNDS, 'if (balance < needed) revert Underfunded(balance, needed);', '', 'Rounds'],
  ['closing only later', ROUNDS, 'if (closesAt <= r.hot.closesAt()) revert BadRound("closing may only move to later");', '', 'Rounds'],
  ['void after pay', ROUNDS, 'if (clash != 0) revert AlreadyPaid(roundNo, _firstIndex(chunk.word, clash));', '', 'Guards'],
  ['sweep before its time', ROUNDS, 'if (block.timestamp < at) revert TooEarly(at);', '', 'Rounds'],
  ['sweep of what others need', ROUNDS, 'uint256 kept = _owed(true);', 'uint256 kept = 0;', 'Rounds'],
  ['withdraw after an opening', ROUNDS, 'if (_campaign.everOpened) revert AlreadyOpened();', '', 'Rounds'],
  ['withdraw twice', ROUNDS, '_useOnce(_requireApproval());', '_requireApproval();', 'Rounds'],
  ['rescue through a second address', ROUNDS, 'if (IERC20(own).balanceOf(address(this)) != before) revert OwnToken();', '', 'Tokens'],
  ['time of a change', 'src/Charter.sol', 'if (block.timestamp < readyAt || block.timestamp > readyAt + CHANGE_WINDOW) {', 'if (block.timestamp > readyAt + CHANGE_WINDOW) {', 'Charter'],
  ['front-run clone', 'src/DistributorFactory.sol', 'return keccak256(abi.encode(deployer, salt));', 'deployer; return salt;', 'Clone'],
  ['direct use of the implementation', 'src/DistributorClone.sol', 'if (address(this) == SELF) revert NotAClone();', '', 'Clone'],
  // -- gates, holds and pauses
  ['mode of a gated settle', SETTLEMENT, 'if ((hot.mode() == Mode.GATED) != gated) revert WrongMode(chunk.roundNo, hot.mode());', '', 'Gates'],
  ['a gate\'s word for each chunk', SETTLEMENT, '_requireAllRead(reading, gates);', '', 'PackedGates'],
  ['zero seal', PACKED, 'if (found != 0 && found == r.cold.seal) return;', 'if (found == r.cold.seal) return;', 'Gates'],
  ['seal', PACKED, 'found == r.cold.seal', 'true', 'Gates'],
  ['seal of a verifier\'s gate', ROUNDS, 'if (!gate.hasKey) seal = ', 'seal = ', 'Gates'],
  ['root under a contract\'s signature', PACKED, 'if (root != r.root) revert BadProof();', '', 'Gates'],
  ['rules under a contract\'s signature', PACKED, 'if (gate.rulesHash != rulesHash) revert BadGateSignature(version);', '', 'Gates'],
  ['signature of a contract\'s gate', PACKED, '_requireGateSigned(gate, digest, signature);', '', 'Gates'],
  ['form of a packed signature', PACKED, 'if and(eq(signature.length, 65), lt(mload(add(reading, 0x1e0)), AFTER_HALF_ORDER)) {', 'if eq(signature.length, 65) {', 'PackedGates'],
  ['length of a packed signature', PACKED, 'and(eq(signature.length, 65), lt(mload(add(reading, 0x1e0)), AFTER_HALF_ORDER))', 'lt(mload(add(reading, 0x1e0)), AFTER_HALF_ORDER)', 'PackedGates'],
  ['answer of the precompile', PACKED, 'if returndatasize() { found := keccak256(add(reading, 0x200), 0x60) }', 'found := keccak256(add(reading, 0x200), 0x60)', 'PackedGates'],
  ['end of a gate\'s disabling', PACKED, 'if (stopped) _requireGateOn(_gates[version].disabledUntil, version);', 'if (stopped) revert GateOff(version, 0);', 'Gates'],
  ['calendar of an extended closing', 'src/Notary.sol', '_requireCalendar(closesAt);', '', 'Rounds'],
  ['terms of a clone', 'src/DistributorFactory.sol', 'TermsCheck.check(terms, distributor);', '', 'Clone'],
  ['expiry of a packed word', PACKED, 'if (block.timestamp > expiry) revert GateExpired(uint64(expiry));', '', 'Gates'],
  ['packed word\'s gate disabled', PACKED, 'if (stopped) _requireGateOn(_gates[version].disabledUntil, version);', '', 'Gates'],
  ['looking at disabled gates', GATES, '_campaign.gatesStopped = true;', '', 'Gates'],
  ['position that a packed word is as of', PACKED, 'mstore(add(reading, 0xe0), and(shr(176, head), 0xffffffffffffffff))', '', 'Gates'],
  ['rules that a packed word names', PACKED, 'mstore(add(reading, 0xc0), calldataload(at))', '', 'PackedGates'],
  ['gate\'s words of a redirected batch cover it', SETTLEMENT, 'if (hot.mode() == Mode.GATED) _requireAnyGate(roundNo, item.index, gates);', '', 'Gates'],
  ['round of a redirected batch\'s gate', SETTLEMENT, 'g.roundNo == roundNo && ', '', 'Gates'],
  ['word of a redirected batch\'s gate', SETTLEMENT, 'g.word == word && ', '', 'Gates'],
  ['gate\'s words of a redirected batch are signed', SETTLEMENT, '_verifyGate(gate, gates[i]);', '', 'Gates'],
  ['gate\'s mask', GATES, ' || wanted & ~g.mask != 0', '', 'Gates'],
  ['gate\'s round', GATES, 'g.roundNo != roundNo || ', '', 'Gates'],
  ['gate\'s word number', GATES, 'g.word != word || ', '', 'Gates'],
  ['gate\'s expiry', GATES, 'if (block.timestamp > g.expiry) revert GateExpired(g.expiry);', '', 'Gates'],
  ['gate disabled', GATES, '_requireGateOn(key.disabledUntil, version);', '', 'Gates'],
  ['gate\'s signature', GATES, 'if (!signed) revert BadGateSignature(uint16(gate.version));', '', 'Gates'],
  ['gate\'s key of another kind', GATES, '(gate.version, gate.account, gate.hasKey, gate.rulesHash) = (version, key.account, key.hasKey, key.rulesHash);', '(gate.version, gate.account, gate.hasKey, gate.rulesHash) = (version, key.account, false, key.rulesHash);', 'Gates'],
  ['mode of an attested claim', GATES, 'if (hot.mode() != Mode.GATED) revert WrongMode(roundNo, hot.mode());', '', 'Gates'],
  ['wallet of an attested claim', GATES, 'if (msg.sender != recipient || to != recipient) {', 'if (false) {', 'Gates'],
  ['destination of an attested claim', GATES, 'if (msg.sender != recipient || to != recipient) {', 'if (msg.sender != recipient) {', 'Gates'],
  ['closing of an attested claim', GATES, 'if (block.timestamp > at) revert Closed(at);', '', 'Gates'],
  ['policy of an attested claim', GATES, 'if (_exitOnly() && phase == Phase.ACTIVE) revert ClaimsNotOpen(phase);', '', 'Gates'],
  ['pause of an attested claim', GATES, '_requirePaying(roundNo, hot, phase != Phase.ACTIVE);', '', 'Pauses'],
  ['gate installed at publication', ROUNDS, 'gate.account != address(0) && ', '', 'Gates'],
  ['gate\'s rules at publication', ROUNDS, ' && gate.rulesHash == t.rulesHash', '', 'Gates'],
  ['a gate version is for good', WARDEN, 'if (gate.installedAt != 0) revert BadGate("the version is installed already");', '', 'Gates'],
  ['gate version zero', WARDEN, 'if (gateVersion == 0) revert BadGate("versions count from 1");', '', 'Gates'],
  ['zero gate signer', WARDEN, 'if (account == address(0)) revert BadGate("a signer must not begin with the zero address");', '', 'Gates'],
  ['a sequencer\'s lane as a gate', WARDEN, 'CHARTER.laneOf(account) != 0 || ', '', 'Gates'],
  ['a sequencer\'s control key as a gate', WARDEN, ' || CHARTER.controlOf(account) != 0', '', 'Gates'],
  ['approval of a gate', WARDEN, '(, h.institutions) = _require(Quorum.PUBLISH, fields, approval);', '', 'Gates'],
  ['disabling what is not installed', WARDEN, 'if (gate.installedAt == 0) revert BadGate("no such version is installed");', '', 'Gates'],
  ['approvals of few serve once', WARDEN, 'if (_used[action]) revert IDistributor.AlreadyUsed(action);', '', 'Holds'],
  ['another institution confirms', WARDEN, 'if (!another) revert SecondNeeded();', '', 'Holds'],
  ['two confirm after a change of the set', WARDEN, ' : together > 1;', ' : true;', 'Holds'],
  ['an expired hold is not confirmed', WARDEN, 'if (block.timestamp >= v.expiresAt) revert HoldExpired(v.expiresAt);', '', 'Holds'],
  ['three quarters renew a hold', WARDEN, '_requireQuorum(together, Quorum.THREE_QUARTERS);\n            h.until', 'h.until', 'Holds'],
  ['three quarters hold again', WARDEN, 'if (mask & _heldBefore[before] != 0) _requireQuorum(together, Quorum.THREE_QUARTERS);', '', 'Holds'],
  ['one institution holds once', WARDEN, 'if (again != 0) revert HeldBefore(roundNo, word, again);', '', 'Holds'],
  ['rations', WARDEN, 'if (spent > limit) revert RationSpent(spent, limit);', '', 'Holds'],
  ['rations come back', WARDEN, '(block.timestamp < ration.wholeAt ? ration.spent : 0)', 'ration.spent', 'Pauses'],
  ['who releases a hold', WARDEN, 'if (!own) _requireQuorum(together, Quorum.PUBLISH);', '', 'Holds'],
  ['a confirmed hold is not its placer\'s', WARDEN, 'bool own = !v.firm && ', 'bool own = ', 'Holds'],
  ['an early lapse', WARDEN, 'if (block.timestamp < v.expiresAt) revert IDistributor.TooEarly(v.expiresAt);', '', 'Holds'],
  ['holds that ended', WARDEN, 'if (v.mask == 0) revert NoSuchHold(id);', '', 'Holds'],
  ['two holds on one entitlement', WARDEN, 'h.mask = mask & ~held;', 'h.mask = mask;', 'Holds'],
  ['nobody alone outside ACTIVE', WARDEN, 'if (CHARTER.phase() != Phase.ACTIVE) _requireQuorum(together, Quorum.PUBLISH);', '', 'Holds'],
  ['nobody alone ends a stop', WARDEN, 'if (added == 0) _requireQuorum(together, Quorum.PUBLISH);', '', 'Pauses'],
  ['longest stop', WARDEN, 'if (until > block.timestamp + STRETCH) revert TooLong(uint64(block.timestamp + STRETCH));', '', 'Pauses'],
  ['three quarters beyond 30 days', WARDEN, 'if (added == 0 || _isQuorum(together, Quorum.THREE_QUARTERS)) return;', 'return;', 'Holds'],
  ['hold in a round that is over', HOLDS, 'if (!_isLive(state)) revert WrongState(roundNo, state);', '', 'Holds'],
  ['rounds learn of their holds', HOLDS, '_rounds[roundNo].hot = hot.withFlag(HAS_HOLDS);', '', 'Holds'],
  ['live rounds learn of stops', HOLDS, '_rounds[n].hot = hot.withFlag(WAS_PAUSED);', '{}', 'Pauses'],
  ['new rounds learn of stops', ROUNDS, 'if (_campaign.pausedUntil | _campaign.heldUntil > 0) r.hot = r.hot.withFlag(WAS_PAUSED);', '', 'Pauses'],
  ['seconds of a stop', HOLDS, '_campaign.pausedSeconds = uint40(_campaign.pausedSeconds + until - from);', '', 'Pauses'],
  ['seconds of a pause to come', LEDGER, 'if (_campaign.pausedUntil > block.timestamp) paused -= _campaign.pausedUntil - block.timestamp;', '', 'Pauses'],
  ['hold in a batch', PAYMENTS, 'if (flags & HAS_HOLDS != 0) bits &= ~_held[roundNo][word].bits;', '', 'Holds'],
  ['hold in a claim', PAYMENTS, 'if (_held[roundNo][index >> 8].bits & bit != 0) revert Held(roundNo, index);', '', 'Holds'],
  ['pause', PAYMENTS, 'if (_campaign.pausedUntil > block.timestamp && !exit) revert Paused(_campaign.pausedUntil);', '', 'Pauses'],
  ['a pause never blocks the exit', PAYMENTS, '_campaign.pausedUntil > block.timestamp && !exit', '_campaign.pausedUntil > block.timestamp', 'Pauses'],
  ['campaign-wide hold', PAYMENTS, 'if (_campaign.heldUntil > block.timestamp) revert Paused(_campaign.heldUntil);', '', 'Holds'],
  ['sweep of a held round', ROUNDS, 'if (holds != 0) revert HoldsStand(roundNo, holds);', '', 'Holds'],
  ['sweep under a campaign-wide hold', ROUNDS, 'if (_campaign.heldUntil > block.timestamp) revert Paused(_campaign.heldUntil);', '', 'Holds'],
  ['a lane without its gate', SETTLEMENT, 'if (gated) _proveApproved(reading, r, hot, chunk);\n            else _proveChunk', '_proveChunk', 'GatesInvariants'],
  ['grace after a hold', ROUNDS, 'uint64(closed > lastEnd ? closed : lastEnd)', 'uint64(closed + 0 * lastEnd)', 'Holds'],
  ['M take over what one holds', WARDEN, 'if (firm && mask & held != 0) h.mask |= _takeOver(roundNo, word, mask & held);', '', 'Holds'],
  ['what was taken over is its placer\'s no more', WARDEN, 'v.mask = left &= ~bits;', 'left &= ~bits;', 'Holds'],
  ['only M take over', WARDEN, 'if (firm && mask & held != 0)', 'if (mask & held != 0)', 'Holds'],
  ['nobody takes over what is confirmed', WARDEN, '_leave(v, id);\n            v.firm = true;', 'v.firm = true;', 'Holds*'],
  ['what ended leaves the list that M walk', WARDEN, 'if (!v.firm) _leave(v, id);', '', 'Holds*'],
  ['only holds of one are on that list', WARDEN, 'if (!v.firm) _leave(v, id);', '_leave(v, id);', 'Holds*'],
  ['holds that lost all end', WARDEN, '_onRound[msg.sender][roundNo].standing -= 1;\n                ids', 'ids', 'Holds*'],
  ['holds of one after the grace', WARDEN, '_requireGrace(d, roundNo, together);', '', 'Holds'],
  ['the moment in which the grace is over', WARDEN, 'if (block.timestamp >= sweepAt)', 'if (block.timestamp > sweepAt)', 'Holds'],
  ['fewer signatures than said', WARDEN, 'if (count < together) revert ICharter.QuorumMissed(count, together);', '', 'Together'],
  ['single pauses add up', WARDEN, 'if (!_isQuorum(together, Quorum.PUBLISH)) {\n            _onlyLengthen', 'if (!_isQuorum(_countOf(h.institutions), Quorum.PUBLISH)) {\n            _onlyLengthen', 'Together'],
  ['single holds add up', WARDEN, 'bool firm = _isQuorum(together, Quorum.PUBLISH);', 'bool firm = _isQuorum(_countOf(h.institutions), Quorum.PUBLISH);', 'Together'],
  ['single releases add up', WARDEN, 'if (!own) _requireQuorum(together, Quorum.PUBLISH);', 'if (!own) _requireQuorum(_countOf(h.institutions), Quorum.PUBLISH);', 'Together'],
  ['single confirmations add up', WARDEN, '_requireQuorum(together, Quorum.THREE_QUARTERS);\n            h.until', '_requireQuorum(_countOf(h.institutions), Quorum.THREE_QUARTERS);\n            h.until', 'Together'],
  ['quorum of a campaign-wide hold', WARDEN, '_requireQuorum(together, Quorum.PUBLISH);\n        uint256 added = _added(IDistributor(msg.sender).heldUntil(), until);', 'uint256 added = _added(IDistributor(msg.sender).heldUntil(), until);', 'Together'],
  ['number of a pause is signed', WARDEN, 'abi.encode(Actions.PAUSE, msg.sender, until, together, nonce)', 'abi.encode(Actions.PAUSE, msg.sender, until, uint8(3), nonce)', 'Together'],
  ['void in a batch under a gate', PAYMENTS, 'if (flags & HAS_VOIDS != 0) bits &= ~_void[roundNo][word].bits;', '', 'GatesInvariants'],
  ['word of a hold', 'src/distributor/Holds.sol', '_requireInTree(hot.depth(), word, mask);', 'mask;', 'Holds'],
];

/** Only the clone's own suite needs the clone: without it a Distributor's mutant compiles in half the time. */
const CLONE = ['src/DistributorClone.sol', 'src/DistributorFactory.sol', 'test/Clone.t.sol'];

function copyOfProject({ withClone }) {
  const copy = mkdtempSync(join(tmpdir(), 'mutants-'));
  for (const part of ['src', 'test', 'tools', 'out', 'cache', 'foundry.toml']) cpSync(join(root, part), join(copy, part), { recursive: true });
  if (!withClone) CLONE.forEach((file) => rmSync(join(copy, file)));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

const forge = binary('forge');
const survivors = [];

/** A suite that fails anyway would seem to notice everything. */
function requireSound(copy, mutants) {
  for (const suite of new Set(mutants.map(([, , , , suite]) => suite))) {
    const run = spawnSync(forge, ['test', '--match-path', `test/${suite}.t.sol`], { cwd: copy, encoding: 'utf8' });
    if (run.status !== 0) throw new Error(`${suite} fails without a mutant:\n${run.stdout.slice(-2000)}${run.stderr.slice(-2000)}`);
  }
}

function tryMutant(copy, [name, file, text, mutated, suite]) {
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(text).length !== 2) throw new Error(`${name}: the text stands ${source.split(text).length - 1} times in ${file}`);
  writeFileSync(path, source.replace(text, () => mutated));
  // All of it is built first: tests deploy contracts by name, so a matched test alone would not rebuild them.
  const build = spawnSync(forge, ['build'], { cwd: copy, encoding: 'utf8' });
  const run = spawnSync(forge, ['test', '--match-path', `test/${suite}.t.sol`], { cwd: copy, encoding: 'utf8' });
  writeFileSync(path, source);
  const compiled = build.status === 0 && run.stdout.includes('Suite result');
  const noticed = compiled && run.status !== 0;
  console.log(`${noticed ? 'noticed ' : compiled ? 'SURVIVED' : 'BROKEN  '} ${name}`);
  if (!noticed) survivors.push(`${name}${compiled ? '' : ': ' + build.stderr.slice(-400) + run.stdout.slice(-400)}`);
}

const words = process.argv.slice(2);
const chosen = MUTANTS.filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));
for (const withClone of [false, true]) {
  const mutants = chosen.filter(([, , , , suite]) => (suite === 'Clone') === withClone);
  if (mutants.length === 0) continue;
  const copy = copyOfProject({ withClone });
  try {
    execFileSync(forge, ['build'], { cwd: copy, stdio: 'ignore' });
    requireSound(copy, mutants);
    mutants.forEach((mutant) => tryMutant(copy, mutant));
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
console.log(`${chosen.length - survivors.length} of ${chosen.length} noticed`);
if (survivors.length) {
  survivors.forEach((name) => console.error(name));
  process.exitCode = 1;
}
