// A suite's frame: the same tests against every engine, one lab at a time.

import { afterAll, beforeAll, describe } from "vitest";
import {
  createLab,
  type EngineKind,
  type EngineOptions,
  enginesToTest,
  type Fairway,
  type ImageName,
  type Lab,
  patience,
} from "./lib/index.js";

/** What the tests of a suite work with; filled before the first of them. */
export interface Stage {
  readonly kind: EngineKind;
  readonly lab: Lab;
  /** `fairway run` on the lab's host, unless the suite starts it itself. */
  readonly fairway: Fairway;
}

/** How a suite wants its stage. */
export interface SuiteOptions extends Omit<EngineOptions, "kind"> {
  /** Imported before the first test. */
  readonly images: readonly ImageName[];
  /** True: what is tested doesn't depend on the engine, one does. */
  readonly oneEngine?: boolean;
  /** False: the suite starts fairway itself. */
  readonly fairway?: boolean;
  /** More arguments for `fairway run`. */
  readonly args?: readonly string[];
  /** Before fairway starts: containers that exist already, as on a host where fairway is new. */
  readonly before?: (lab: Lab) => Promise<void>;
}

/** Declares a suite that runs once for every engine, in a fresh lab each. */
export function onEveryEngine(title: string, options: SuiteOptions, tests: (stage: Stage) => void): void {
  const { images, oneEngine = false, fairway = true, args = [], before, ...engine } = options;
  const kinds = enginesToTest();
  describe.each(oneEngine ? kinds.slice(-1) : kinds)(`${title}, engine %s`, (kind) => {
    const stage: { kind: EngineKind; lab?: Lab; fairway?: Fairway } = { kind };
    beforeAll(async () => {
      stage.lab = await createLab({ ...engine, kind });
      await stage.lab.engine.images(...images);
      await before?.(stage.lab);
      if (fairway) stage.fairway = await stage.lab.fairway({ args });
    }, 120_000 * patience);
    afterAll(() => stage.lab?.dispose(), 60_000 * patience);
    tests(filledLater(stage));
  });
}

/** A view of the stage that says so when something is used before it is there. */
function filledLater(stage: Partial<Stage>): Stage {
  const get = <K extends keyof Stage>(key: K): Stage[K] => {
    const value = stage[key];
    if (value === undefined) throw new Error(`the suite has no ${key}`);
    return value as Stage[K];
  };
  return {
    get kind() {
      return get("kind");
    },
    get lab() {
      return get("lab");
    },
    get fairway() {
      return get("fairway");
    },
  };
}
