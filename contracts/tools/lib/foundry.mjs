// Where npm put Foundry's own binaries. Its wrappers in node_modules/.bin end with 0 whatever the tool ended with, so a
// failing test would look like a passing one: nothing here goes through them.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const PLATFORMS = { linux: 'linux', darwin: 'darwin', win32: 'win32' };
const MACHINES = { x64: 'amd64', arm64: 'arm64' };

/** Path of `forge`, `anvil` or `cast`. */
export function binary(tool) {
  const platform = PLATFORMS[process.platform];
  const machine = MACHINES[process.arch];
  if (!platform || !machine) throw new Error(`no ${tool} for ${process.platform} ${process.arch}`);
  const suffix = platform === 'win32' ? '.exe' : '';
  return require.resolve(`@foundry-rs/${tool}-${platform}-${machine}/bin/${tool}${suffix}`);
}
