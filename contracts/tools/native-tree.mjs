// An independent implementation of the native tree (docs: contracts/README.md), used for test vectors and the gas
// bench. It shares no code with the Solidity or the Rust side.
//   node tools/native-tree.mjs --write FILE    writes the vector file
//   node tools/native-tree.mjs --check FILE    fails if the committed file differs
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { keccak_256 } from '@noble/hashes/sha3';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils';

const ZERO_WORD = new Uint8Array(32);

/** One entitlement as an EVM word: 20-byte address, then uint96 amount. */
export function encodeEntry({ address, amount }) {
  const word = new Uint8Array(32);
  word.set(hexToBytes(address.slice(2)), 0);
  word.set(hexToBytes(BigInt(amount).toString(16).padStart(24, '0')), 20);
  return word;
}

/** Builds all levels of the tree over entries (already sorted by address). */
export class NativeTree {
  constructor(entries) {
    if (entries.length === 0) throw new Error('count 0 is refused');
    this.count = entries.length;
    this.depth = 0;
    while (4 * 2 ** this.depth < this.count) this.depth += 1;
    this.words = entries.map(encodeEntry);
    const buckets = 2 ** this.depth;
    this.levels = [Array.from({ length: buckets }, (_, b) => keccak_256(this.bucket(b)))];
    for (let level = 1; level <= this.depth; level += 1) {
      const below = this.levels[level - 1];
      this.levels.push(
        Array.from({ length: below.length / 2 }, (_, i) => keccak_256(concatBytes(below[2 * i], below[2 * i + 1]))),
      );
    }
    this.root = this.levels[this.depth][0];
  }

  bucket(b) {
    return concatBytes(...[0, 1, 2, 3].map((i) => this.words[4 * b + i] ?? ZERO_WORD));
  }

  /** Siblings from level `from` up, for the `position`-th node of that level. */
  path(position, from) {
    const path = [];
    for (let level = from; level < this.depth; level += 1) {
      path.push(this.levels[level][position ^ 1]);
      position >>= 1;
    }
    return path;
  }

  /** Proof of one entitlement: its bucket and the way up. */
  entry(index) {
    return { bucket: this.bucket(index >> 2), proof: this.path(index >> 2, 0) };
  }

  /** An aligned range of 2^levels buckets. */
  range(start, levels) {
    const first = start / 4;
    const words = concatBytes(...Array.from({ length: 2 ** levels }, (_, b) => this.bucket(first + b)));
    return { words, path: this.path(first >> levels, levels) };
  }

  /** Chosen entitlements (bits of `mask`) of one 256-entitlement word, proven together. */
  sparse(word, mask) {
    let known = [];
    for (let b = 0; b < 64; b += 1) if ((mask >> BigInt(4 * b)) & 15n) known.push(64 * word + b);
    const words = concatBytes(...known.map((b) => this.bucket(b)));
    const proof = [];
    for (let level = 0; level < this.depth; level += 1) {
      const have = new Set(known);
      for (const position of known) if (!have.has(position ^ 1)) proof.push(this.levels[level][position ^ 1]);
      known = [...new Set(known.map((position) => position >> 1))];
    }
    return { words, proof };
  }
}

/** A list that can be made anywhere: entry i from keccak256("sluice <seed> <i>"), sorted by address. */
export function derivedList(seed, count) {
  return Array.from({ length: count }, (_, i) => {
    const hash = keccak_256(utf8ToBytes(`sluice ${seed} ${i}`));
    return { address: '0x' + bytesToHex(hash.slice(0, 20)), amount: (BigInt('0x' + bytesToHex(hash.slice(20))) + 1n).toString() };
  }).sort((a, b) => (a.address < b.address ? -1 : 1));
}

const hex = (bytes) => '0x' + bytesToHex(bytes);

function vector(seed, count, masks) {
  const entries = derivedList(seed, count);
  const tree = new NativeTree(entries);
  const indexes = [...new Set([0, 1, 3, 4, count >> 1, count - 1].filter((i) => i < count))];
  const ranges = [];
  for (let levels = 0; levels <= Math.min(tree.depth, 7); levels += 1) {
    const size = 4 * 2 ** levels;
    ranges.push([Math.floor((count - 1) / size) * size, levels]);
  }
  return {
    seed,
    count,
    depth: tree.depth,
    root: hex(tree.root),
    total: entries.reduce((sum, e) => sum + BigInt(e.amount), 0n).toString(),
    addresses: entries.map((e) => e.address),
    amounts: entries.map((e) => e.amount),
    entries: indexes.map((index) => {
      const { bucket, proof } = tree.entry(index);
      return { index, bucket: hex(bucket), proof: proof.map(hex) };
    }),
    ranges: ranges.map(([start, levels]) => {
      const { words, path } = tree.range(start, levels);
      return { start, levels, words: hex(words), path: path.map(hex) };
    }),
    sparse: masks.map(([word, mask]) => {
      const { words, proof } = tree.sparse(word, BigInt(mask));
      return { word, mask, words: hex(words), proof: proof.map(hex) };
    }),
  };
}

export function vectors() {
  return {
    about: 'Native trees: leaf = keccak256 of 4 words (address, uint96), node = keccak256(left, right). tools/native-tree.mjs',
    lists: [
      vector('a', 1, [[0, '0x1']]),
      vector('b', 2, [[0, '0x2'], [0, '0x3']]),
      vector('c', 4, [[0, '0xf']]),
      vector('d', 5, [[0, '0x10'], [0, '0x1f']]),
      vector('e', 13, [[0, '0x1001'], [0, '0x10'], [0, '0x1fff']]),
      vector('f', 255, [[0, '0x1'], [0, '0x' + '4'.repeat(63)]]),
      vector('g', 257, [[1, '0x1'], [0, '0x8' + '0'.repeat(62) + '1'], [0, '0x' + 'f'.repeat(64)]]),
      vector('h', 700, [[2, '0x' + '9'.repeat(46)], [1, '0x' + '01'.repeat(32)], [0, '0x' + '3'.repeat(20)]]),
    ],
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [mode, file] = process.argv.slice(2);
  const text = JSON.stringify(vectors(), null, 1) + '\n';
  if (mode === '--write') writeFileSync(file, text);
  else if (mode === '--check') {
    if (readFileSync(file, 'utf8') !== text) throw new Error(`${file} differs from what native-tree.mjs makes`);
  } else throw new Error('usage: native-tree.mjs --write|--check FILE');
}
