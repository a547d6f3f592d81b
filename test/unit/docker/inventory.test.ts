import { describe, expect, it } from "vitest";
import { EngineHttpError } from "../../../src/docker/http.js";
import { Inventory, ROUTINE_INSPECTIONS } from "../../../src/docker/inventory.js";
import { type EngineFixture, fixture, nameOf, source } from "./fixtures.js";

const engine = { version: "20.10.24", apiVersion: "1.41" };
/** Those of the fixture that are on a network; one shares another's. */
const onNetworks = ["web", "db", "hosty", "loner", "inside", "still"];

function scene(data: EngineFixture = fixture("api-1.41-engine-20.10")) {
  const from = source(data);
  const find = (name: string): string => {
    const item = data.containers.find(({ Id }) => nameOf(data, Id) === name);
    if (item === undefined) throw new Error(name);
    return item.Id;
  };
  const told: number[] = [];
  const abort = new AbortController();
  const inventory = new Inventory(from, () => void told.push(from.inspected.length), abort.signal);
  const look = () => inventory.look(engine);
  const names = async () => (await look()).containers.map((c) => c.name).sort();
  return { data, from, find, told, abort, inventory, look, names };
}

/** What is asked for beside the looks has been answered. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

type Inspection = {
  State: { Running: boolean; Paused: boolean };
  NetworkSettings: { Networks: Record<string, { NetworkID: string; EndpointID: string }> };
};
const inspection = (data: EngineFixture, id: string) => data.inspect[id] as Inspection;

describe("Inventory", () => {
  it("finds everybody by the networks and inspects each once, then asks for nothing more", async () => {
    const { from, look, names, told } = scene();
    expect(await names()).toEqual([...onNetworks].sort());
    expect(from.inspected.length).toBe(onNetworks.length);
    expect(new Set(from.inspected).size).toBe(onNetworks.length);
    const [listed, state] = [from.listed, await look()];
    expect(await look()).toBe(state);
    expect(from.listed).toBe(listed);
    expect(from.inspected.length).toBe(onNetworks.length);
    // The look itself tells what it found.
    expect(told).toEqual([]);
  });

  it("inspects only whom an event is about, at once, and tells when that made a difference", async () => {
    const { data, from, find, inventory, look, told } = scene();
    const before = await look();
    from.inspected.length = 0;
    from.listed = 0;
    inventory.mark(find("web"));
    await settle();
    expect(from.inspected).toEqual([find("web")]);
    expect(told).toEqual([]);
    expect(await look()).toBe(before);

    inspection(data, find("db")).State.Paused = true;
    inventory.mark(find("db"));
    await settle();
    expect(from.inspected).toEqual([find("web"), find("db")]);
    expect(told.length).toBe(1);
    const after = await look();
    expect(after.containers.find((c) => c.name === "db")?.paused).toBe(true);
    expect(from.listed).toBe(0);
  });

  it("learns of a container that starts, and forgets one that has stopped or is gone", async () => {
    const { data, from, find, inventory, names, told } = scene();
    const [web, db] = [find("web"), find("db")];
    inspection(data, web).State.Running = false;
    expect(await names()).not.toContain("web");

    inspection(data, web).State.Running = true;
    inventory.mark(web);
    await settle();
    expect(await names()).toContain("web");

    inspection(data, web).State.Running = false;
    const inspect = from.container;
    from.container = async (id, signal) => {
      if (id === db) throw new EngineHttpError(404, "/x", "No such container");
      return inspect(id, signal);
    };
    for (const id of [web, db]) inventory.mark(id);
    await settle();
    expect(await names()).toEqual(onNetworks.filter((name) => !["web", "db"].includes(name)).sort());
    expect(told.length).toBe(3);
  });

  it("keeps nobody waiting for a container that the engine is still busy with", async () => {
    const { from, find, inventory, look } = scene();
    const before = await look();
    const inspect = from.container;
    let answer: (() => void) | undefined;
    from.container = async (id, signal) => {
      if (id === find("web")) await new Promise<void>((resolve) => (answer = resolve));
      return inspect(id, signal);
    };
    inventory.mark(find("web"));
    expect(await look()).toBe(before);
    from.inspected.length = 0;
    inventory.mark(find("db"));
    await settle();
    expect(from.inspected).toEqual([find("db")]);

    // Whatever happened since the request was sent is asked for again.
    inventory.mark(find("web"));
    inventory.mark(find("web"));
    answer?.();
    await settle();
    answer?.();
    await settle();
    expect(from.inspected).toEqual([find("db"), find("web"), find("web")]);
  });

  it("lists the networks when one was made, and when a container is on one that it does not know", async () => {
    const { data, from, find, inventory, look, told } = scene();
    const all = data.networks;
    const { NetworkID } = Object.values(inspection(data, find("inside")).NetworkSettings.Networks)[0] ?? {};
    data.networks = all.filter((network) => (network as { Id: string }).Id !== NetworkID);
    const known = async () => (await look()).networks.map(({ id }) => id);
    expect(await known()).not.toContain(NetworkID);

    data.networks = all;
    inventory.mark(find("inside"));
    await settle();
    expect(await known()).toContain(NetworkID);

    data.networks = all.filter((network) => (network as { Id: string }).Id !== NetworkID);
    told.length = 0;
    inventory.markNetworks();
    await settle();
    expect(told.length).toBe(1);
    expect(await known()).not.toContain(NetworkID);
    expect(from.inspected.length).toBe(onNetworks.length);
  });

  it("repairs by the routine what no event has told", async () => {
    const { data, from, find, inventory, look, names, told } = scene();
    await look();
    const [web, db] = [find("web"), find("db")];
    const gone = data.containers.findIndex(({ Id }) => Id === db);
    data.containers.splice(gone, 1);
    inspection(data, db).State.Running = false;
    for (const one of Object.values(inspection(data, web).NetworkSettings.Networks))
      one.EndpointID = "e".repeat(64);
    inventory.routine();
    await settle();
    expect(told.length).toBeGreaterThan(0);
    expect(await names()).not.toContain("db");
    const known = (await look()).containers.find((c) => c.id === web);
    expect(known?.endpoints.map((e) => e.endpointId)).toEqual(["e".repeat(64)]);

    // The next look does what a routine could not.
    from.networks = async () => {
      throw new Error("engine is busy");
    };
    told.length = 0;
    inventory.routine();
    await settle();
    expect(told.length).toBe(1);
    await expect(look()).rejects.toThrow("engine is busy");
  });

  it("inspects some in each routine, and everybody in a few", async () => {
    const { data, from, look, inventory } = many(100);
    await look();
    from.inspected.length = 0;
    inventory.routine();
    await settle();
    expect(from.inspected.length).toBe(ROUTINE_INSPECTIONS);
    inventory.routine();
    await settle();
    expect(new Set(from.inspected).size).toBe(data.containers.length);
  });

  it("gives the same state whatever the order of the lists", async () => {
    const { data, look, inventory } = scene();
    const first = await look();
    data.containers.reverse();
    data.networks.reverse();
    inventory.mark(undefined);
    expect(await look()).toEqual(first);
  });

  it("keeps what it knew of a container whose inspection fails, and asks again", async () => {
    const { from, find, inventory, look, told } = scene();
    const before = await look();
    const inspect = from.container;
    from.container = async (id, s) => {
      if (id === find("web")) throw new Error("engine did not answer in time");
      return inspect(id, s);
    };
    inventory.mark(undefined);
    const during = await look();
    expect(during.containers).toEqual(before.containers);
    expect(during.unsure).toEqual([]);
    expect(during.warnings).toEqual(["container web could not be inspected: engine did not answer in time"]);

    from.container = inspect;
    from.inspected.length = 0;
    await look();
    await settle();
    expect(from.inspected).toEqual([find("web")]);
    expect(told.length).toBe(1);
    expect((await look()).warnings).toEqual([]);
  });

  it("names the endpoints of a container of which it never learned anything", async () => {
    const lists = fixture("api-1.41-engine-20.10");
    const { data, find, from, look } = scene();
    const endpoint = inspection(data, find("web")).NetworkSettings.Networks.bridge?.EndpointID;
    data.inspect[find("web")] = { Id: 7 };
    from.network = source(lists).network;
    const state = await look();
    expect(state.containers.map((c) => c.name)).not.toContain("web");
    expect(state.unsure).toEqual([endpoint]);
    expect(state.warnings).toEqual([
      expect.stringMatching(/^container web left out: .*makes no sense \(Id: /),
    ]);
  });

  it("leaves out a container that is gone by the time it is inspected", async () => {
    const { from, find, look } = scene();
    const inspect = from.container;
    from.container = async (id, s) => {
      if (id === find("web")) throw new EngineHttpError(404, "/x", "No such container");
      return inspect(id, s);
    };
    const state = await look();
    expect(state.containers.map((c) => c.name)).not.toContain("web");
    expect(state).toMatchObject({ unsure: [], warnings: [] });
  });

  it("survives items that are nonsense, and concludes nothing from a list that is none", async () => {
    const { data, from, find, inventory, look, names } = scene();
    data.networks.push(null, 7, { Id: "x", Name: "\u001b[31mred", Driver: 3 });
    const lists = from.network;
    const id = Object.values(inspection(data, find("web")).NetworkSettings.Networks)[0]?.NetworkID;
    from.network = async (network, signal) => {
      const listed = (await lists(network, signal)) as { Containers: Record<string, unknown> };
      if (network === id) Object.assign(listed.Containers, { "a\nb": {}, "ep-1": {}, [find("web")]: 7 });
      return listed;
    };
    expect(await names()).toEqual([...onNetworks].sort());
    const state = await look();
    expect(state.warnings.length).toBe(3);
    // What is printed to a terminal holds no control characters.
    for (const warning of state.warnings) {
      expect([...warning].filter((character) => character < " ")).toEqual([]);
    }
    from.inspected.length = 0;
    inventory.mark("../../etc");
    await settle();
    expect(from.inspected).toEqual([]);

    from.networks = async () => ({ message: "server error" });
    inventory.mark(undefined);
    await expect(look()).rejects.toThrow(/no list/);
    from.networks = async () => data.networks;
    from.network = async () => ({ Containers: "no" });
    await expect(look()).rejects.toThrow(/makes no sense/);
    from.network = lists;
    expect(await names()).toEqual([...onNetworks].sort());
  });

  it("bounds how many inspections run at a time", async () => {
    const { from, look } = many(100);
    const inspect = from.container;
    let running = 0;
    let most = 0;
    from.container = async (id, signal) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return inspect(id, signal);
    };
    const state = await look();
    expect(state.containers.length).toBe(100);
    expect(most).toBe(16);
  });

  it("ends its requests without a word when it is told to", async () => {
    const { from, find, abort, inventory, look, told } = scene();
    const before = await look();
    from.container = async () => {
      throw new Error("aborted");
    };
    abort.abort();
    inventory.mark(find("web"));
    await settle();
    expect(told).toEqual([]);
    expect(await look()).toBe(before);
  });
});

/** So many containers like one of the fixture's. */
function many(count: number) {
  const data = fixture("api-1.41-engine-20.10");
  const template = data.containers.find(({ Id }) => nameOf(data, Id) === "inside");
  if (template === undefined) throw new Error("no template");
  const ids = Array.from({ length: count }, (_, i) => i.toString(16).padStart(64, "0"));
  return scene({
    ...data,
    containers: ids.map((Id) => ({ ...template, Id })),
    inspect: Object.fromEntries(ids.map((Id) => [Id, { ...inspection(data, template.Id), Id }])),
  });
}
