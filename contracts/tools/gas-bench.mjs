// Prints what paying costs, measured on anvil from transaction receipts: gas and calldata bytes per recipient, beside
// the consensus floor and the peers' figures.
//   node tools/gas-bench.mjs            prints the table
//   node tools/gas-bench.mjs --write    also writes gas-snapshot.json
//   node tools/gas-bench.mjs --check    fails if a figure differs from the committed one
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChain, TX_GAS_CAP } from './lib/chain.mjs';
import { benchEntry, Campaign, DeepTree, wallet } from './lib/campaign.mjs';
import { GOALS, PEERS, floorOfBatch, floorOfClaim } from './lib/figures.mjs';

const snapshotFile = join(dirname(fileURLToPath(import.meta.url)), '..', 'gas-snapshot.json');
const LIST = 16_384;
/** Entries whose keys the bench has, for redirected payments: one bucket apart, in words 40 and 41. */
const REDIRECTED = Array.from({ length: 64 }, (_, i) => 40 * 256 + 8 * i);

const bit = (i) => 1n << BigInt(i);
/** `k` of 256 bits, spread pseudo-randomly, the same on every run. */
function scatter(k) {
  const order = Array.from({ length: 256 }, (_, i) => [BigInt(benchEntry('scatter', i).address) % 1_000_003n, i]);
  return order.sort((a, b) => Number(a[0] - b[0])).slice(0, k).reduce((mask, [, i]) => mask | bit(i), 0n);
}

async function measure(chain) {
  const owners = new Map(REDIRECTED.map((index) => [index, wallet(`owner ${index}`)]));
  const tree = new DeepTree(Array.from({ length: LIST }, (_, i) => benchEntry('list', i, owners.get(i)?.address)));
  const always = await Campaign.deploy(chain);
  const rows = {};
  const row = (name, k, r) => {
    if (r.gas > TX_GAS_CAP) throw new Error(`${name} is above the transaction cap`);
    rows[name] = { k, gas: r.gas, perRecipient: Math.round((r.gas / k) * 10) / 10, bytesPerRecipient: Math.round((r.bytes / k) * 10) / 10 };
  };
  // One batch and one bit of a spare word first: the batch counter and the bitmap's word are not fresh in real life.
  for (const kind of ['fresh', 'warm']) {
    const round = await always.round(tree);
    await always.settleSparse(round, tree, [[60, 1n]]);
    row(`settle 512 ${kind}`, 512, await always.settle(round, tree, 0, 7));
    row(`settle 256 ${kind}`, 256, await always.settle(round, tree, 512, 6));
    row(`settle 128 ${kind}`, 128, await always.settle(round, tree, 768, 5));
    row(`settle 16 ${kind}`, 16, await always.settle(round, tree, 1024, 2));
    row(`sparse 128 of 256 ${kind}`, 128, await always.settleSparse(round, tree, [[8, scatter(128)]]));
    row(`sparse 26 of 256 ${kind}`, 26, await always.settleSparse(round, tree, [[9, scatter(26)]]));
    const isolated = Array.from({ length: 16 }, (_, i) => [10 + i, bit(17 * (i % 15))]);
    await always.settleSparse(round, tree, isolated.map(([word]) => [word, bit(255)]));
    row(`isolated 16 in 16 words ${kind}`, 16, await always.settleSparse(round, tree, isolated));
    row(`isolated 1 ${kind}`, 1, await always.settleSparse(round, tree, [[10, bit(3)]]));
    const items = REDIRECTED.map((index) => ({ index, signer: owners.get(index), to: wallet(`payee ${index}`).address }));
    await always.settleSparse(round, tree, [[40, bit(1)], [41, bit(1)]]);
    row(`redirected 64 ${kind}`, 64, await always.settleTo(round, tree, items));
    await always.settleSparse(round, tree, [[50, bit(1)]]);
    row(`self-claim always ${kind}`, 1, await always.claim(round, tree, 50 * 256 + 77));
  }
  const clone = await Campaign.deploy(chain, { clone: true });
  for (const kind of ['fresh', 'warm']) {
    const round = await clone.round(tree);
    await clone.settleSparse(round, tree, [[50, bit(1)], [60, 1n]]);
    row(`clone: settle 512 ${kind}`, 512, await clone.settle(round, tree, 0, 7));
    row(`clone: self-claim always ${kind}`, 1, await clone.claim(round, tree, 50 * 256 + 77));
  }
  await measureGate(chain, tree, row, rows);
  const exitOnly = await Campaign.deploy(chain, { policy: 1 });
  const rounds = [];
  for (let k = 0; k < 2; k += 1) {
    const round = await exitOnly.round(tree);
    await exitOnly.settleSparse(round, tree, [[50, bit(1)]]);
    rounds.push(round);
  }
  await exitOnly.leaveActive();
  for (const [i, kind] of ['fresh', 'warm'].entries()) {
    row(`self-claim exitOnly ${kind}`, 1, await exitOnly.claim(rounds[i], tree, 50 * 256 + 77));
  }
  return rows;
}

/** What a gate adds: two full words settled on its word, against the same two words without one, each on a chain state of its own. */
async function measureGate(chain, tree, row, rows) {
  const [plain, gated] = [await Campaign.deploy(chain), await Campaign.deploy(chain)];
  await gated.installGate();
  const full = (1n << 256n) - 1n;
  const words = [[0, full], [1, full]];
  for (const kind of ['fresh', 'warm']) {
    const [without, round] = [await plain.round(tree), await gated.round(tree, 2)];
    await plain.settleSparse(without, tree, [[60, 1n]]);
    await gated.settleGated(round, tree, [[60, 1n]]);
    row(`sparse 512 full words ${kind}`, 512, await plain.settleSparse(without, tree, words));
    row(`gated 512 ${kind}`, 512, await gated.settleGated(round, tree, words));
    await gated.settleGated(round, tree, [[50, bit(1)]]);
    row(`claim with a gate's word ${kind}`, 1, await gated.claimAttested(round, tree, 50 * 256 + 77));
    const [with_, bare] = [rows[`gated 512 ${kind}`], rows[`sparse 512 full words ${kind}`]];
    row(`gate alone, of 512 ${kind}`, 512, { gas: with_.gas - bare.gas, bytes: (with_.bytesPerRecipient - bare.bytesPerRecipient) * 512 });
  }
}

/** The goal beside a figure, and by how much it is missed if it is. */
function goalOf(name, perRecipient) {
  const goal = GOALS[name];
  if (!goal) return '';
  const over = perRecipient > goal ? ` (missed by ${((perRecipient / goal - 1) * 100).toFixed(1)} %)` : '';
  return `≤${goal.toLocaleString('en')}${over}`;
}

function print(rows) {
  const peer = (name) => (PEERS[name] ?? []).map(([who, gas]) => `${who} ${gas.toLocaleString('en')}`).join('; ');
  console.log(`${'case'.padEnd(32)}${'gas/recipient'.padStart(14)}${'bytes'.padStart(9)}${'floor'.padStart(9)}${'×'.padStart(7)}  ${'goal'.padEnd(20)} peers (reference figures)`);
  for (const [name, { k, perRecipient, bytesPerRecipient }] of Object.entries(rows)) {
    const alone = name.startsWith('gate alone');
    const floor = name.includes('claim') ? floorOfClaim(name.endsWith('fresh')) : floorOfBatch(k, name.endsWith('fresh'));
    console.log(
      `${name.padEnd(32)}${perRecipient.toLocaleString('en').padStart(14)}${bytesPerRecipient.toLocaleString('en').padStart(9)}${(alone ? '–' : Math.round(floor).toLocaleString('en')).padStart(9)}${(alone ? '–' : (perRecipient / floor).toFixed(3)).padStart(7)}  ${goalOf(name, perRecipient).padEnd(20)} ${peer(name)}`,
    );
  }
}

function failures(rows) {
  const bad = [];
  const committed = JSON.parse(readFileSync(snapshotFile, 'utf8'));
  for (const [name, { gas }] of Object.entries(rows)) {
    if (committed[name]?.gas !== gas) bad.push(`${name}: ${gas} gas, committed ${committed[name]?.gas} (npm run gas:write after looking at why)`);
  }
  return bad;
}

const chain = await startChain();
try {
  const rows = await measure(chain);
  print(rows);
  if (process.argv.includes('--write')) writeFileSync(snapshotFile, JSON.stringify(rows, null, 1) + '\n');
  if (process.argv.includes('--check')) {
    const bad = failures(rows);
    bad.forEach((line) => console.error(line));
    process.exitCode = bad.length ? 1 : 0;
  }
} finally {
  chain.stop();
}
