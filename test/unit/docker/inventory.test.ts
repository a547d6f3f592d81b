import { describe, expect, it } from "vitest";
import { EngineHttpError } from "../../../src/docker/http.js";
import { Inventory } from "../../../src/docker/inventory.js";
import { fixture, source } from "./fixtures.js";

const engine = { version: "20.10.24", apiVersion: "1.41" };
const { signal } = new AbortController();

function scene() {
  const data = fixture("api-1.41-engine-20.10");
  const from = source(data);
  const find = (name: string) => {
    const item = data.containers.find((c) => (c as unknown as { Names: string[] }).Names[0] === `/${name}`);
    if (item === undefined) throw new Error(name);
    return item;
  };
  return { data, from, find, inventory: new Inventory(from) };
}

describe("Inventory", () => {
  it("inspects everything once, then only what changed or was marked", async () => {
    const { data, from, find, inventory } = scene();
    await inventory.look(engine, signal);
    expect(from.inspected.length).toBe(data.containers.length);

    from.inspected.length = 0;
    const again = await inventory.look(engine, signal);
    expect(from.inspected).toEqual([]);
    expect(again.containers.length).toBe(data.containers.length);

    Object.assign(find("db"), { Status: "Up 5 minutes" });
    await inventory.look(engine, signal);
    expect(from.inspected).toEqual([]);

    Object.assign(find("db"), { State: "paused" });
    inventory.mark(find("web").Id);
    await inventory.look(engine, signal);
    expect([...from.inspected].sort()).toEqual([find("db").Id, find("web").Id].sort());

    from.inspected.length = 0;
    inventory.mark(undefined);
    await inventory.look(engine, signal);
    expect(from.inspected.length).toBe(data.containers.length);
  });

  it("gives the same state whatever the order of the lists", async () => {
    const { data, inventory } = scene();
    const first = await inventory.look(engine, signal);
    data.containers.reverse();
    data.networks.reverse();
    expect(await inventory.look(engine, signal)).toEqual(first);
  });

  it("keeps what it knew of a container whose inspection fails, and asks again", async () => {
    const { from, find, inventory } = scene();
    const before = await inventory.look(engine, signal);
    const inspect = from.container;
    from.container = async (id, s) => {
      if (id === find("web").Id) throw new Error("engine did not answer in time");
      return inspect(id, s);
    };
    inventory.mark(undefined);
    const during = await inventory.look(engine, signal);
    expect(during.containers).toEqual(before.containers);
    expect(during.unsure).toEqual([]);
    expect(during.warnings).toEqual(["container web could not be inspected: engine did not answer in time"]);

    from.container = inspect;
    from.inspected.length = 0;
    expect((await inventory.look(engine, signal)).warnings).toEqual([]);
    expect(from.inspected).toContain(find("web").Id);
  });

  it("names the endpoints of a container of which it never learned anything", async () => {
    const { data, find, inventory } = scene();
    const web = data.inspect[find("web").Id] as {
      NetworkSettings: { Networks: Record<string, { EndpointID: string }> };
    };
    const endpoint = web.NetworkSettings.Networks.bridge?.EndpointID;
    data.inspect[find("web").Id] = { Id: 7 };
    const state = await inventory.look(engine, signal);
    expect(state.containers.map((c) => c.name)).not.toContain("web");
    expect(state.unsure).toEqual([endpoint]);
    expect(state.warnings).toEqual([
      expect.stringMatching(/^container web left out: .*makes no sense \(Id: /),
    ]);
  });

  it("leaves out a container that is gone by the time it is inspected", async () => {
    const { from, find, inventory } = scene();
    const inspect = from.container;
    from.container = async (id, s) => {
      if (id === find("web").Id) throw new EngineHttpError(404, "/x", "No such container");
      return inspect(id, s);
    };
    const state = await inventory.look(engine, signal);
    expect(state.containers.map((c) => c.name)).not.toContain("web");
    expect(state).toMatchObject({ unsure: [], warnings: [] });
  });

  it("survives items that are nonsense, and concludes nothing from a list that is none", async () => {
    const { data, from, inventory } = scene();
    data.networks.push(null, 7, { Id: "x", Name: "\u001b[31mred", Driver: 3 });
    data.containers.push(null as never, { Id: "nope" }, { Id: "a\nb" });
    const state = await inventory.look(engine, signal);
    expect(state.containers.length).toBe(7);
    expect(state.warnings.length).toBe(6);
    // What is printed to a terminal holds no control characters.
    for (const warning of state.warnings) {
      expect([...warning].filter((character) => character < " ")).toEqual([]);
    }

    from.containers = async () => ({ message: "server error" });
    await expect(inventory.look(engine, signal)).rejects.toThrow(/no list/);
  });

  it("bounds how many inspections run at a time", async () => {
    const { data, from, inventory } = scene();
    const template = data.containers[0] as { Id: string };
    data.containers = Array.from({ length: 100 }, (_, i) => ({
      ...template,
      Id: i.toString(16).padStart(64, "0"),
    }));
    let running = 0;
    let most = 0;
    from.container = async (id) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
      return { ...(data.inspect[template.Id] as object), Id: id };
    };
    const state = await inventory.look(engine, signal);
    expect(state.containers.length).toBe(100);
    expect(most).toBe(8);
  });
});
