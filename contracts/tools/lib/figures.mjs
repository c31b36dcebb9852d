// The floor, the goals and the peers' figures that the gas table is printed beside. Fork Osaka, OpenZeppelin ERC-20.

/**
 * What consensus alone takes per recipient of a batch of k: the recipient's balance slot (20,000 + 2,100 cold, or 5,000
 * warm), the Transfer log (1,756), 25 bytes of calldata (399), one bitmap word per 256 and the transaction's 21,000.
 */
export const floorOfBatch = (k, fresh) => (fresh ? 22_100 : 5_000) + 1_756 + 399 + 22_100 / 256 + 21_000 / k;

/** The same for a wallet's own claim at depth 20, in a bitmap word that is not fresh. */
export const floorOfClaim = (fresh) => (fresh ? 68_947 : 51_847);

/** What must hold (per recipient). */
export const GOALS = {
  'settle 512 fresh': 26_000,
  'settle 512 warm': 8_900,
  'self-claim always fresh': 84_000,
  'self-claim exitOnly fresh': 90_000,
  'gate alone, of 512 fresh': 25,
  'gate alone, of 512 warm': 25,
};

/**
 * Peers' gas per recipient, measured from their public source on the same fork with the same token (anvil 1.7.1, OZ
 * 5.7.0 ERC-20), at k = 100 where a batch, depth 20 where a proof is involved.
 */
export const PEERS = {
  'settle 512 fresh': [
    ['TokenTable batchDelegateClaim', 75_111],
    ['Merkl claim(users)', 101_660],
    ['multicall of OZ claims', 43_877],
    ['GasliteDrop (no proofs)', 25_633],
  ],
  'settle 512 warm': [
    ['TokenTable', 58_012],
    ['Merkl', 84_568],
    ['OZ multicall', 29_493],
    ['GasliteDrop', 8_532],
  ],
  'settle 128 fresh': [
    ['GasliteDrop k=100', 25_933],
    ['disperse', 26_606],
  ],
  'settle 128 warm': [
    ['GasliteDrop k=100', 8_833],
    ['disperse', 9_505],
  ],
  'isolated 1 fresh': [
    ['OZ pattern claim', 75_651],
    ['TokenTable claim', 121_236],
  ],
  'self-claim always fresh': [
    ['OZ pattern', 75_651],
    ['Uniswap', 80_443],
    ['Sablier', 93_459],
    ['TokenTable', 121_236],
    ['Merkl', 141_822],
  ],
  'self-claim always warm': [
    ['OZ pattern', 58_593],
    ['Uniswap', 63_343],
    ['TokenTable', 104_136],
    ['Merkl later', 90_516],
  ],
};
