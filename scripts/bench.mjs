#!/usr/bin/env node
// Runs the load tests one after another and prints one table: every figure that has a goal, goal beside figure, and every
// goal that nothing was measured for. `--full` takes the sizes that the goals are stated for, and hours.
//
// Finished reports are kept in target/bench.jsonl. Interrupted, the same command goes on behind the last one, as long as the
// binary is the same; `--anew` begins anew. A run may take four times what it says it takes, and five minutes.
//
// Fails when a measurement fails, not when a goal is missed or nothing was measured for one: the table says which were.

import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { goals, runs } from "./bench/goals.mjs";
import { lines, rows } from "./bench/table.mjs";

const full = process.argv.includes("--full");
const BINARY = process.env.SLUICE_LOAD ?? "target/release/sluice-load";
const FOLDER = process.env.SLUICE_BENCH ?? "target";
const [KEPT, LAST, TABLE] = ["bench.jsonl", "bench-last.jsonl", "bench.txt"].map((name) => `${FOLDER}/${name}`);
/** Seconds that any run may take, and how many times as long as it says. */
const [AT_LEAST, TIMES] = [Number(process.env.SLUICE_BENCH_SECONDS ?? 300), 4];
/** Seconds until a run that was told to end is killed. */
const END_WITHIN = 60;

const { size, mtimeMs } = statSync(BINARY);
const binary = `${size} bytes of ${new Date(mtimeMs).toISOString()}`;
if (process.argv.includes("--anew")) rmSync(KEPT, { force: true });

/** Reports of this binary that a run before this one has kept, by their arguments. */
function kept() {
  const text = existsSync(KEPT) ? readFileSync(KEPT, "utf8") : "";
  const found = new Map();
  for (const line of text.split("\n")) {
    try {
      const result = JSON.parse(line);
      if (result.binary === binary) found.set(result.args.join(" "), result);
    } catch {
      // Cut short, or the empty one at the end.
    }
  }
  return found;
}

let child;
let interrupted = false;
// The child gets it from the terminal too, and stops its servers.
process.on("SIGINT", () => {
  interrupted = true;
  if (!child) process.exit(130);
});

/** One load test; resolves to its report, or to what went wrong. */
function run(args) {
  return new Promise((resolve) => {
    const begun = Date.now();
    child = spawn(BINARY, [...args, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
    let [last, estimate, tooLong, killing] = ["", 0, undefined, undefined];
    const bound = () => AT_LEAST + TIMES * estimate;
    const end = () => {
      tooLong = `no end after ${bound()} s; it said that it takes about ${estimate}`;
      child.kill("SIGINT");
      killing = setTimeout(() => child.kill("SIGKILL"), END_WITHIN * 1_000);
    };
    let ending = setTimeout(end, bound() * 1_000);
    createInterface({ input: child.stdout }).on("line", (line) => {
      last = line;
      if (!line.startsWith("{")) console.log(line);
    });
    createInterface({ input: child.stderr }).on("line", (line) => {
      console.error(line);
      const said = line.match(/: about (\d+) s here/);
      if (!said || tooLong) return;
      estimate += Number(said[1]);
      clearTimeout(ending);
      ending = setTimeout(end, begun + bound() * 1_000 - Date.now());
    });
    const finish = (result) => {
      clearTimeout(ending);
      clearTimeout(killing);
      child = undefined;
      resolve({ binary, args, at: new Date(begun).toISOString(), seconds: (Date.now() - begun) / 1_000, ...result });
    };
    child.on("error", (error) => finish({ error: error.message }));
    child.on("close", (code, signal) => {
      if (tooLong) return finish({ error: tooLong });
      if (code !== 0) return finish({ error: signal ?? `exit ${code}` });
      try {
        finish({ report: JSON.parse(last) });
      } catch {
        finish({ error: `printed no report last, but: ${last}` });
      }
    });
  });
}

const before = kept();
const results = [];
for (const args of runs(full)) {
  console.log(`\n=== sluice-load ${args.join(" ")}`);
  const done = before.get(args.join(" "));
  if (done) {
    console.log(`measured ${done.at}; taken from ${KEPT} (--anew measures again)`);
    results.push(done);
    continue;
  }
  const result = await run(args);
  if (interrupted) {
    console.error(`interrupted; the same command goes on behind the last of ${KEPT}`);
    process.exit(130);
  }
  results.push(result);
  if (result.report) appendFileSync(KEPT, `${JSON.stringify(result)}\n`);
}

const minutes = Math.round(results.reduce((sum, result) => sum + result.seconds, 0) / 60);
const machine = results.find((result) => result.report)?.report.machine;
const here = machine ? `, ${machine.processor}, ${machine.cores} cores` : "";
const text = [`--- ${full ? "full" : "reduced"} size, ${minutes} minutes${here}`, ...lines(rows(results, goals(full)))].join("\n");
console.log(`\n${text}`);
writeFileSync(TABLE, `${text}\n`);
const failed = results.some((result) => result.error);
// Once whole, the next table is measured anew; else the next run does what failed.
if (!failed) renameSync(KEPT, LAST);
console.log(`\nthis table: ${TABLE}; the reports: ${failed ? KEPT : LAST}`);
process.exit(failed ? 1 : 0);
