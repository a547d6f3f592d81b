import { errorCode, UserError } from "../errors.js";
import { firewallGeneration, listLinks } from "../native/index.js";
import { nft as runNft } from "../nft.js";
import type { SlowPath } from "../plan/slow_path.js";
import { see } from "./listing.js";
import { ruleset } from "./ruleset.js";
import { changing, removing, TABLE, type Table, writing } from "./script.js";

/** For whom nft is run, in its errors. */
const WHO = { needs: "mode replace needs nft", refused: "nft refuses the slow path's rules" };

/** What apply() has done. */
export type Applied = "unchanged" | "written" | "restored";

/** The table as it was written last. */
interface Written {
  table: Table;
  /** The one that nftables' rules were in then; undefined: somebody else changed them at the same time. */
  generation: number | undefined;
  /** Seen.structure; undefined: not looked at since it changed. */
  structure: string | undefined;
}

/** Mode replace: keeps fairway's own table of nftables as planned, whoever else changes them. */
export class SlowPathTable {
  #written: Written | undefined;

  /**
   * Makes the table as planned, in one transaction: of what was written before only what differs.
   * @param look also at the table itself: somebody may have changed it
   * @returns "restored": somebody else had changed it or taken it away
   * @throws UserError where nft is missing or refuses; the table is as it was
   */
  async apply(slowPath: SlowPath, look: boolean): Promise<Applied> {
    const table = ruleset(slowPath);
    const before = this.#written;
    if (before === undefined) return this.#write(table, "written");
    if (look) {
      const found = await this.#look(before);
      if (found !== "same") return this.#write(table, found === "unsure" ? "written" : "restored");
    }
    const script = changing(before.table, table);
    if (script === "") return "unchanged";
    try {
      const { first, last } = await transaction(script);
      const undisturbed = first === before.generation && last === next(first);
      this.#written = {
        table,
        generation: undisturbed ? last : undefined,
        structure: script.includes("flush chain") ? undefined : before.structure,
      };
      return "written";
    } catch (error) {
      // It may be that there is nothing (any more) that could be changed.
      if (!(error instanceof UserError)) throw error;
      return this.#write(table, "restored");
    }
  }

  async #write(table: Table, done: Applied): Promise<Applied> {
    const { first, last } = await transaction(writing(table));
    this.#written = { table, generation: last === next(first) ? last : undefined, structure: undefined };
    return done;
  }

  /** Whether the table is as it was written. "unsure": nobody has looked at its rules before others changed some. */
  async #look(written: Written): Promise<"same" | "unsure" | "changed"> {
    const generation = firewallGeneration();
    if (generation === written.generation && written.structure !== undefined) return "same";
    const seen = await this.#see(written.table);
    if (!seen?.asPlanned) return "changed";
    // What was seen is what was written if nobody has changed anything from then until now.
    if (generation === written.generation) {
      if (firewallGeneration() === generation) written.structure = seen.structure;
      return "same";
    }
    if (written.structure === undefined) return "unsure";
    if (seen.structure !== written.structure) return "changed";
    written.generation = generation;
    return "same";
  }

  async #see(table: Table): Promise<ReturnType<typeof see> | undefined> {
    if (!(await isThere())) return undefined;
    const indexes = new Map(listLinks().map(({ name, ifindex }) => [name, ifindex]));
    const listing = await nft(["--json", "list", "table", ...TABLE.split(" ")]);
    return see(listing, table, (name) => indexes.get(name));
  }
}

/** Runs a script, and says between which generations. */
async function transaction(script: string): Promise<{ first: number; last: number }> {
  const first = firewallGeneration();
  await nft(["-f", "-"], script);
  return { first, last: firewallGeneration() };
}

const next = (generation: number) => (generation + 1) % 2 ** 32 || 1;

/**
 * Takes the table away.
 * @returns its name, if it was there
 */
export async function removeSlowPath(): Promise<string[]> {
  if (!(await isThere())) return [];
  await nft(["-f", "-"], removing());
  return [TABLE];
}

async function isThere(): Promise<boolean> {
  try {
    return (await nft(["list", "tables"])).split("\n").some((line) => line.trim() === `table ${TABLE}`);
  } catch (error) {
    // Who has no nft has written nothing with it.
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Runs nft and returns what it printed. */
function nft(args: string[], input = ""): Promise<string> {
  return runNft(WHO, args, input);
}
