// A private anvil for the tools, spoken to over plain JSON-RPC: pinned fork, the transaction gas cap switched on.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AbiCoder, Interface, concat } from 'ethers';
import { binary } from './foundry.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const CHAIN_ID = 31337;
export const TX_GAS_CAP = 16_777_216;

export function artifact(name) {
  const { abi, bytecode } = JSON.parse(readFileSync(join(root, 'abi', `${name}.json`), 'utf8'));
  return { abi: new Interface(abi), code: bytecode.object };
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Starts anvil and returns a connection; `stop()` ends it. */
export async function startChain() {
  const port = await freePort();
  const flags = ['--port', `${port}`, '--hardfork', 'osaka', '--enable-tx-gas-limit', ...(process.env.STEPS ? ['--steps-tracing'] : []), '--chain-id', `${CHAIN_ID}`, '--base-fee', '0', '--gas-limit', '60000000', '--timestamp', '1800000000'];
  const child = spawn(binary('anvil'), flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (text) => String(text).includes('Listening on') && resolve());
    child.on('exit', (code) => reject(new Error(`anvil ended with ${code}`)));
  });
  return new Chain(`http://127.0.0.1:${port}`, child);
}

class Chain {
  #id = 0;
  constructor(url, child) {
    this.url = url;
    this.child = child;
  }

  stop() {
    this.child.removeAllListeners('exit');
    this.child.kill('SIGTERM');
  }

  async rpc(method, ...params) {
    this.#id += 1;
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: this.#id, method, params }),
    });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message} ${JSON.stringify(error.data ?? '')}`);
    return result;
  }

  /** Accounts anvil has unlocked and funded. */
  accounts() {
    return this.rpc('eth_accounts');
  }

  /** Sends a transaction, mines it and returns its receipt; throws if it reverted. */
  async send(from, to, data, gas = TX_GAS_CAP) {
    const hash = await this.rpc('eth_sendTransaction', { from, to, data, gas: '0x' + gas.toString(16) });
    let receipt = null;
    // Anvil answers before it has mined; ask until it has, and give up if it never does.
    for (let asked = 0; receipt === null; asked += 1) {
      if (asked === 10_000) throw new Error(`never mined: ${hash}`);
      receipt = await this.rpc('eth_getTransactionReceipt', hash);
    }
    if (receipt.status !== '0x1') throw new Error(`reverted: ${to} ${data.slice(0, 10)}`);
    return receipt;
  }

  async deploy(from, { abi, code }, args) {
    const receipt = await this.send(from, undefined, concat([code, abi.encodeDeploy(args)]));
    return receipt.contractAddress;
  }

  async call(to, abi, name, args = []) {
    const result = await this.rpc('eth_call', { to, data: abi.encodeFunctionData(name, args) }, 'latest');
    return abi.decodeFunctionResult(name, result);
  }

  async now() {
    return BigInt((await this.rpc('eth_getBlockByNumber', 'latest', false)).timestamp);
  }

  async sleep(seconds) {
    await this.rpc('evm_increaseTime', seconds);
    await this.rpc('evm_mine');
  }

  async fund(address) {
    await this.rpc('anvil_impersonateAccount', address);
    await this.rpc('anvil_setBalance', address, '0x56bc75e2d63100000');
  }
}

export const abiCoder = AbiCoder.defaultAbiCoder();
