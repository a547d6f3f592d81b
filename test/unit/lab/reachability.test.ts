// The pure parts of the reachability matrix (test/lab/reachability).

import { describe, expect, it } from "vitest";
import { publisherOf } from "../../lab/reachability/cast.js";
import { faultsOf } from "../../lab/reachability/exceptions.js";
import { page } from "../../lab/reachability/page.js";
import { pairsOf, roundsOf } from "../../lab/reachability/paths.js";
import { endsOf, type Row, rows, titleOf } from "../../lab/reachability/rows.js";
import { settings } from "../../lab/reachability/settings.js";
import { type Cell, cellText, parseTable } from "../../lab/reachability/table.js";

const cells: readonly Cell[] = [
  { alone: "client", fairway: "client", path: "fast" },
  { alone: "GW app", fairway: "GW app" },
  { alone: "nothing", fairway: "refused" },
  { alone: "peer", fairway: "GW app", path: "slow" },
];

describe("the reachability matrix", () => {
  it("has every question once", () => {
    expect(new Set(rows.map(titleOf)).size).toBe(rows.length);
  });

  it("writes a page and reads its cells again", () => {
    const table = new Map(
      settings.map(({ name }, i) => [
        name,
        new Map(rows.map((row, j) => [titleOf(row), cells[(i + j) % cells.length] as Cell])),
      ]),
    );
    expect(parseTable(page(table))).toEqual(table);
  });

  it("leaves out of a page what is no more", () => {
    const line = "| gone | host:1 | TCP | IPv4 | client | client | client | client | client | client |";
    expect([...parseTable(line).values()].map(({ size }) => size)).toEqual(settings.map(() => 0));
  });

  it("shows where fairway differs", () => {
    expect(cells.map(cellText)).toEqual([
      "client, fast",
      "GW app",
      "nothing → refused",
      "peer → GW app, slow",
    ]);
  });

  it("takes another answer for a fault, and a slow path where the fast one is claimed", () => {
    const row = (claimed: boolean) => ({ ...rows[0], claimed }) as Row;
    expect(cells.map((cell) => faultsOf(row(true), cell))).toEqual([[], [], ["answer"], ["answer", "path"]]);
    expect(cells.map((cell) => faultsOf(row(false), cell))).toEqual([[], [], ["answer"], ["answer"]]);
  });

  it("knows who publishes a port: with an address, in a range, not at all", () => {
    expect([7000, 7003, 7012, 7013, 7020, 7009, 7014].map(publisherOf)).toEqual([
      "web",
      "web",
      "web",
      "web",
      "shop",
      undefined,
      undefined,
    ]);
  });

  it("counts no container for two pairs at once, and every pair in some round", () => {
    const pairs = pairsOf(rows.filter(({ counted }) => counted !== undefined));
    const rounds = roundsOf(pairs);
    expect(rounds.flat()).toHaveLength(pairs.length);
    expect(rounds.length).toBeLessThan(pairs.length);
    for (const round of rounds) {
      const ends = round.flatMap((pair) => [...new Set(pair.flatMap(endsOf))]);
      expect(new Set(ends).size).toBe(ends.length);
    }
  });
});
