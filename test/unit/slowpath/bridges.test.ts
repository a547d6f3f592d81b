import { describe, expect, test } from "vitest";
import type { EngineState } from "../../../src/docker/model.js";
import type { NetLink } from "../../../src/native/index.js";
import { Bridges } from "../../../src/slowpath/bridges.js";

/** An engine that lists networks of these bridges. */
const engine = (...bridges: string[]) =>
  ({ networks: bridges.map((bridgeName) => ({ bridgeName })) }) as unknown as EngineState;

/** Bridges by name with their ifindexes, and a device that is none. */
const links = (bridges: Record<string, number>) =>
  [
    { ifindex: 1, name: "lo", kind: undefined },
    ...Object.entries(bridges).map(([name, ifindex]) => ({ ifindex, name, kind: "bridge" })),
  ] as unknown as NetLink[];

describe("bridges whose they are is known", () => {
  test("are at once the engine's, and whatever was there before", () => {
    const bridges = new Bridges();
    expect(bridges.known(engine("br-a"), links({ "br-a": 2, virbr0: 3 }), 0).sort()).toEqual([2, 3]);
    expect(bridges.unsettled).toBe(false);
  });

  test("are others' only after a while, for the engine lists a network when its bridge is there already", () => {
    const bridges = new Bridges();
    bridges.known(engine(), links({}), 0);
    const both = links({ "br-a": 2, virbr0: 3 });
    expect(bridges.known(engine(), both, 1000)).toEqual([]);
    expect(bridges.unsettled).toBe(true);
    expect(bridges.known(engine("br-a"), both, 1500)).toEqual([2]);
    expect(bridges.known(engine("br-a"), both, 3999)).toEqual([2]);
    expect(bridges.known(engine("br-a"), both, 4000)).toEqual([2, 3]);
    expect(bridges.unsettled).toBe(false);
  });

  test("are not others' for as long as the engine does not answer", () => {
    const bridges = new Bridges();
    bridges.known(engine(), links({ virbr0: 3 }), 0);
    for (let i = 0; i < 3; i++)
      expect(bridges.known(engine(), links({ virbr0: 3, "br-a": 4 }), undefined)).toEqual([3]);
    expect(bridges.known(engine(), links({ virbr0: 3, "br-a": 4 }), 60_000)).toEqual([3]);
    expect(bridges.known(engine(), links({ virbr0: 3, "br-a": 4 }), 63_000)).toEqual([3, 4]);
  });

  test("are other ones when they come again under an old name", () => {
    const bridges = new Bridges();
    bridges.known(engine(), links({ virbr0: 3 }), 0);
    expect(bridges.known(engine(), links({ virbr0: 5 }), 1000)).toEqual([]);
    bridges.known(engine(), links({}), 2000);
    expect(bridges.known(engine(), links({ virbr0: 6 }), 9000)).toEqual([]);
  });

  test("are the engine's from when it lists them", () => {
    const bridges = new Bridges();
    bridges.known(engine(), links({ mine: 3 }), 0);
    expect(bridges.known(engine("mine"), links({ mine: 3 }), 10)).toEqual([3]);
    expect(bridges.known(engine(), links({ mine: 3 }), 20)).toEqual([]);
  });
});
