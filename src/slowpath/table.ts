import { createHash } from "node:crypto";
import { errorCode } from "../errors.js";
import { nft as runNft } from "../nft.js";
import type { SlowPath } from "../plan/slow_path.js";
import { removal, ruleset, TABLE } from "./ruleset.js";

/** For whom nft is run, in its errors. */
const WHO = { needs: "mode replace needs nft", refused: "nft refuses the slow path's rules" };

/** What apply() has done. */
export type Applied = "unchanged" | "written" | "restored";

/** Mode replace: keeps fairway's own table of nftables as planned, whoever else changes them. */
export class SlowPathTable {
  /** What was written last, and what the kernel made of it. */
  #written: { script: string; seen: string } | undefined;

  /**
   * Makes the table as planned, in one transaction.
   * @param look also when the plan is what it was: somebody may have changed the table
   * @returns "restored": somebody else had changed it or taken it away
   * @throws UserError where nft is missing or refuses; the table is as it was
   */
  async apply(slowPath: SlowPath, look: boolean): Promise<Applied> {
    const script = ruleset(slowPath);
    const same = this.#written?.script === script;
    if (same && (!look || (await fingerprint()) === this.#written?.seen)) return "unchanged";
    await nft(["-f", "-"], script);
    this.#written = { script, seen: await fingerprint() };
    return same ? "restored" : "written";
  }
}

/**
 * Takes the table away.
 * @returns its name, if it was there
 */
export async function removeSlowPath(): Promise<string[]> {
  if (!(await isThere())) return [];
  await nft(["-f", "-"], removal());
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

/** The same as long as nobody changes the table. */
async function fingerprint(): Promise<string> {
  if (!(await isThere())) return "";
  const listed = await nft(["--stateless", "list", "table", ...TABLE.split(" ")]);
  return createHash("sha256").update(listed).digest("hex");
}

function nft(args: string[], input = ""): Promise<string> {
  return runNft(WHO, args, input);
}
