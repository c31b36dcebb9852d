// One Charter with one institution, one Distributor, and rounds over a tree of depth 20 whose lower part is real.
import { Wallet, concat, dataLength, keccak256, toBeHex, toUtf8Bytes } from 'ethers';
import { artifact, CHAIN_ID } from './chain.mjs';
import { NativeTree } from '../native-tree.mjs';
import { concatBytes, hexToBytes, bytesToHex } from '@noble/hashes/utils';
import { keccak_256 } from '@noble/hashes/sha3';

export const DEPTH = 20;
const UNIT = 10n ** 12n;
const hex = (bytes) => '0x' + bytesToHex(bytes);

/** A wallet of the bench; the same on every run. */
export const wallet = (name) => new Wallet(keccak256(toUtf8Bytes(`sluice bench ${name}`)));

/** Entry i of the bench's list: a random address (or a wallet's), 100 to 10,000 tokens in multiples of 1e12. */
export function benchEntry(seed, i, address) {
  const hash = keccak_256(new TextEncoder().encode(`bench ${seed} ${i}`));
  const units = 100n * 10n ** 6n + (BigInt(hex(hash.slice(20, 28))) % (9_900n * 10n ** 6n));
  return { address: address ?? hex(hash.slice(0, 20)), amount: (units * UNIT).toString() };
}

/** A real tree over the entries, continued to depth 20 with random siblings. */
export class DeepTree {
  constructor(entries) {
    this.entries = entries;
    this.low = new NativeTree(entries);
    this.above = Array.from({ length: DEPTH - this.low.depth }, (_, i) => keccak_256(new TextEncoder().encode(`sibling ${i}`)));
    this.root = hex(this.above.reduce((node, sibling) => keccak_256(concatBytes(node, sibling)), this.low.root));
  }

  #proof(siblings) {
    return [...siblings, ...this.above].map(hex);
  }

  entry(index) {
    const { bucket, proof } = this.low.entry(index);
    return { bucket: [0, 32, 64, 96].map((at) => hex(bucket.slice(at, at + 32))), proof: this.#proof(proof) };
  }

  range(start, levels) {
    const { words, path } = this.low.range(start, levels);
    return { words: hex(words), path: this.#proof(path) };
  }

  sparse(word, mask) {
    const { words, proof } = this.low.sparse(word, mask);
    return { words: hex(words), proof: this.#proof(proof) };
  }
}

const domain = (verifyingContract) => ({ name: 'Sluice', version: '1', chainId: CHAIN_ID, verifyingContract });
const field = (text) => {
  const [type, name] = text.split(' ');
  return { type, name };
};
const PUBLISH = {
  Publish: 'address distributor,uint256 round,bytes32 root,uint8 depth,uint64 count,uint128 total,bytes32 rulesHash,uint64 opensAt,uint64 closesAt,uint8 mode,uint16 gate,uint256 supersedes,string listUri,bytes32 listHash,uint64 setVersion,uint64 deadline'
    .split(',')
    .map(field),
};
const CLAIM = {
  Claim: 'uint256 round,uint256 index,address recipient,address to,uint96 amount,uint64 deadline'.split(',').map(field),
};
const GATE = {
  Gate: 'uint256 round,uint16 gateVersion,uint256 word,uint256 mask,bytes32 rulesHash,uint64 asOfSeq,uint64 expiry'.split(',').map(field),
};
const INSTALL_GATE = {
  InstallGate: 'address distributor,uint16 gateVersion,bytes signer,bytes32 rulesHash,uint64 setVersion,uint64 deadline'.split(',').map(field),
};
const FAR = 4_000_000_000n;
/** Rules of every round of the bench: as costly in calldata as any hash. */
const RULES = keccak256(toUtf8Bytes('rules'));

export class Campaign {
  /** Deploys everything. `lane` settles. */
  static async deploy(chain, { policy = 0, clone = false } = {}) {
    const self = new Campaign();
    self.chain = chain;
    [self.deployer, self.lane, self.control] = await chain.accounts();
    self.authority = wallet('authority');
    self.tokenArtifact = artifact('TestToken');
    self.charterArtifact = artifact('Charter');
    self.abi = artifact('Distributor').abi;
    self.token = await chain.deploy(self.deployer, self.tokenArtifact, ['Bench', 'BNC', 18]);
    const founding = {
      institutions: [{ name: 'Bench', signers: [self.authority.address] }],
      publishThreshold: 1,
      sequencers: [{ control: self.control, lanes: [self.lane] }],
      logKeys: [],
      timers: { w1: 3600, w2: 3600, finality: 60, beatEvery: 0, takeEpochEvery: 0 },
    };
    const found = self.charterArtifact.abi.encodeFunctionData('found', [founding]);
    self.charter = await chain.deploy(self.deployer, self.charterArtifact, [keccak256('0x' + found.slice(10))]);
    await chain.send(self.deployer, self.charter, found);
    const terms = {
      token: self.token,
      charter: self.charter,
      refund: self.deployer,
      policy,
      grace: 86_400,
      openingDelay: 1,
      transferGas: 200_000,
    };
    self.distributor = clone ? await self.#clone(terms) : await chain.deploy(self.deployer, artifact('Distributor'), [terms]);
    await chain.send(self.control, self.charter, self.charterArtifact.abi.encodeFunctionData('takeEpoch', [1]));
    await chain.send(self.deployer, self.token, self.tokenArtifact.abi.encodeFunctionData('mint', [self.distributor, 10n ** 30n]));
    self.rounds = 0;
    self.batches = 0;
    return self;
  }

  async #clone(terms) {
    const code = await this.chain.deploy(this.deployer, artifact('DistributorClone'), []);
    const { abi } = artifact('DistributorFactory');
    const factory = await this.chain.deploy(this.deployer, artifact('DistributorFactory'), [code]);
    const salt = keccak256(toUtf8Bytes('salt'));
    const [address] = await this.chain.call(factory, abi, 'addressOf', [terms, salt, this.deployer]);
    await this.chain.send(this.deployer, factory, abi.encodeFunctionData('deploy', [terms, salt]));
    return address;
  }

  /** Publishes and opens a round over `tree`, with both bitmaps empty. */
  async round(tree, mode = 0) {
    this.rounds += 1;
    const now = await this.chain.now();
    const terms = {
      root: tree.root,
      depth: DEPTH,
      count: 4n << BigInt(DEPTH),
      total: 10n ** 29n,
      rulesHash: RULES,
      opensAt: now,
      closesAt: now + 10_000_000n,
      mode,
      gate: mode === 2 ? 1 : 0,
      supersedes: 0n,
      listUri: '',
      listHash: '0x' + '00'.repeat(32),
    };
    const message = { distributor: this.distributor, round: this.rounds, ...terms, setVersion: 1, deadline: FAR };
    const signature = await this.authority.signTypedData(domain(this.charter), PUBLISH, message);
    const approval = { setVersion: 1, deadline: FAR, signatures: [{ signer: this.authority.address, signature }] };
    await this.#send(this.deployer, 'publish', [this.rounds, terms, approval]);
    await this.chain.sleep(2);
    await this.#send(this.deployer, 'open', [this.rounds]);
    return this.rounds;
  }

  /** Gas used and calldata bytes of a call. */
  async #send(from, name, args) {
    const data = this.abi.encodeFunctionData(name, args);
    const receipt = await this.chain.send(from, this.distributor, data);
    const calldata = hexToBytes(data.slice(2));
    const zeros = calldata.filter((byte) => byte === 0).length;
    return { gas: Number(receipt.gasUsed), bytes: calldata.length, zeros, logs: receipt.logs };
  }

  #batch(name, args) {
    this.batches += 1;
    return this.#send(this.lane, name, [1, this.batches, keccak256(toUtf8Bytes('log root')), ...args]);
  }

  settle(round, tree, start, levels) {
    const { words, path } = tree.range(start, levels);
    return this.#batch('settle', [round, start, levels, words, path]);
  }

  settleSparse(round, tree, chunks) {
    return this.#batch('settleSparse', [
      chunks.map(([word, mask]) => ({ roundNo: round, word, mask, ...tree.sparse(word, mask) })),
    ]);
  }

  /** Installs gate version 1 with a key of the bench. */
  async installGate() {
    this.gate = wallet('gate');
    const fields = { gateVersion: 1, signer: this.gate.address, rulesHash: RULES };
    const message = { distributor: this.distributor, ...fields, setVersion: 1, deadline: FAR };
    const signature = await this.authority.signTypedData(domain(this.charter), INSTALL_GATE, message);
    const approval = { setVersion: 1, deadline: FAR, signatures: [{ signer: this.authority.address, signature }] };
    await this.#send(this.deployer, 'installGate', [1, this.gate.address, RULES, approval]);
  }

  /** What the gate signs over a word, as of a position of the log as high as a large one gets. */
  async #gateWord(round, word, mask) {
    const content = { word, mask, asOfSeq: 123_456_789n, expiry: FAR };
    const message = { round, gateVersion: 1, rulesHash: RULES, ...content };
    return { roundNo: round, ...content, signature: await this.gate.signTypedData(domain(this.distributor), GATE, message) };
  }

  async settleGated(round, tree, chunks) {
    const words = await Promise.all(chunks.map(([word, mask]) => this.#gateWord(round, word, mask)));
    // The rules are named once. Masks are the chunks' own, so nothing of them is left to name.
    const gates = concat(words.map(({ asOfSeq, expiry, signature }, i) => {
      const head = (i === 0 ? 0x8000 : 0) + dataLength(signature);
      const fields = [toBeHex(head, 2), toBeHex(asOfSeq, 8), toBeHex(expiry, 8), '0x' + '00'.repeat(32)];
      return concat([...fields, i === 0 ? RULES : '0x', signature]);
    }));
    return this.#batch('settleGated', [
      chunks.map(([word, mask]) => ({ roundNo: round, word, mask, ...tree.sparse(word, mask) })),
      gates,
    ]);
  }

  async claimAttested(round, tree, index) {
    const recipient = tree.entries[index].address;
    await this.chain.fund(recipient);
    const { bucket, proof } = tree.entry(index);
    const gate = await this.#gateWord(round, index >> 8, 1n << BigInt(index & 255));
    return this.#send(recipient, 'claimAttested', [round, index, bucket, proof, recipient, 0, '0x', gate]);
  }

  async settleTo(round, tree, items) {
    const redirects = [];
    for (const { index, signer, to } of items) {
      const { amount } = tree.entries[index];
      const message = { round, index, recipient: signer.address, to, amount, deadline: FAR };
      const signature = await signer.signTypedData(domain(this.distributor), CLAIM, message);
      redirects.push({ roundNo: round, index, to, deadline: FAR, signature, ...tree.entry(index) });
    }
    return this.#batch('settleTo', [redirects, []]);
  }

  async claim(round, tree, index) {
    const recipient = tree.entries[index].address;
    await this.chain.fund(recipient);
    const { bucket, proof } = tree.entry(index);
    return this.#send(recipient, 'claim', [round, index, bucket, proof]);
  }

  /** Sets the Charter's phase byte (slot 0, lowest) to TRIPPED, which is how a trip leaves it for claims. */
  async leaveActive() {
    const slot = await this.chain.rpc('eth_getStorageAt', this.charter, '0x0', 'latest');
    await this.chain.rpc('anvil_setStorageAt', this.charter, '0x' + '0'.repeat(64), slot.slice(0, -2) + '01');
  }
}
