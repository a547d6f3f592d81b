/**
 * What a datagram of a container on ipvlan costs in instructions on all of its way: from the container's send() until the parent's device
 * has it, and from there until the container's socket has it. With no program at the parent, with one that does no more than a lookup by
 * longest prefix (bench/parent-cost), and with ours, an uplink's as well. Run by ../parent-instructions.test.ts in a machine whose clock
 * counts instructions. The parents are a dummy device and a tap: what a NIC's driver would take is in none of the figures.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ProgramName } from "../../../src/generated/programs.js";
import { type Address, FAMILIES, type Family, type PerFamily } from "../../../src/ip.js";
import { type BpfProgram, type Direction, listLinks } from "../../../src/native/index.js";
import { useDatapath } from "../../bpf/lib/datapath.js";
import { ip, mac } from "../../bpf/lib/host.js";
import { attach, Namespace } from "../../bpf/lib/live.js";
import { frame } from "../../bpf/lib/packet.js";
import { child, childSlot, OnParent } from "../../bpf/lib/parent.js";
import { Baseline, most } from "../../bpf/lib/parent-cost.js";
import { root } from "../../lab/lib/paths.js";

/** Instructions of a packet: with no program at the parent, with one that does one lookup, with ours. */
interface PathCost {
  readonly nothing: number;
  readonly lookup: number;
  readonly ours: number;
}

/** Prefix lengths of a link and of one address. */
const bits = { 4: [24, 32], 6: [64, 128] } as const;
/** Of the container's socket and of the outside's. */
const port = 50000;
const farPort = 9;
/** As many as path-cost.c sends. */
const packets = 2001;
const tool = join(root, "build", "path-cost");
const parentMac = "02:00:00:00:20:01";

/** A parent with an address of the host's, a router there, somebody behind that, and a container on ipvlan l3. */
class Parent {
  readonly #namespace = new Namespace();
  ifindex = 0;

  constructor(
    readonly name: string,
    private readonly make: string,
    readonly own: PerFamily<Address>,
    private readonly router: PerFamily<Address>,
    readonly far: PerFamily<Address>,
  ) {}

  async start(): Promise<void> {
    await this.#namespace.start();
    ip(this.make);
    ip(`link set ${this.name} address ${parentMac} arp on up`);
    ip(`link add link ${this.name} name ${this.name}c type ipvlan mode l3`);
    this.#namespace.take(`${this.name}c`);
    this.inside("ip", "link", "set", `${this.name}c`, "up");
    for (const family of FAMILIES) {
      const [link, host] = bits[family];
      const nodad = family === 6 ? " nodad" : "";
      ip(`addr add ${this.own[family]}/${link} dev ${this.name}${nodad}`);
      ip(`neigh add ${this.router[family]} lladdr ${mac.outside} dev ${this.name}`);
      ip(`route add ${this.far[family]}/${host} via ${this.router[family]} dev ${this.name}`);
      const address = `${child[family].one}/${link} dev ${this.name}c${nodad}`;
      this.inside("ip", "addr", "add", ...address.split(" "));
      this.inside("ip", `-${family}`, "route", "add", "default", "dev", `${this.name}c`);
    }
    this.ifindex = listLinks().find(({ name }) => name === this.name)?.ifindex ?? 0;
  }

  inside(...words: string[]): string {
    return execFileSync(...this.#namespace.entering(words), { encoding: "utf8" });
  }

  /** Has a socket in the container for as long as work takes, from which nobody reads. */
  async listening<T>(family: Family, work: () => T): Promise<T> {
    const words = [tool, "hold", child[family].one, String(port)];
    const socket = spawn(...this.#namespace.entering(words), { stdio: ["pipe", "pipe", "inherit"] });
    await once(socket.stdout, "data");
    const result = work();
    socket.stdin.end();
    await once(socket, "exit");
    return result;
  }

  stop(): void {
    ip(`link del ${this.name}`);
    this.#namespace.stop();
  }
}

const out = new Parent(
  "path0",
  "link add path0 type dummy",
  { 4: "198.18.20.1", 6: "2001:db8:20::1" },
  { 4: "198.18.20.254", 6: "2001:db8:20::fe" },
  { 4: "203.0.113.9", 6: "2001:db8:113::9" },
);
const back = new Parent(
  "path1",
  "tuntap add dev path1 mode tap",
  { 4: "198.18.21.1", 6: "2001:db8:21::1" },
  { 4: "198.18.21.254", 6: "2001:db8:21::fe" },
  { 4: "203.0.114.9", 6: "2001:db8:114::9" },
);
const datapath = useDatapath();
const found: Record<string, PathCost> = {};
let baseline: Baseline;
beforeAll(async () => {
  baseline = new Baseline();
  await out.start();
  await back.start();
}, 120_000);
afterAll(() => {
  out.stop();
  back.stop();
  baseline.close();
  writeFileSync("/run/exchange/path-instructions.json", JSON.stringify(found));
});

describe.each(FAMILIES)("IPv%i, on all of its way", (family) => {
  const on = new OnParent(datapath, family);
  const put = (parent: Parent, changes: { masquerade?: boolean }) => {
    datapath.putUplink(parent.ifindex, { ipv4: [[parent.own[4], 24]], ipv6: parent.own[6] });
    on.put("one", { parent: parent.ifindex, ...changes });
  };
  const counted = () => {
    const { receive, transmit } = datapath.counters(childSlot.one);
    return [receive, transmit].flatMap(({ fast, slow }) => [fast.packets, slow.packets]);
  };
  const leaving = (parent: Parent) =>
    frame({
      ...{ protocol: "udp", sourceMac: parentMac, destinationMac: mac.outside },
      ...{ source: child[family].one, sourcePort: port },
      ...{ destination: parent.far[family], destinationPort: farPort },
    });
  const arriving = (destination: Address) =>
    frame({
      ...{ protocol: "udp", sourceMac: mac.outside, destinationMac: parentMac },
      ...{ source: back.far[family], sourcePort: farPort, destination, destinationPort: port },
      payload: Buffer.alloc(64),
    });
  /** What work counts without a program at the parent, with one that looks the destination up, and with ours. */
  const measured = async (
    parent: Parent,
    direction: Direction,
    programs: readonly ProgramName[],
    work: (ours: boolean) => number | Promise<number>,
  ): Promise<PathCost> => {
    const withThose = async (attached: readonly BpfProgram[], ours: boolean) => {
      const detach = attached.map((one, i) => attach(one, parent.ifindex, direction, i + 1));
      const taken = await work(ours);
      for (const one of detach) one();
      return taken;
    };
    return {
      nothing: await withThose([], false),
      lookup: await withThose([baseline.program("by_destination")], false),
      ours: await withThose(
        programs.map((name) => datapath.program(name)),
        true,
      ),
    };
  };
  const judge = (name: string, cost: PathCost) => {
    found[`IPv${family}, ${name}`] = cost;
    expect(cost.lookup).toBeGreaterThan(cost.nothing);
    expect(cost.ours / cost.lookup).toBeLessThanOrEqual(most);
  };
  const kinds = [
    ["as it is", {}],
    ["masqueraded", { masquerade: true }],
  ] as const;

  it.each(kinds)(
    "leaving %s it takes no more than with a lookup alone, and a tenth",
    async (name, changes) => {
      put(out, changes);
      const before = counted();
      const send = () => Number(out.inside(tool, "send", out.far[family], String(farPort)));
      judge(`leaving, ${name}`, await measured(out, "egress", ["parent_egress"], send));
      // As it is by the slow path, which is the kernel's own; translated by the fast one.
      const sent = "masquerade" in changes ? [0, 0, packets, 0] : [0, 0, 0, packets];
      expect(counted().map((count, i) => count - (before[i] ?? 0))).toEqual(sent);
    },
  );

  it.each(kinds)(
    "coming in for one that is sent %s it takes no more than with a lookup alone, and a tenth",
    async (name, changes) => {
      put(back, changes);
      if ("masquerade" in changes) {
        const { packet } = datapath.run("parent_egress", back.ifindex, leaving(back), { arrivedBy: null });
        expect(packet).toMatchObject({ source: back.own[family], sourcePort: port });
      }
      const before = counted();
      const receive = (ours: boolean) =>
        back.listening(family, () => {
          const answer = ours && "masquerade" in changes;
          const input = arriving(answer ? back.own[family] : child[family].one);
          return Number(execFileSync(tool, ["frame", back.name], { input, encoding: "utf8" }));
        });
      const programs = ["uplink_ingress", "parent_ingress"] as const;
      judge(`coming in, ${name}`, await measured(back, "ingress", programs, receive));
      const received = "masquerade" in changes ? [packets, 0, 0, 0] : [0, packets, 0, 0];
      expect(counted().map((count, i) => count - (before[i] ?? 0))).toEqual(received);
    },
  );
});
