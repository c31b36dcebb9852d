#!/usr/bin/env node
// Runs the load tests one after another and prints one table: every figure that has a goal, goal beside figure. Ratios are
// from one run each. `--full` takes the sizes that the goals are stated for, and hours.
//
// Fails when a measurement fails, not when a goal is missed: the table says which were.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const full = process.argv.includes("--full");
const size = (reduced, whole) => String(full ? whole : reduced);
const runs = [
  ["snapshot", "--rows", size("1M,10M", "1M,10M,50M")],
  ["proofs", "--rows", size("10M", "50M")],
  ["sequence", "--claims", size(600_000, 10_000_000), "--turns", size(3, 5)],
  ["claims", "--wallets", size(300_000, 1_500_000), "--seconds", size(30, 60)],
  ["gated", "--claims", size(3_000, 10_000), "--turns", size(5, 7)],
  ["flood", "--turns", size(3, 5), "--attestations", size(100_000, 200_000)],
  ["settle", "--wallets", size(10_000, 20_000)],
  ["start", "--entries", size(1_000_000, 10_000_000), "--turns", size(2, 3)],
  ["size", "--claims", size(5_000, 20_000)],
  ["reader", "--seconds", size(20, 600), "--turns", size(2, 1), "--probes", size(4, 12)],
  ["overload", "--seconds", size(45, 300)],
  ["fair", "--turns", size(1, 3)],
  ["network", "--claimants", "100000"],
  ["workers", "--seconds", size(10, 30)],
  ["scenario", "mojaloop-1h", "--seconds", size(45, 3_600)],
  ["scenario", "tokentable-40m", "--full", "--wallets", size("100k", "40M")],
  ["scenario", "nation-50m", "--full", "--wallets", size("100k", "50M")],
  // A short one says nothing.
  ...(full ? [["soak", "--seconds", "1800"]] : []),
];

const number = (n) => (Math.abs(n) < 10 ? n.toFixed(2) : Math.abs(n) < 100 ? n.toFixed(1) : Math.round(n).toLocaleString("en"));
const goal = (g) => ("at_least" in g ? `≥ ${number(g.at_least)}` : `≤ ${number(g.at_most)}`);
const met = (f) => ("at_least" in f.goal ? f.value >= f.goal.at_least : f.value <= f.goal.at_most);

/** One load test; resolves to its report, or to what went wrong. */
function run(args) {
  return new Promise((resolve) => {
    const child = spawn("target/release/sluice-load", [...args, "--json"], { stdio: ["ignore", "pipe", "inherit"] });
    let last = "";
    createInterface({ input: child.stdout }).on("line", (line) => {
      last = line;
      if (!line.startsWith("{")) console.log(line);
    });
    child.on("error", (error) => resolve({ error: error.message }));
    child.on("close", (code, signal) => {
      if (code !== 0) return resolve({ error: signal ?? `exit ${code}` });
      try {
        resolve(JSON.parse(last));
      } catch {
        resolve({ error: `printed no report last, but: ${last}` });
      }
    });
  });
}

const rows = [["measured by", "what", "figure", "goal", ""]];
const started = Date.now();
let failed = false;
for (const args of runs) {
  console.log(`\n=== sluice-load ${args.join(" ")}`);
  const by = args.slice(0, args.findIndex((arg) => arg.startsWith("--"))).join(" ");
  const report = await run(args);
  if (report.error) {
    failed = true;
    rows.push([by, "FAILED", report.error, "", ""]);
    continue;
  }
  for (const figure of report.figures.filter((f) => f.goal)) {
    const { name, value, unit } = figure;
    rows.push([by, name, `${number(value)} ${unit}`, goal(figure.goal), met(figure) ? "met" : "MISSED"]);
  }
}

const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
console.log(`\n--- ${full ? "full" : "reduced"} size, ${Math.round((Date.now() - started) / 60_000)} minutes`);
for (const row of rows) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd());
process.exit(failed ? 1 : 0);
