// What `make bench` runs, and the goals that its table must show. A goal that no report has a figure for gets a row of its own:
// a table that leaves rows out silently looks as if all were met.

/** The load tests in order. Ratios are from one run each. */
export function runs(full) {
  const size = (reduced, whole) => String(full ? whole : reduced);
  return [
    ["snapshot", "--rows", size("1M,10M", "1M,10M,50M")],
    ["proofs", "--rows", size("10M", "50M"), "--http-rows", size("200k", "50M")],
    ["sequence", "--claims", size(600_000, 10_000_000), "--turns", size(3, 5)],
    // As many wallets as the time may take.
    ["claims", "--seconds", size(20, 60), "--calm-seconds", size(10, 20)],
    ["gated", "--claims", size(3_000, 10_000), "--turns", size(5, 7)],
    // As many attestations as the time may take: handed in again, they are another kind of work.
    ["flood", "--turns", size(3, 5)],
    ["settle", "--wallets", size(10_000, 20_000)],
    ["start", "--entries", size(1_000_000, 10_000_000), "--turns", size(2, 3)],
    ["size", "--claims", size(5_000, 20_000)],
    ["reader", "--seconds", size(20, 600), "--turns", size(2, 1), "--probes", size(4, 12)],
    ["overload", "--seconds", size(45, 300)],
    ["fair", "--turns", size(1, 3)],
    ["network", "--claimants", "100000"],
    ["workers", "--seconds", size(10, 30)],
    ["scenario", "mojaloop-1h", "--seconds", size(45, 3_600)],
    // Fewer claims over HTTP than claimants, so that some come through the door as well.
    ["scenario", "tokentable-40m", "--full", "--wallets", size("100k", "40M"), "--over-http", size("2k", "20k")],
    ["scenario", "nation-50m", "--full", "--wallets", size("100k", "50M"), "--over-http", size("2k", "20k")],
    // A short one says nothing.
    ...(full ? [["soak", "--seconds", "1800"]] : []),
  ];
}

/** A run's name in the table: what stands before its options. */
export const nameOf = (args) => args.slice(0, args.findIndex((arg) => arg.startsWith("--"))).join(" ");

const DUCKDB = "DuckDB is not installed: python3 -m venv v && v/bin/pip install duckdb, then PATH=$PWD/v/bin:$PATH make bench";
const NPM = "npm OpenZeppelin is not installed: make setup";
const MEMORY = "not enough memory for this size";

/** The goals: by which run, the beginning of the figure's name, the goal in words, why it is missing where that is known. */
export function goals(full) {
  const largest = full ? "50M" : "10M";
  return [
    ["snapshot", `build, everything but the sync, ${largest}`, "≥ 6 M rows/s", MEMORY],
    ["snapshot", `durable, ${largest}`, "≤ 1.15 ×", MEMORY],
    ["snapshot", `peak memory beyond the page cache, ${largest}`, "≤ 64 B/wallet", MEMORY],
    ["snapshot", `build against DuckDB, ${largest}`, "≥ 2.5 ×", DUCKDB],
    ["snapshot", `time a row, ${largest} against `, "≤ 1.15 ×", MEMORY],
    ["snapshot", `tree against batched Keccak, ${largest}`, "≥ 0.75 ×", MEMORY],
    ["snapshot", `tree against rs_merkle, ${largest}`, "≥ 30 ×", MEMORY],
    ["snapshot", "OpenZeppelin's format, ", "≥ 2 M rows/s", MEMORY],
    ["snapshot", "our build in that format against npm's", "≥ 250 ×", NPM],
    ["proofs", `look-ups with proof, ${largest}, warm`, "≥ 100 k/s a core"],
    ["proofs", "look-ups over HTTP against a static answer", "≥ 0.7 ×"],
    ["proofs", "memory of a node that serves the list", "≤ 300 MB"],
    ["sequence", "decided, durable, answered", "≥ 30 k/s"],
    ["sequence", "decided / COPY", "≥ 0.5 ×"],
    ["claims", "full: decided", "≥ 10 k/s"],
    ["claims", "full: decided / accepted", "≥ 0.99"],
    ["claims", "at 70 %: due and not sent", "0"],
    ["claims", "at 70 %: p99", "≤ 250 ms"],
    ["claims", "reconciliation: differences", "0"],
    ["start", "start from the log", "≤ 20 s for 10 M"],
    ["start", "start from the dump", "≤ 2 s"],
    ["overload", "offered", "≥ 0.95 of ten times the cap"],
    ["overload", "overload / pressed", "≥ 0.9 ×"],
    ["overload", "memory, last third / first", "flat"],
    ["overload", "as before again after", "≤ 60 s"],
    ["overload", "reconciliation: differences", "0"],
    ["fair", "p99 beside / alone", "< 2 ×"],
    ["network", "refused by a network limit", "0"],
    ["workers", "leader: busiest worker / median", "≤ 1.2 ×"],
    ["workers", "follower: busiest worker / median", "≤ 1.2 ×"],
    ["workers", "overtaken", "0"],
    ["workers", "reconciliation: differences", "0"],
    ["scenario mojaloop-1h", "not decided within a second", "≤ 1 %"],
    ["scenario mojaloop-1h", "due and not sent", "0"],
    ["scenario tokentable-40m", "  their share of all decisions", "≥ 0.1"],
    ["scenario tokentable-40m", "wallets that have what is listed", "all"],
    ["scenario nation-50m", "  their share of all decisions", "≥ 0.1"],
    ["scenario nation-50m", "wallets that have what is listed", "all"],
    ...(full
      ? [
          ["soak", "offered / decided and paid when pressed", "≥ 0.69"],
          ["soak", "memory, last third / first", "flat"],
          ["soak", "p99, last third / first", "flat"],
          ["soak", "log and chain: differences", "0"],
        ]
      : []),
  ].map(([by, name, goal, why]) => ({ by, name, goal, why }));
}
