// `node --test scripts/bench/bench.test.mjs`; cargo's tests of the load tests run it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { goals, nameOf, runs } from "./goals.mjs";
import { lines, missing, number, rows } from "./table.mjs";

const figure = (name, value) => ({ name, value, unit: "×", goal: { at_least: 0.5 } });

test("a figure that is no number is shown and missed", () => {
  assert.equal(number(null), "no number");
  const results = [{ args: ["sequence", "--turns", "1"], report: { figures: [figure("decided / COPY", null)] } }];
  const row = rows(results, goals(false)).find((row) => row[1] === "decided / COPY");
  assert.deepEqual(row.slice(2, 5), ["no number ×", "≥ 0.50", "MISSED"]);
});

test("a goal without a figure has a row, and says why where that is known", () => {
  const results = [{ args: ["snapshot", "--rows", "10M"], report: { figures: [] } }];
  const row = rows(results, goals(false)).find((row) => row[1].startsWith("build against DuckDB"));
  assert.deepEqual(row.slice(2, 5), ["not measured", "≥ 2.5 ×", "MISSING"]);
  assert.match(row[5], /DuckDB is not installed: python3 -m venv/);
  assert.equal(lines([row]).length, 1);
});

test("of a run that failed every goal is missing", () => {
  const results = [{ args: ["claims", "--wallets", "5"], error: "exit 1" }];
  const table = rows(results, goals(false));
  const all = goals(false).filter(({ by }) => by === "claims").length;
  assert.equal(table.filter((row) => row[4] === "MISSING").length, all);
  assert.equal(missing("claims", [figure("full: decided", 1)], goals(false)).length, all - 1);
});

test("every goal belongs to a run", () => {
  for (const full of [false, true]) {
    const names = runs(full).map(nameOf);
    for (const goal of goals(full)) assert.ok(names.includes(goal.by), goal.by);
  }
});

const BENCH = fileURLToPath(new URL("../bench.mjs", import.meta.url));
/** Says what it was asked for, reports one figure, and does as the file beside it says for one kind of run. */
const FAKE = `#!/bin/bash
cd "$(dirname "$0")"
echo "$*" >>asked
echo "$1: about 0 s here, nothing of disk" >&2
[ "$(cat odd)" = "$1 fails" ] && exit 1
[ "$(cat odd)" = "$1 hangs" ] && exec sleep 60
[ "$(cat odd)" = "$1 interrupts" ] && kill -INT $PPID
echo '{"command":"x","machine":{"processor":"p","cores":2},"figures":[{"name":"n","value":null,"unit":"s","goal":{"at_most":1}}]}'
`;

test("an interrupted table goes on, a failed run is run again, and a whole one begins anew", () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-bench-"));
  const [binary, asked] = [join(folder, "load"), join(folder, "asked")];
  writeFileSync(binary, FAKE, { mode: 0o755 });
  const bench = (odd) => {
    writeFileSync(join(folder, "odd"), odd);
    writeFileSync(asked, "");
    const env = { ...process.env, SLUICE_LOAD: binary, SLUICE_BENCH: folder, SLUICE_BENCH_SECONDS: "2" };
    const done = spawnSync(process.execPath, [BENCH], { env, encoding: "utf8" });
    return { ...done, asked: readFileSync(asked, "utf8").trim().split("\n").filter(Boolean) };
  };
  const all = runs(false).length;
  try {
    const interrupted = bench("settle interrupts");
    assert.equal(interrupted.status, 130);
    assert.ok(!existsSync(join(folder, "bench.txt")));
    const rest = bench("reader fails");
    assert.equal(rest.asked.length + interrupted.asked.length, all + 1, "the one interrupted is run again");
    assert.equal(rest.status, 1);
    assert.match(readFileSync(join(folder, "bench.txt"), "utf8"), /reader +FAILED .*exit 1/);
    const hangs = bench("reader hangs");
    assert.equal(hangs.asked.length, 1);
    assert.match(hangs.stdout, /reader .*no end after 2 s/);
    // Another binary's reports are none of this one's.
    appendFileSync(binary, "\n");
    const other = bench("");
    assert.deepEqual([other.asked.length, other.status], [all, 0], other.stderr);
    assert.match(other.stdout, /no number s/);
    assert.equal(bench("").asked.length, all, "the table was whole");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
