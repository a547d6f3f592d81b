import { describe, expect, it } from "vitest";
import { judge } from "../../../src/cli/doctor/doctor.js";
import { engineAt } from "../../../src/cli/doctor/engines.js";
import type { EngineProcess, Facts, Finding } from "../../../src/cli/doctor/facts.js";

const process = (change: Partial<EngineProcess> = {}): EngineProcess => ({
  pid: 7,
  configFile: "/etc/docker/daemon.json",
  hosts: [],
  flags: {},
  json: undefined,
  ...change,
});

const dials = { obstacle: undefined, translated: "addresses", masqueraded: new Map() } as const;

/** A host on which all is well. */
const facts = (change: Partial<Facts> = {}): Facts => ({
  mode: "accelerate",
  trustFirewall: "auto",
  engine: {
    address: "unix:///var/run/docker.sock",
    version: "28.3.1",
    process: process(),
    others: [],
    ipv6: false,
  },
  kernel: { release: "6.12.0", btf: true, tcx: true, nat: true },
  forwarding: { 4: true, 6: false },
  bridged: { 4: true, 6: false },
  liberal: true,
  conntrack: { entries: 10, max: 1000 },
  firewall: {
    routingObstacle: { 4: undefined, 6: undefined },
    bridgingObstacle: undefined,
    engineNat: { 4: true, 6: false },
    dials: { 4: { ...dials }, 6: { ...dials } },
    foreignRules: "",
  },
  uplinks: ["eth0"],
  programs: [],
  daemon: { pid: 9, mode: "accelerate", state: "ready", warnings: 0 },
  pinned: { there: true, bpffs: "/sys/fs/bpf/fairway", other: false },
  ...change,
});

const engine = (change: Partial<Facts["engine"]>) => ({ engine: { ...facts().engine, ...change } });
const firewall = (change: Partial<Facts["firewall"]>) => ({ firewall: { ...facts().firewall, ...change } });
const noRules = firewall({ engineNat: { 4: false, 6: false } });

const notOk = (change: Partial<Facts>): Finding[] =>
  judge(facts(change)).filter(({ result }) => result !== "ok");

describe("doctor", () => {
  it("finds nothing on a host where all is well", () => {
    expect(notOk({})).toEqual([]);
    expect(notOk({ daemon: undefined, pinned: { ...facts().pinned, there: false }, liberal: false })).toEqual(
      [],
    );
    const json = { iptables: false, ip6tables: false, "userland-proxy": false };
    const daemon = { pid: 9, mode: "replace", state: "ready", warnings: 0 } as const;
    expect(notOk({ mode: "replace", daemon, ...noRules, ...engine({ process: process({ json }) }) })).toEqual(
      [],
    );
  });

  it.each<[string, Partial<Facts>, Finding["result"], RegExp]>([
    [
      "engine",
      engine({ error: "no Docker engine at unix:///x: start it" }),
      "failure",
      /no Docker engine at/,
    ],
    [
      "engine settings",
      engine({ process: process({ json: { iptables: false } }) }),
      "warning",
      /writes no iptables/,
    ],
    [
      "engine settings",
      { ...noRules, ...engine({ process: process({ flags: { iptables: false } }) }) },
      "warning",
      /writes no/,
    ],
    [
      "engine settings",
      engine({ process: process({ json: "Unexpected token" }) }),
      "warning",
      /daemon.json: Unexpected/,
    ],
    [
      "other engines",
      engine({ others: [process({ pid: 8, hosts: ["unix:///b.sock"] })] }),
      "warning",
      /pid 8 \(unix:\/\/\/b/,
    ],
    ["kernel", { kernel: { ...facts().kernel, btf: false } }, "failure", /no BTF/],
    ["kernel's NAT functions", { kernel: { ...facts().kernel, nat: false } }, "warning", /nf_nat/],
    ["forwarding of IPv4", { forwarding: { 4: false, 6: false } }, "failure", /ip_forward is 0/],
    ["forwarding of IPv6", engine({ ipv6: true }), "failure", /all.forwarding is 0/],
    [
      "connection tracking",
      { conntrack: { entries: 800, max: 1000 } },
      "warning",
      /800 of 1000 entries \(80 %\)/,
    ],
    ["connection tracking", { conntrack: { entries: 960, max: 1000 } }, "failure", /96 %/],
    ["connection tracking's strictness", { liberal: false }, "failure", /be_liberal is 0/],
    [
      "connections of IPv4",
      firewall({ routingObstacle: { 4: "filter: -A DOCKER-USER -j DROP", 6: undefined } }),
      "warning",
      /DOCKER-USER/,
    ],
    ["traffic within networks", firewall({ bridgingObstacle: "mine" }), "warning", /mine/],
    [
      "host's connections to published ports, IPv6",
      firewall({ dials: { 4: dials, 6: { ...dials, obstacle: "mine" } } }),
      "warning",
      /mine/,
    ],
    ["uplinks", { uplinks: [] }, "failure", /no device/],
    [
      "other programs",
      { programs: [{ device: "eth0", hook: "tc ingress", name: "theirs" }] },
      "warning",
      /^eth0, tc ingress: theirs$/,
    ],
    ["fairway", { daemon: undefined }, "warning", /no daemon runs/],
    [
      "fairway",
      { daemon: undefined, pinned: { ...facts().pinned, other: true } },
      "warning",
      /another version/,
    ],
    [
      "fairway",
      { daemon: { pid: 9, mode: "replace", state: "ready", warnings: 0 } },
      "warning",
      /mode replace/,
    ],
  ])("finds of %s what is not as it should be: %j", (check, change, result, what) => {
    const found = notOk(change);
    expect(found).toEqual([
      {
        check,
        result,
        what: expect.stringMatching(what),
        why: expect.any(String),
        remedy: expect.any(String),
      },
    ]);
    expect(found[0]?.what).not.toContain("\n");
  });

  it("prints for mode replace the whole daemon.json, with what the engine has", () => {
    const json = { "data-root": "/srv", iptables: true, "log-driver": "journald" };
    const daemon = { pid: 9, mode: "replace", state: "ready", warnings: 0 } as const;
    const [finding, ...more] = notOk({
      mode: "replace",
      daemon,
      ...engine({
        process: process({ json, configFile: "/opt/daemon.json", flags: { "userland-proxy": true } }),
      }),
    });
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ check: "engine settings", result: "failure" });
    expect(finding?.what).toBe("iptables, ip6tables, userland-proxy are on, and the mode is replace");
    const [told = "", ...lines] = (finding?.remedy ?? "").split("\n");
    expect(told).toMatch(/in \/opt\/daemon\.json, take --userland-proxy out of its arguments, and restart/);
    expect(JSON.parse(lines.join("\n"))).toEqual({
      "data-root": "/srv",
      "log-driver": "journald",
      iptables: false,
      ip6tables: false,
      "userland-proxy": false,
    });
  });

  it("prints for mode accelerate the daemon.json without what switches the engine's rules off", () => {
    const json = { "data-root": "/srv", iptables: false, "userland-proxy": false };
    const [finding] = notOk({ ...noRules, ...engine({ process: process({ json }) }) });
    expect(JSON.parse((finding?.remedy ?? "").split("\n").slice(1).join("\n"))).toEqual({
      "data-root": "/srv",
    });
  });

  it("sees rules that an engine has left from before, in mode replace", () => {
    const json = { iptables: false, ip6tables: false, "userland-proxy": false };
    const daemon = { pid: 9, mode: "replace", state: "ready", warnings: 0 } as const;
    expect(notOk({ mode: "replace", daemon, ...engine({ process: process({ json }) }) })).toMatchObject([
      { check: "engine settings", result: "failure", what: expect.stringMatching(/left rules/) },
    ]);
  });

  it("says that rules don't count where they are ignored", () => {
    const [finding] = notOk({
      trustFirewall: "ignore",
      ...firewall({ routingObstacle: { 4: "mine", 6: undefined } }),
    });
    expect(finding?.what).toMatch(/doesn't count \(trust-firewall: ignore\): mine/);
    expect(finding?.remedy).toMatch(/set trust-firewall to auto/);
  });
});

describe("the engine at an address", () => {
  const own = process({ pid: 1, hosts: ["fd://"] });
  const other = process({ pid: 2, hosts: ["unix:///b.sock"] });

  it("is the one that listens there, or the only one", () => {
    expect(engineAt("unix:///b.sock", [own, other])).toBe(other);
    expect(engineAt("unix:///var/run/docker.sock", [other, own])).toBe(own);
    expect(engineAt("tcp://127.0.0.1:2375", [own, other])).toBeUndefined();
    expect(engineAt("tcp://127.0.0.1:2375", [other])).toBe(other);
    expect(engineAt("unix:///b.sock", [])).toBeUndefined();
  });
});
