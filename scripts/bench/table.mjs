// The table of all figures that have a goal.

import { nameOf } from "./goals.mjs";

/** A figure as people read it. JSON has no NaN and no infinity; a figure that came to one is null. */
export function number(n) {
  if (typeof n !== "number" || !Number.isFinite(n)) return "no number";
  return Math.abs(n) < 10 ? n.toFixed(2) : Math.abs(n) < 100 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}

const goalOf = (g) => ("at_least" in g ? `≥ ${number(g.at_least)}` : `≤ ${number(g.at_most)}`);

function met({ value, goal }) {
  if (typeof value !== "number") return "MISSED";
  return ("at_least" in goal ? value >= goal.at_least : value <= goal.at_most) ? "met" : "MISSED";
}

/** The rows: of each run its figures that have a goal, then the goals that it has no figure for. */
export function rows(results, goals) {
  const table = [["measured by", "what", "figure", "goal", "", "why"]];
  for (const { args, report, error } of results) {
    const by = nameOf(args);
    const figures = (report?.figures ?? []).filter((figure) => figure.goal);
    if (error) table.push([by, "FAILED", "", "", "FAILED", error]);
    for (const figure of figures) {
      table.push([by, figure.name, `${number(figure.value)} ${figure.unit}`, goalOf(figure.goal), met(figure), ""]);
    }
    for (const { name, goal, why } of missing(by, figures, goals)) {
      table.push([by, name.trim(), "not measured", goal, "MISSING", error ? "" : (why ?? "the report has no such figure")]);
    }
  }
  return table;
}

/** The goals of a run that it has no figure for. */
export function missing(by, figures, goals) {
  const has = (goal) => figures.some((figure) => figure.name.startsWith(goal.name));
  return goals.filter((goal) => goal.by === by && !has(goal));
}

/** Rows as lines with aligned columns. */
export function lines(table) {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd());
}
