// Reads a tree dump written by Sluice on standard input, loads and validates it with OpenZeppelin's own package, builds
// the tree anew from the values, and prints what that package says: root, dump and every proof.
import { StandardMerkleTree } from '@openzeppelin/merkle-tree';
import { readFileSync } from 'node:fs';

const dump = JSON.parse(readFileSync(0, 'utf8'));
const loaded = StandardMerkleTree.load(dump);
loaded.validate();
const rebuilt = StandardMerkleTree.of(dump.values.map(({ value }) => value), ['address', 'uint256']);
const proofs = dump.values.map((_, i) => rebuilt.getProof(i));
console.log(JSON.stringify({ loadedRoot: loaded.root, dump: rebuilt.dump(), proofs }));
