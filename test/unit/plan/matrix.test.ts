import { describe, expect, it } from "vitest";
import type { EngineState } from "../../../src/docker/model.js";
import { plan } from "../../../src/plan/plan.js";
import { engineState } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

describe("fairway.matrix", () => {
  async function planned(
    labels: Record<string, Record<string, string>>,
    change?: (engine: EngineState) => void,
  ) {
    const engine = await engineState("api-1.48-engine-29");
    for (const [name, own] of Object.entries(labels)) {
      const network = engine.networks.find((one) => one.name === name);
      if (network === undefined) throw new Error(`no network ${name}`);
      Object.assign(network.labels, own);
    }
    change?.(engine);
    const { endpoints, warnings } = plan(engine, hostFor(engine), { uplinks: [] });
    return {
      endpoints,
      networks: [...new Set(endpoints.filter((e) => e.matrix).map((e) => e.network))],
      warnings: warnings.filter(({ code }) => code === "label").map(({ message }) => message),
    };
  }

  it("is off unless a network asks for it", async () => {
    expect(await planned({})).toMatchObject({ networks: [], warnings: [] });
    expect(await planned({ app: { "fairway.matrix": "false" } })).toMatchObject({
      networks: [],
      warnings: [],
    });
  });

  it.each(["true", " TRUE\n", "t", "1"])(
    "%j counts that network by pair, and changes nothing else",
    async (text) => {
      const without = await planned({});
      const { endpoints, networks, warnings } = await planned({ app: { "fairway.matrix": text } });
      expect({ networks, warnings }).toEqual({ networks: ["app"], warnings: [] });
      expect(endpoints).toEqual(without.endpoints.map((e) => ({ ...e, matrix: e.network === "app" })));
      expect(endpoints.some((e) => e.network !== "app")).toBe(true);
    },
  );

  it.each(["", "yes", "on", "ture", "00", "\u202e", "x".repeat(5000), "true,false"])(
    "%j is told once, with the network's name, and counts for nothing",
    async (text) => {
      const { networks, warnings } = await planned({ app: { "fairway.matrix": text } });
      expect(networks).toEqual([]);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(
        /^network app: label fairway\.matrix: ".*" is not true or false: it is ignored$/,
      );
      expect(warnings[0]?.length).toBeLessThan(300);
    },
  );

  it("on a network that is no bridge's it has no effect, which is told", async () => {
    const { networks, warnings } = await planned({ app: { "fairway.matrix": "true" } }, (engine) => {
      for (const network of engine.networks) if (network.name === "app") network.driver = "macvlan";
    });
    expect(networks).toEqual([]);
    expect(warnings).toEqual([
      "network app: label fairway.matrix has no effect on a network of driver macvlan: frames are counted as they pass a bridge",
    ]);
  });

  it("on a container it has no effect, which is told, and so is a misspelt one", async () => {
    const { networks, warnings } = await planned({ app: { "fairway.matrx": "true" } }, (engine) => {
      for (const container of engine.containers)
        if (container.name === "web") Object.assign(container.labels, { "fairway.matrix": "true" });
    });
    expect(networks).toEqual([]);
    expect(warnings).toEqual([
      "container web: label fairway.matrix has no effect on a container: it is one of networks",
      'network app: label "fairway.matrx" has no effect: did you mean fairway.matrix?',
    ]);
  });

  it("a network that is left to the engine has no pairs", async () => {
    const { networks, warnings } = await planned({
      app: { "fairway.matrix": "true", "fairway.enable": "false" },
    });
    expect({ networks, warnings }).toEqual({ networks: [], warnings: [] });
  });
});
