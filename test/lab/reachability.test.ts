/**
 * Who reaches whom, and from which address: with fairway as with the engine alone, for every setting of settings.ts and every row
 * of rows.ts, and as docs/reachability.md has it.
 *
 * `FAIRWAY_REACHABILITY=write npm run test:lab -- reachability` writes that page anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "./lib/index.js";
import { type Answer, ask, isAnswer } from "./reachability/ask.js";
import { page } from "./reachability/page.js";
import { pathsTaken } from "./reachability/paths.js";
import { isFor, rows, titleOf } from "./reachability/rows.js";
import { type Setting, settingsToTest } from "./reachability/settings.js";
import { type Cell, cellText, parseTable, type Table } from "./reachability/table.js";
import { createWorld, type World } from "./reachability/world.js";

const pagePath = join(root, "docs", "reachability.md");
const writing = process.env.FAIRWAY_REACHABILITY === "write";

const committed = (): Table => {
  try {
    return parseTable(readFileSync(pagePath, "utf8"));
  } catch (error) {
    if (!writing) throw error;
    return parseTable("");
  }
};

/** Runs a setting: the engine alone, then with fairway. */
async function run(setting: Setting, before: ReadonlyMap<string, Cell>): Promise<Map<string, Cell>> {
  let world: World | undefined;
  const t = Date.now();
  const log = (s: string) => process.env.DEBUGT && console.log(setting.name, s, Date.now() - t);
  try {
    world = await createWorld(setting);
    log("world");
    const asked = rows.filter((row) => isFor(row, setting));
    const expected = new Map<string, Answer>([...before].map(([title, { alone }]) => [title, alone]));
    const alone = await ask(world, asked, expected);
    log("alone");
    await world.lab.fairway();
    log("fairway");
    const fairway = await ask(world, asked, alone);
    log("asked");
    const claimed = asked.filter((row) => row.counted && isAnswer(fairway.get(titleOf(row))));
    const paths = await pathsTaken(world, claimed);
    log("paths");
    return new Map(
      asked.map((row) => {
        const title = titleOf(row);
        const path = paths.get(title);
        return [
          title,
          { alone: alone.get(title) ?? "", fairway: fairway.get(title) ?? "", ...(path && { path }) },
        ];
      }),
    );
  } finally {
    await world?.lab.dispose();
    log("disposed");
  }
}

const table = committed();

describe.each(settingsToTest())("reachability, engine $name", (setting) => {
  let found: ReadonlyMap<string, Cell> = new Map();
  beforeAll(async () => {
    found = await run(setting, table.get(setting.name) ?? new Map());
    if (writing) table.set(setting.name, new Map(found));
  }, 180_000);

  it.each(rows.filter((row) => isFor(row, setting)).map(titleOf))("%s", (title) => {
    const cell = found.get(title);
    expect(cell).toBeDefined();
    const wanted = table.get(setting.name)?.get(title);
    expect(cell && cellText(cell)).toBe(wanted && cellText(wanted));
    expect(cell?.fairway).toBe(cell?.alone);
  });
});

afterAll(() => {
  if (writing) writeFileSync(pagePath, page(table));
});
