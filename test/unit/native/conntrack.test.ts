import { type ChildProcess, spawn } from "node:child_process";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  type ConntrackEntry,
  type ConntrackTuple,
  deleteConntrack,
  deleteConntrackOf,
  listConntrack,
  updateConntrackTcp,
} from "../../../src/native/index.js";
import { childEnvironment, compileTool, enterNewNamespace, eventually, nativeError, run } from "./support.js";

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ESTABLISHED = 3;
const CLOSE_WAIT = 5;

let raw: string;
beforeAll(() => {
  raw = compileTool("raw");
});

beforeEach(() => {
  enterNewNamespace();
  run("ip", "address", "add", "198.18.0.1/24", "dev", "lo");
  run("ip", "address", "add", "198.18.0.2/24", "dev", "lo");
  run("ip", "-6", "address", "add", "2001:db8::1/128", "dev", "lo", "nodad");
  // A rule that asks for a connection's state makes the kernel track this namespace.
  run("nft", "add table inet fwn; add chain inet fwn c { type filter hook input priority 0; }");
  run("nft", "add rule inet fwn c tcp window 12345 counter");
  run("nft", "add rule inet fwn c tcp window 12345 ct state invalid counter");
});

function tuple(fields: Partial<ConntrackTuple>): ConntrackTuple {
  return { family: 4, proto: TCP, saddr: "198.18.0.1", daddr: "198.18.0.2", sport: 0, dport: 0, ...fields };
}

function find(family: 4 | 6, matches: (entry: ConntrackEntry) => boolean): ConntrackEntry {
  const entry = listConntrack(family).find(matches);
  if (entry === undefined) throw new Error("no such entry");
  return entry;
}

/** An entry as conntrack(8) makes it. */
function insert(sport: number, dport: number, state = "ESTABLISHED"): void {
  run(
    ...(["conntrack", "-I", "-p", "tcp", "-s", "198.18.0.1", "-d", "198.18.0.2"] as const),
    ...["--sport", String(sport), "--dport", String(dport), "--state", state, "-t", "300", "-m", "7"],
  );
}

/** A TCP connection over lo that stays open until the test ends; returns its original tuple. */
async function connection(): Promise<ConntrackTuple> {
  const script = `
    const net = require("node:net");
    const server = net.createServer((socket) => socket.resume()).listen(0, "198.18.0.2", () => {
      const { port } = server.address();
      const client = net.connect({ port, host: "198.18.0.2", localAddress: "198.18.0.1" }, () => {
        client.write("x");
        console.log(client.localPort + " " + port);
      });
    });`;
  const child = spawn(process.execPath, ["-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
    env: childEnvironment,
  });
  onTestFinished(() => ended(child));
  const line = await new Promise<string>((resolve) =>
    child.stdout.once("data", (data) => resolve(String(data))),
  );
  const [sport = 0, dport = 0] = line.split(" ").map(Number);
  return tuple({ sport, dport });
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}

describe("the list", () => {
  test("has an inserted entry with all its fields", () => {
    insert(4000, 80);
    const entry = find(4, ({ original }) => original.dport === 80);
    expect(entry).toMatchObject({
      original: tuple({ sport: 4000, dport: 80 }),
      reply: tuple({ saddr: "198.18.0.2", daddr: "198.18.0.1", sport: 80, dport: 4000 }),
      tcpState: ESTABLISHED,
      mark: 7,
    });
    expect(entry.timeout).toBeGreaterThan(290);
    expect(entry.timeout).toBeLessThanOrEqual(300);
    expect(entry.status & 8).toBe(8); // IPS_CONFIRMED
    expect(Object.keys(entry)).not.toContain("zone");
    expect(listConntrack(6)).toEqual([]);
  });

  test("has what real traffic makes, with the NAT that was done", () => {
    run("nft", "add chain inet fwn n { type nat hook output priority -100; }");
    run("nft", "add rule inet fwn n ip daddr 198.18.0.2 udp dport 1000 dnat ip to 198.18.0.1:2000");
    run("bash", "-c", "echo > /dev/udp/198.18.0.2/1000");
    const entry = find(4, ({ original }) => original.proto === UDP);
    expect(entry.original).toMatchObject({ daddr: "198.18.0.2", dport: 1000 });
    expect(entry.reply).toMatchObject({ saddr: "198.18.0.1", sport: 2000, dport: entry.original.sport });
    expect(entry.status & 0x20).toBe(0x20); // IPS_DST_NAT
    expect(entry.tcpState).toBeUndefined();
  });

  test("has pings by id, type and code, and IPv6", () => {
    run(raw, "ping4", "198.18.0.1", "4321");
    run(raw, "ping6", "2001:db8::1", "4321");
    const four = find(4, ({ original }) => original.proto === ICMP);
    expect(four.original).toMatchObject({ sport: 4321, dport: 8 * 256 });
    expect(four.reply.dport).toBe(0);
    expect(four.reply.sport).toBe(four.original.sport);
    const six = find(6, ({ original }) => original.proto === 58);
    expect(six.original).toMatchObject({
      family: 6,
      saddr: "2001:db8::1",
      daddr: "2001:db8::1",
      dport: 128 * 256,
    });
    expect(deleteConntrack(four.original)).toBe(true);
    expect(deleteConntrack(six.original)).toBe(true);
    expect(listConntrack(4)).toEqual([]);
    expect(listConntrack(6)).toEqual([]);
  });

  test("is whole when it is long", () => {
    flood(3000);
    const ports = new Set(listConntrack(4).map(({ original }) => original.sport));
    expect(ports.size).toBe(3000);
  });
});

/** Makes n UDP entries, from source port 10000 on. */
function flood(n: number): void {
  const script = `
    const dgram = require("node:dgram");
    let open = ${n};
    (async () => {
      for (let i = 0; i < ${n}; i++) {
        const socket = dgram.createSocket("udp4");
        await new Promise((done) => socket.bind(10000 + i, "198.18.0.1", done));
        await new Promise((done) => socket.send("x", 9, "198.18.0.2", done));
        socket.close();
      }
    })();`;
  run(process.execPath, "-e", script);
}

describe("delete", () => {
  test("removes the entry named and no other", () => {
    insert(4000, 80);
    insert(4001, 80);
    expect(deleteConntrack(tuple({ sport: 4000, dport: 80 }))).toBe(true);
    expect(deleteConntrack(tuple({ sport: 4000, dport: 80 }))).toBe(false);
    expect(listConntrack(4).map(({ original }) => original.sport)).toEqual([4001]);
  });

  test("refuses what is no address", () => {
    insert(4000, 80);
    for (const saddr of ["", "198.18.0", "2001:db8::1", "localhost"]) {
      expect(nativeError(() => deleteConntrack(tuple({ saddr, sport: 4000, dport: 80 })))).toMatchObject({
        code: "EINVAL",
        operation: "delete conntrack",
      });
    }
    expect(listConntrack(4).length).toBe(1);
  });

  test("does thousands at once", () => {
    flood(2000);
    for (const { original } of listConntrack(4)) deleteConntrack(original);
    expect(listConntrack(4)).toEqual([]);
  });
});

describe("delete by address", () => {
  const insertAny = (
    saddr: string,
    daddr: string,
    replySource: string,
    replyDestination: string,
    sport: number,
  ) =>
    run(
      ...(["conntrack", "-I", "-p", "udp", "-s", saddr, "-d", daddr, "-t", "300"] as const),
      ...["-r", replySource, "-q", replyDestination, "--sport", String(sport), "--dport", "53"],
      ...["--reply-port-src", "53", "--reply-port-dst", String(sport)],
    );
  const ports = (family: 4 | 6) =>
    listConntrack(family)
      .map((entry) => entry.original.sport)
      .filter((port) => port > 40000 && port < 40100)
      .sort();

  test("removes what has it as its source, and what is answered from it, and nothing else", () => {
    const [own, far, other] = ["198.18.1.1", "198.18.1.2", "198.18.1.3"];
    insertAny(own, far, far, own, 40001);
    insertAny(far, other, own, far, 40002);
    insertAny(far, other, other, far, 40003);
    insertAny(other, far, far, other, 40004);
    expect(ports(4)).toEqual([40001, 40002, 40003, 40004]);
    // This machine's kernel can select.
    expect(deleteConntrackOf(4, own)).toBe(true);
    expect(ports(4)).toEqual([40003, 40004]);
    expect(deleteConntrackOf(4, own)).toBe(true);
    expect(ports(4)).toEqual([40003, 40004]);
  });

  test("does not trust the kernel's filter for IPv6: it deletes all others", () => {
    insertAny("2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::2", "2001:db8:1::1", 40001);
    insertAny("2001:db8:1::3", "2001:db8:1::2", "2001:db8:1::2", "2001:db8:1::3", 40002);
    expect(deleteConntrackOf(6, "2001:db8:1::1")).toBe(false);
    expect(ports(6)).toEqual([40001, 40002]);
  });

  test("leaves the other family alone", () => {
    insertAny("198.18.1.1", "198.18.1.2", "198.18.1.2", "198.18.1.1", 40001);
    insertAny("2001:db8::1:1", "2001:db8::2", "2001:db8::2", "2001:db8::1:1", 40002);
    deleteConntrackOf(4, "198.18.1.1");
    expect([ports(4), ports(6)]).toEqual([[], [40002]]);
  });

  test("refuses what is no address, and deletes nothing", () => {
    insert(40001, 80);
    for (const address of ["", "198.18.0", "2001:db8::1", "198.18.0.1/0"]) {
      expect(nativeError(() => deleteConntrackOf(4, address))).toMatchObject({ code: "EINVAL" });
    }
    expect(nativeError(() => deleteConntrackOf(6, "198.18.0.1"))).toMatchObject({ code: "EINVAL" });
    expect(ports(4)).toEqual([40001]);
  });
});

describe("update of TCP entries", () => {
  test("sets the state, only from the state named", () => {
    insert(4000, 80, "SYN_SENT");
    insert(4001, 80, "ESTABLISHED");
    const update = (sport: number, onlyFrom?: number) => ({
      original: tuple({ sport, dport: 80 }),
      state: CLOSE_WAIT,
      liberal: false,
      ...(onlyFrom === undefined ? {} : { onlyFrom }),
    });
    expect(updateConntrackTcp([update(4000, ESTABLISHED), update(4001, ESTABLISHED), update(4002)])).toBe(1);
    const states = () =>
      new Map(listConntrack(4).map(({ original, tcpState }) => [original.sport, tcpState] as const));
    expect(states()).toEqual(
      new Map([
        [4000, 1],
        [4001, CLOSE_WAIT],
      ]),
    );
    expect(updateConntrackTcp([update(4000)])).toBe(1);
    expect(states().get(4000)).toBe(CLOSE_WAIT);
    expect(updateConntrackTcp([])).toBe(0);
  });

  test("makes an entry liberal: segments out of its window are no longer invalid", async () => {
    const original = await connection();
    await eventually(() => find(4, (one) => one.original.sport === original.sport).tcpState === ESTABLISHED);
    expect(await stray(original)).toBe("invalid");
    // Whatever state it is in: onlyFrom is about the state alone.
    expect(updateConntrackTcp([{ original, state: CLOSE_WAIT, onlyFrom: 0, liberal: true }])).toBe(1);
    expect(find(4, (one) => one.original.sport === original.sport).tcpState).toBe(ESTABLISHED);
    expect(await stray(original)).toBe("valid");
  });

  test("does thousands at once", () => {
    run(
      "bash",
      "-c",
      `for i in $(seq 1000); do echo "-I -p tcp -s 198.18.0.1 -d 198.18.0.2 --sport $((5000 + i)) --dport 80 ` +
        `--state SYN_RECV -t 300"; done > /tmp/fwn-load && conntrack -R /tmp/fwn-load; rm /tmp/fwn-load`,
    );
    const updates = listConntrack(4).map(({ original }) => ({
      original,
      state: ESTABLISHED,
      onlyFrom: 2,
      liberal: true,
    }));
    expect(updates.length).toBe(1000);
    expect(updateConntrackTcp(updates)).toBe(1000);
    expect(new Set(listConntrack(4).map(({ tcpState }) => tcpState))).toEqual(new Set([ESTABLISHED]));
    expect(updateConntrackTcp(updates.map((update) => ({ ...update, liberal: false })))).toBe(0);
  });
});

/** Sends ACKs of the connection far out of its window; what the tracker thinks of those beyond it. */
async function stray({ saddr, daddr, sport, dport }: ConntrackTuple): Promise<"valid" | "invalid"> {
  const counters = () =>
    [...run("nft", "list", "ruleset").matchAll(/counter packets (\d+)/g)].map((match) => Number(match[1]));
  const [arrived = 0, invalid = 0] = counters();
  run(raw, "ack", saddr, String(sport), daddr, String(dport));
  await eventually(() => counters()[0] === arrived + 2);
  return counters()[1] === invalid ? "valid" : "invalid";
}
