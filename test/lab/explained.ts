// `fairway explain` in a lab.

import type { Explanation } from "../../src/explain/conclude.js";
import { fairwayCommand, fairwayPlaces, type Lab } from "./lib/index.js";

/** What fairway tells of a packet. */
export async function explained(lab: Lab, source: string, destination: string): Promise<Explanation> {
  const question = ["explain", source, destination, "-o", "json", ...fairwayPlaces(lab)];
  const { stdout } = await fairwayCommand(lab, question);
  return JSON.parse(stdout) as Explanation;
}
