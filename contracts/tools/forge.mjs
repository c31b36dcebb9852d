// Runs forge with the given arguments and ends as it ended: node tools/forge.mjs test
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from './lib/foundry.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { status, signal, error } = spawnSync(binary('forge'), process.argv.slice(2), { cwd: root, stdio: 'inherit' });
if (error) throw error;
if (signal) throw new Error(`forge was ended by ${signal}`);
process.exitCode = status;
