import { describe, expect, it } from "vitest";
import { type ActualState, emptyActual, FILLED_MAPS } from "../../../src/datapath/actual.js";
import { type Changes, diff } from "../../../src/datapath/diff.js";
import { mapDefinitions, PORT_NUMBERS } from "../../../src/generated/index.js";
import type { Plan, PlannedPort } from "../../../src/plan/types.js";
import { dual, endpoint, planOf, port } from "./scene.js";

/** What the kernel holds after a pass, with the pass. */
function pass(actual: ActualState, plan: Plan, resting?: ReadonlySet<number>): [ActualState, Changes] {
  const changes = diff(actual, plan, undefined, resting);
  const endpoints = new Map(actual.endpoints);
  for (const { slot } of changes.gone) endpoints.delete(slot);
  for (const { slot, endpoint: value } of changes.write) endpoints.set(slot, value);
  const filled = {} as ActualState["filled"];
  for (const name of FILLED_MAPS) {
    filled[name] = new Map(actual.filled[name]);
    for (const key of changes.maps[name].remove) filled[name].delete(key.toString("hex"));
    for (const entry of changes.maps[name].write) filled[name].set(entry.key.toString("hex"), entry);
  }
  return [{ endpoints, filled, nextGeneration: changes.nextGeneration ?? actual.nextGeneration }, changes];
}

/** As the maps have them: "0.0.0.0 8080" and its number. */
function numbers(state: ActualState): Record<string, number> {
  return Object.fromEntries(
    (["ports_ipv4", "ports_ipv6"] as const).flatMap((name) =>
      [...state.filled[name].values()].map(({ key, value }) => {
        const { address, port: number } = mapDefinitions[name].key.decode(key);
        return [`${address} ${number}`, mapDefinitions[name].value.decode(value).number];
      }),
    ),
  );
}

const [one, two] = [dual(1), endpoint(2)] as const;
const onIpv6 = (number: number) => port(one, number, { address: "::", containerAddress: "2001:db8:17::1" });

describe("the numbers of published ports", () => {
  it("are given from 1 on, one for each address, port and protocol, in both families", () => {
    const ports = [port(one, 80), port(one, 80, { proto: "udp" }), onIpv6(80)];
    const [state, { ports: given }] = pass(emptyActual(), planOf([one], { ports }));
    expect([...given.byNumber]).toEqual([
      [1, ports[0]],
      [2, ports[1]],
      [3, ports[2]],
    ]);
    expect(given).toMatchObject({ fresh: [1, 2, 3], freed: [], unnumbered: 0, orphaned: false });
    expect(numbers(state)[":: 80"]).toBe(3);
  });

  it("stay as they are while a port leads to its container, whatever comes and goes beside it, and after a start from what is pinned", () => {
    const [state] = pass(emptyActual(), planOf([one], { ports: [port(one, 80), port(one, 81)] }));
    const ports = [port(two, 79), port(one, 81), onIpv6(81)];
    const [next, { ports: given }] = pass(state, planOf([one, two], { ports }));
    expect(numbers(next)).toEqual({ "0.0.0.0 79": 3, "0.0.0.0 81": 2, ":: 81": 4 });
    expect(given).toMatchObject({ fresh: [3, 4], freed: [1] });
    expect(given.byNumber.get(2)).toBe(ports[1]);
  });

  it("are others when the container is another one, or its port", () => {
    const [state] = pass(emptyActual(), planOf([one], { ports: [port(one, 80)] }));
    const [, heir] = pass(state, planOf([two], { ports: [port(two, 80)] }));
    expect(heir.ports).toMatchObject({ fresh: [2], freed: [1], orphaned: false });
    const [, moved] = pass(state, planOf([one], { ports: [port(one, 80, { containerPort: 81 })] }));
    expect(moved.ports).toMatchObject({ fresh: [2], freed: [1], orphaned: true });
  });

  it("tell when flow entries that hold may bear one that was freed: the port goes, its endpoint stays", () => {
    const [state] = pass(emptyActual(), planOf([one, two], { ports: [port(one, 80)] }));
    expect(pass(state, planOf([one, two]))[1].ports).toMatchObject({ freed: [1], orphaned: true });
    // To another of its container's networks, say.
    const elsewhere = planOf([one, two], { ports: [port(two, 80)] });
    expect(pass(state, elsewhere)[1].ports).toMatchObject({ fresh: [2], freed: [1], orphaned: true });
    expect(pass(state, planOf([two]))[1].ports).toMatchObject({ freed: [1], orphaned: false });
  });

  it("are not given again in the pass that frees them, nor while they rest", () => {
    const [state] = pass(emptyActual(), planOf([one, two], { ports: [port(one, 80)] }));
    const successor = planOf([two], { ports: [port(two, 81)] });
    expect(pass(state, successor)[1].ports.fresh).toEqual([2]);
    const [empty] = pass(state, planOf([one, two]));
    expect(pass(empty, successor, new Set([1]))[1].ports.fresh).toEqual([2]);
    expect(pass(empty, successor)[1].ports.fresh).toEqual([1]);
  });

  it("of an endpoint that is kept unseen stay its own", () => {
    const [state] = pass(emptyActual(), planOf([one], { ports: [port(one, 80)] }));
    const unsure = planOf([two], { ports: [port(two, 81)], unsure: [one.endpointId] });
    const [next, { ports: given }] = pass(state, unsure);
    expect(given).toMatchObject({ fresh: [2], freed: [] });
    expect(numbers(next)).toEqual({ "0.0.0.0 80": 1, "0.0.0.0 81": 2 });
  });

  it("run out: the other ports are published without, and get one when there is one", () => {
    const ports: PlannedPort[] = Array.from({ length: PORT_NUMBERS + 2 }, (_, at) => port(one, 1 + at));
    const [state, { ports: given, maps }] = pass(emptyActual(), planOf([one], { ports }));
    expect(given.unnumbered).toBe(2);
    expect(given.byNumber.size).toBe(PORT_NUMBERS);
    expect(Math.max(...given.byNumber.keys())).toBe(PORT_NUMBERS);
    expect(maps.ports_ipv4.write).toHaveLength(PORT_NUMBERS + 2);
    expect(numbers(state)[`0.0.0.0 ${PORT_NUMBERS + 1}`]).toBe(0);
    const fewer = planOf([one], { ports: ports.slice(1) });
    const [freed, first] = pass(state, fewer);
    expect(first.ports).toMatchObject({ unnumbered: 2, freed: [1], fresh: [] });
    const [full, second] = pass(freed, fewer);
    expect(second.ports).toMatchObject({ unnumbered: 1, fresh: [1] });
    expect(numbers(full)[`0.0.0.0 ${PORT_NUMBERS + 1}`]).toBe(1);
  });

  it("come with a bit of their containers' ports, of both families, which goes with the port", () => {
    const ports = [port(one, 80), port(one, 8080, { containerPort: 81 }), onIpv6(8443)];
    const [state, { write }] = pass(emptyActual(), planOf([one, two], { ports }));
    const published = (changes: Changes["write"]) => changes.map(({ endpoint: { published } }) => published);
    expect(published(write)).toEqual([(1n << 19n) | (1n << 20n), 0n]);
    const [, later] = pass(state, planOf([one, two], { ports: [port(two, 80, { containerPort: 63 })] }));
    expect(published(later.write)).toEqual([0n, 1n << 2n]);
  });
});
