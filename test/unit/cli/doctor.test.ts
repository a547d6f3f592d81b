import { describe, expect, it } from "vitest";
import { judge } from "../../../src/cli/doctor/doctor.js";
import { engineAt } from "../../../src/cli/doctor/engines.js";
import type {
  EngineProcess,
  Facts,
  Finding,
  ParentLink,
  ParentNetwork,
} from "../../../src/cli/doctor/facts.js";

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
  parents: [],
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

describe("doctor, of the devices under ipvlan and macvlan", () => {
  const lan = { name: "lan", driver: "macvlan", mode: "bridge", containers: 1 } as const;
  const link: ParentLink = {
    up: true,
    carrier: true,
    kind: undefined,
    master: undefined,
    promiscuous: false,
    addressed: true,
    lower: undefined,
    driver: "e1000e",
    wireless: false,
  };
  const judged = (change: Partial<ParentLink>, ...networks: ParentNetwork[]) =>
    judge(
      facts({
        parents: [
          { device: "eth1", networks: networks.length > 0 ? networks : [lan], link: { ...link, ...change } },
        ],
      }),
    ).filter(({ check }) => check === "parent eth1");

  it("finds nothing at a plain one, and says what it is for", () => {
    expect(judged({})).toEqual([{ check: "parent eth1", result: "ok", what: "of macvlan lan" }]);
    expect(judged({ promiscuous: true })).toMatchObject([
      { result: "ok", what: expect.stringMatching(/any MAC/) },
    ]);
  });

  const ipvlan = { ...lan, name: "flat", driver: "ipvlan", mode: "l2" } as const;

  it.each<[string, Partial<ParentLink>, ParentNetwork[], Finding["result"], RegExp, RegExp]>([
    ["is down", { up: false, carrier: false }, [], "warning", /it is down/, /ip link set eth1 up/],
    ["has no carrier", { carrier: false }, [], "warning", /no carrier/, /cable/],
    [
      "is a VLAN on a device that is down",
      { kind: "vlan", carrier: false, lower: { device: "eth0", up: false } },
      [],
      "warning",
      /eth0, which it is on, is down/,
      /ip link set eth0 up/,
    ],
    ["is a port of a bridge", { master: "br0" }, [], "warning", /a port of br0/, /-o parent=br0/],
    ["is wireless", { wireless: true }, [], "warning", /wireless/, /ipvlan/],
    ["is macvlan itself", { kind: "macvlan" }, [], "warning", /it is macvlan itself/, /that device/],
    ["is ipvlan itself", { kind: "ipvlan" }, [ipvlan], "warning", /it is ipvlan itself/, /that device/],
    ["has networks of both drivers", {}, [lan, ipvlan], "warning", /of both drivers/, /another parent/],
    [
      "is a container's alone, and has the host's addresses",
      {},
      [{ ...lan, mode: "passthru" }],
      "warning",
      /the host's, and is lan's in mode passthru/,
      /mode bridge/,
    ],
    ["is VMware's", { driver: "vmxnet3" }, [], "hint", /vmxnet3/, /promiscuous/],
    ["is AWS's", { driver: "ena" }, [], "hint", /ena/, /no way/],
    ["is a veth", { kind: "veth", driver: undefined }, [], "hint", /veth/, /ipvlan/],
  ])("finds one that %s", (_, change, networks, result, what, remedy) => {
    const found = judged(change, ...networks);
    expect(found).toEqual([
      {
        check: "parent eth1",
        result,
        what: expect.stringMatching(what),
        why: expect.any(String),
        remedy: expect.stringMatching(remedy),
      },
    ]);
    for (const text of [found[0]?.what, found[0]?.why, found[0]?.remedy]) expect(text).not.toContain("\n");
  });

  it("has nothing against ipvlan where only foreign MACs are in question", () => {
    for (const change of [{ wireless: true }, { driver: "ena" }, { kind: "veth" }, { kind: "macvlan" }])
      expect(judged(change, ipvlan)).toMatchObject([{ result: "ok" }]);
  });

  it("says that one is gone, and counts hints as no failure", () => {
    const parents = [{ device: "eth9", networks: [lan], link: undefined }];
    expect(notOk({ parents })).toMatchObject([
      { check: "parent eth9", result: "warning", what: expect.stringMatching(/no such device.*macvlan lan/) },
    ]);
  });

  it("shows names that somebody wrote without what steers a terminal", () => {
    const [found] = judged({ up: false }, { ...lan, name: "a\u001b[2J\nb" });
    for (const steering of ["\u001b", "\n"]) expect(found?.why).not.toContain(steering);
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
