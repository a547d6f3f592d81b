import { describe, expect, it } from "vitest";
import type { EngineState } from "../../../src/docker/model.js";
import { readEnable } from "../../../src/plan/labels.js";
import { plan } from "../../../src/plan/plan.js";
import { planSlowPath } from "../../../src/plan/slow_path.js";
import type { Plan } from "../../../src/plan/types.js";
import { engineState } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

describe("fairway.enable", () => {
  it.each(["true", "TRUE", " true ", "t", "1"])("is on for %j", (text) => {
    expect(readEnable({ "fairway.enable": text })).toEqual({ enabled: true, problem: undefined });
  });

  it.each(["false", "False", "false\n", "f", "0"])("is off for %j", (text) => {
    expect(readEnable({ "fairway.enable": text })).toEqual({ enabled: false, problem: undefined });
  });

  it("is on where there is no such label", () => {
    expect(readEnable({ "com.example": "false" })).toEqual({ enabled: true, problem: undefined });
  });

  it.each(["", "no", "off", "flase", "false;", "00", "null"])(
    "%j is a problem and counts for nothing",
    (text) => {
      const problem = `label fairway.enable: ${JSON.stringify(text)} is not true or false: it is ignored`;
      expect(readEnable({ "fairway.enable": text })).toEqual({ enabled: true, problem });
    },
  );
});

describe("what bears fairway.enable=false is left to the engine", () => {
  const off = { "fairway.enable": "false" };

  async function planned(change: (engine: EngineState) => void) {
    const engine = await engineState("api-1.48-engine-29");
    const before = plan(structuredClone(engine), hostFor(engine), { uplinks: [] });
    change(engine);
    return { engine, before, after: plan(engine, hostFor(engine), { uplinks: [] }) };
  }
  const label = (
    list: { name: string; labels: Record<string, string> }[],
    name: string,
    labels: Record<string, string> = off,
  ) => {
    const one = list.find((item) => item.name === name);
    if (one === undefined) throw new Error(`no ${name}`);
    Object.assign(one.labels, labels);
  };
  const names = (one: Plan) => one.endpoints.map((e) => `${e.container}/${e.network}`).sort();
  const portNames = (one: Plan) => {
    const byId = new Map(one.endpoints.map((e) => [e.endpointId, `${e.container}/${e.network}`]));
    return {
      ports: one.ports.map((p) => byId.get(p.endpointId)),
      hostPorts: one.hostPorts.map((p) => byId.get(p.endpointId)),
    };
  };

  it("a container on all its networks, with its published ports, and nothing else changes", async () => {
    const { before, after } = await planned((engine) => label(engine.containers, "web"));
    expect(names(before)).toContain("web/bridge");
    expect(names(after)).toEqual(names(before).filter((name) => !name.startsWith("web/")));
    expect(portNames(before).ports).toContain("web/bridge");
    expect(portNames(before).hostPorts).toContain("web/bridge");
    for (const kind of ["ports", "hostPorts"] as const)
      expect(portNames(after)[kind]).toEqual(portNames(before)[kind].filter((name) => name !== "web/bridge"));
    expect(after.endpoints).toEqual(before.endpoints.filter((e) => e.container !== "web"));
    expect(after.uplinks).toEqual(before.uplinks);
    expect(after.hostAddresses).toEqual(before.hostAddresses);
    expect(after.leftToEngine).toMatchObject([{ what: "container", name: "web" }]);
    expect(after.warnings).toEqual(before.warnings);
  });

  it("a network with all its containers; those go on where else they are", async () => {
    const { before, after } = await planned((engine) => label(engine.networks, "app"));
    expect(names(before).filter((name) => name.endsWith("/app"))).not.toEqual([]);
    expect(names(after)).toEqual(names(before).filter((name) => !name.endsWith("/app")));
    expect(after.leftToEngine).toMatchObject([{ what: "network", name: "app" }]);
  });

  it("the network of a container's default route, whose published ports no other network takes over", async () => {
    const { before, after } = await planned((engine) => label(engine.networks, "gwp"));
    expect(portNames(before).ports).toContain("db/gwp");
    const others = before.endpoints.filter((e) => e.network !== "gwp");
    // Neither a gateway endpoint nor masqueraded, as they were not before.
    expect(after.endpoints).toEqual(others);
    expect(portNames(after).ports).toEqual(portNames(before).ports.filter((name) => name !== "db/gwp"));
  });

  it("true in one takes nothing from false in the other", async () => {
    const { before, after } = await planned((engine) => {
      label(engine.networks, "bridge");
      label(engine.containers, "web", { "fairway.enable": "true" });
    });
    expect(names(after)).toEqual(names(before).filter((name) => !name.endsWith("/bridge")));
  });

  it("its access lists hold: they are for whatever way its ports are served", async () => {
    const { after } = await planned((engine) =>
      label(engine.containers, "web", { ...off, "fairway.allow": "198.18.0.2" }),
    );
    expect(after.policy.ports.length).toBeGreaterThan(0);
    expect(after.policy.ports.every((p) => p.unlistedRefused)).toBe(true);
  });

  it("mode replace's rules stay as they are", async () => {
    const engine = await engineState("api-1.48-engine-29");
    const before = planSlowPath(structuredClone(engine));
    label(engine.networks, "app");
    label(engine.containers, "web");
    expect(planSlowPath(engine)).toEqual(before);
  });

  it("a wrong value is told with the name of who bears it, and changes nothing", async () => {
    const { before, after } = await planned((engine) => {
      label(engine.containers, "web", {
        "fairway.enable": "nope",
        "fairway.host": "true",
        "fairway.alow": "::/0",
        "fairway.note": "hello",
        fairwayallow: "x",
      });
      label(engine.networks, "app", {
        "fairway.enable": "",
        "fairway.enabled": "false",
        "fairway.deny": "::/0",
      });
    });
    expect(after.endpoints).toEqual(before.endpoints);
    expect(after.ports).toEqual(before.ports);
    expect(after.leftToEngine).toEqual([]);
    expect(after.warnings.filter((w) => w.code === "label")).toEqual(
      [
        'container web: label "fairway.alow" has no effect: did you mean fairway.allow?',
        'container web: label fairway.enable: "nope" is not true or false: it is ignored',
        "container web: label fairway.host has no effect on a container: it is one of networks",
        'network app: label "fairway.enabled" has no effect: did you mean fairway.enable?',
        "network app: label fairway.deny has no effect on a network: it is one of containers",
        'network app: label fairway.enable: "" is not true or false: it is ignored',
      ].map((message) => ({ code: "label", message, transient: false })),
    );
  });

  it("of containers that don't run nothing is said", async () => {
    const { after } = await planned((engine) => {
      label(engine.containers, "web", { "fairway.enable": "nope" });
      for (const container of engine.containers) container.running = false;
    });
    expect(after.warnings.filter((w) => w.code === "label")).toEqual([]);
  });
});
