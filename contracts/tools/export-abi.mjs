// Writes abi/<Contract>.json (ABI, creation and runtime code) from a fresh build, so that `cargo build` needs no Node.
// With --check it writes nothing and fails if a committed file differs from the source. Contract sizes are checked
// against EIP-170 both ways.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from './lib/foundry.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const CONTRACTS = ['Charter', 'Warden', 'Distributor', 'DistributorClone', 'DistributorFactory', 'TestToken', 'BarringToken', 'TestWallet', 'UnbornWallet'];
const EIP170 = 24_576;
const check = process.argv.includes('--check');

execFileSync(binary('forge'), ['build', '--skip', 'test'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
mkdirSync(join(root, 'abi'), { recursive: true });

let stale = 0;
for (const name of CONTRACTS) {
  const built = JSON.parse(readFileSync(join(root, `out/${name}.sol/${name}.json`), 'utf8'));
  const size = (built.deployedBytecode.object.length - 2) / 2;
  if (size > EIP170) throw new Error(`${name} has ${size} bytes of code; EIP-170 allows ${EIP170}`);
  const text =
    JSON.stringify({ abi: built.abi, bytecode: { object: built.bytecode.object }, deployedBytecode: { object: built.deployedBytecode.object } }, null, 1) + '\n';
  const file = join(root, 'abi', `${name}.json`);
  if (check) {
    let committed = '';
    try {
      committed = readFileSync(file, 'utf8');
    } catch {
      // A missing file is a stale one.
    }
    if (committed !== text) {
      stale += 1;
      console.error(`abi/${name}.json differs from the source: run npm run abi`);
    }
  } else {
    writeFileSync(file, text);
  }
  console.log(`${name}: ${size} bytes of ${EIP170}`);
}
process.exit(stale ? 1 : 0);
