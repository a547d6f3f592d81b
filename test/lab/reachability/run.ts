// One setting's column of the matrix, found out.

import { ask, isAnswer } from "./ask.js";
import { pathsTaken } from "./paths.js";
import { isFor, rows, titleOf } from "./rows.js";
import type { Setting } from "./settings.js";
import type { Cell } from "./table.js";
import { createWorld } from "./world.js";

/**
 * Brings up the setting's world, asks everything of the engine alone, then again with fairway, and looks which path it takes. Where
 * fairway replaces the engine's rules, it is asked once.
 * @param before what was answered another time, by titleOf(): only tells for which answers to wait longer
 * @param oracle of mode replace: what the engine that it stands in for answers alone
 * @param leave takes what is left to do: the world's disposal
 */
export async function runSetting(
  setting: Setting,
  before: ReadonlyMap<string, Cell>,
  oracle: ReadonlyMap<string, Cell> | undefined,
  leave: (disposal: () => Promise<void>) => void,
): Promise<Map<string, Cell>> {
  const world = await createWorld(setting);
  leave(() => world.lab.dispose());
  const asked = rows.filter((row) => isFor(row, setting));
  const alone = oracle ? aloneOf(oracle) : await ask(world, asked, aloneOf(before));
  await world.lab.fairway(oracle && { args: ["--mode", "replace"] });
  const fairway = await ask(world, asked, alone);
  const counted = asked.filter((row) => row.counted && isAnswer(fairway.get(titleOf(row))));
  const paths = await pathsTaken(world, counted);
  const cell = (title: string): Cell => {
    const path = paths.get(title);
    return { alone: alone.get(title) ?? "", fairway: fairway.get(title) ?? "", ...(path && { path }) };
  };
  return new Map(asked.map(titleOf).map((title) => [title, cell(title)]));
}

const aloneOf = (cells: ReadonlyMap<string, Cell>) =>
  new Map([...cells].map(([title, { alone }]) => [title, alone]));
