/**
 * Who reaches whom, under which address and by which path: with fairway as with the engine alone, for every setting of settings.ts
 * and every row of rows.ts, and as docs/reachability.md has it.
 *
 * `FAIRWAY_REACHABILITY=write npm run test:lab -- reachability` writes that page anew; what is not asked (FAIRWAY_LAB_ENGINE,
 * FAIRWAY_REACHABILITY_SETTING) stays as it is.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "./lib/index.js";
import { exceptions, faultsOf, listedFor } from "./reachability/exceptions.js";
import { page } from "./reachability/page.js";
import { isFor, rows, titleOf } from "./reachability/rows.js";
import { runSetting } from "./reachability/run.js";
import { settings, settingsToTest } from "./reachability/settings.js";
import { type Cell, cellText, parseTable, type Table } from "./reachability/table.js";

const pagePath = join(root, "docs", "reachability.md");
const writing = process.env.FAIRWAY_REACHABILITY === "write";
const written = existsSync(pagePath) ? readFileSync(pagePath, "utf8") : "";
const committed = parseTable(written);
const sections = [...new Set(rows.map(({ section }) => section))];

/** Worlds are taken down while the next one comes up: mostly both wait. */
const disposals: Promise<void>[] = [];
afterAll(async () => {
  await Promise.all(disposals);
}, 120_000);

describe.each(settingsToTest())("reachability, engine $name", (setting) => {
  const wanted = committed.get(setting.name) ?? new Map<string, Cell>();
  const asked = rows.filter((row) => isFor(row, setting));
  let found: ReadonlyMap<string, Cell> = new Map();
  let dispose = async () => {};
  beforeAll(async () => {
    const oracle =
      setting.replaces === undefined ? undefined : (committed.get(setting.replaces) ?? new Map());
    found = await runSetting(setting, wanted, oracle, (disposal) => {
      dispose = disposal;
    });
  }, 180_000);
  afterAll(() => {
    disposals.push(dispose());
    if (!writing || found.size === 0) return;
    committed.set(setting.name, found);
    writeFileSync(pagePath, page(committed));
  });

  /** Title to text, of a section's rows. */
  const textsOf = (cells: ReadonlyMap<string, Cell>, section: string) =>
    Object.fromEntries(
      asked
        .filter((row) => row.section === section)
        .map(titleOf)
        .map((title) => [title, cells.get(title)])
        .map(([title, cell]) => [title, cell && cellText(cell as Cell)]),
    );

  it.each(sections)("%s: as the page has it", (section) => {
    const texts = textsOf(found, section);
    for (const text of Object.values(texts)) expect(text).toBeTypeOf("string");
    expect(texts, "if it is right, write the page anew").toEqual(textsOf(writing ? found : wanted, section));
  });

  it("with fairway as with the engine alone, and what the fast path claims is fast, or listed with a reason", () => {
    const unlisted = asked.flatMap((row) => {
      const cell = found.get(titleOf(row));
      const faults = cell ? faultsOf(row, cell) : [];
      const open = faults.filter((what) => cell && listedFor(what, row, setting, cell).length === 0);
      return cell && open.length > 0 ? [`${titleOf(row)}: ${cellText(cell)}`] : [];
    });
    expect(unlisted).toEqual([]);
  });
});

describe.skipIf(writing)("the reachability page", () => {
  it("is what its cells give", () => {
    expect(written).toBe(page(committed));
  });

  it("has every cell, more than 400, with an answer for most", () => {
    for (const setting of settings) {
      const titles = rows.filter((row) => isFor(row, setting)).map(titleOf);
      expect([...(committed.get(setting.name) ?? [])].map(([title]) => title)).toEqual(titles);
    }
    const cells = allCells(committed);
    expect(cells.length).toBeGreaterThan(400);
    expect(cells.filter(({ cell }) => cell.path === "fast").length).toBeGreaterThan(400);
  });

  it("has no cell for which a reason is missing, and no reason without a cell", () => {
    const cells = allCells(committed);
    const used = cells.flatMap(({ row, setting, cell }) => {
      const faults = faultsOf(row, cell);
      for (const what of faults) expect(listedFor(what, row, setting, cell), titleOf(row)).not.toEqual([]);
      return faults.flatMap((what) => listedFor(what, row, setting, cell));
    });
    expect(new Set(used)).toEqual(new Set(exceptions));
  });
});

function allCells(table: Table) {
  return settings.flatMap((setting) =>
    rows.flatMap((row) => {
      const cell = table.get(setting.name)?.get(titleOf(row));
      return cell ? [{ row, setting, cell }] : [];
    }),
  );
}
