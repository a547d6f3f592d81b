// What happens to a host while connections run: none of them loses more than it would with the kernel alone.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { flushFlows } from "./flow-table.js";
import {
  addresses,
  type Background,
  type Container,
  type Fairway,
  fairwayCleanup,
  type Lab,
  type Namespace,
  run,
  sleep,
} from "./lib/index.js";
import {
  type Counted,
  counted,
  countedSince,
  type DatagramAnswer,
  datagrams,
  type StreamAnswer,
  serveLive,
  stream,
} from "./streams.js";
import { onEveryEngine } from "./suite.js";

const ports = { stream: 7001, datagrams: 7002 } as const;
/** Bytes per second: busy, and not all that the machine can do. */
const modest = 20_000_000;
/** Milliseconds between two datagrams. */
const interval = 5;

/** Who takes part. */
interface Cast {
  readonly sender: Container;
  readonly reader: Container;
  readonly servers: Readonly<Record<"published" | "outside", Background>>;
}

async function assemble({ engine, internet, disposers }: Lab): Promise<Cast> {
  const publish = [`${ports.stream}:${ports.stream}`, `${ports.datagrams}:${ports.datagrams}/udp`];
  const sender = await engine.run("busybox", { name: "sender", publish });
  const reader = await engine.run("busybox", { name: "reader" });
  const servers = {
    published: await serveLive("stream", sender.namespace, ports.stream, disposers),
    outside: await serveLive("stream", internet, ports.stream, disposers),
  };
  for (const place of [sender.namespace, internet])
    await serveLive("datagrams", place, ports.datagrams, disposers);
  return { sender, reader, servers };
}

/** What came of the streams of one event. */
interface Outcome {
  readonly tcp: { readonly download: StreamAnswer; readonly upload: StreamAnswer };
  readonly udp: { readonly published: DatagramAnswer; readonly masqueraded: DatagramAnswer } | undefined;
  /** Packets that one end sent and the other never got: data, acknowledgements, datagrams. */
  readonly packetsLost: number;
  readonly retransmits: number;
  readonly resets: number;
}

/**
 * Does something while a client downloads by a published port, a container uploads to a server outside, and both exchange
 * datagrams; they go on before and after. Without datagrams when the streams are to be as fast as they can be: these would
 * wait for a processor.
 */
async function carry(
  lab: Lab,
  { sender, reader, servers }: Cast,
  rate: number,
  event: () => Promise<unknown>,
): Promise<Outcome> {
  const { client, host, internet, disposers } = lab;
  const to = (kind: keyof typeof ports, address: string) => ({ host: address, port: ports[kind] });
  // Each speaks with one of the others alone, and the host, the last, only forwards.
  const places = [client, sender.namespace, reader.namespace, internet, host];
  const before = await Promise.all(places.map(counted));
  const inside = to("stream", addresses.host);
  const outside = to("stream", addresses.internet);
  const talk = (from: Namespace, address: string) =>
    rate > 0 ? datagrams(from, to("datagrams", address), interval, disposers) : undefined;
  const [download, upload, published, masqueraded] = await Promise.all([
    stream("download", client, inside, rate, servers.published, disposers),
    stream("upload", reader.namespace, outside, rate, servers.outside, disposers),
    talk(client, addresses.host),
    talk(reader.namespace, addresses.internet),
  ]);
  await sleep(300);
  await event();
  await Promise.all([download.moves(), upload.moves()]);
  await sleep(300);
  const [downloaded, uploaded] = await Promise.all([download.end(), upload.end()]);
  const udp = published &&
    masqueraded && { published: await published.end(), masqueraded: await masqueraded.end() };
  await sleep(50); // The last acknowledgements.
  const after = await Promise.all(places.map(counted));
  const since = after.map((now, i) => countedSince(now, before[i] ?? now));
  const total = (name: keyof Counted, of = since) => of.reduce((sum, one) => sum + one[name], 0);
  const ends = since.slice(0, -1);
  return {
    tcp: { download: downloaded, upload: uploaded },
    udp,
    packetsLost: total("sent", ends) - total("received", ends),
    retransmits: total("retransmits"),
    resets: total("resets"),
  };
}

/** Datagrams that are missing, both ways of both talks. */
function lost({ udp }: Outcome): number {
  const ways = udp ? [udp.published, udp.masqueraded].flatMap((talk) => [talk.toServer, talk.toClient]) : [];
  return ways.reduce((sum, way) => sum + (way.lost ?? way.sent), 0);
}

/** Everything arrived, but for what this event may cost with the kernel alone. */
function expectWhole(outcome: Outcome, spared = { packets: 0, datagrams: 0 }): void {
  const said = JSON.stringify(outcome);
  const whole = { bytes: expect.any(Number), exact: true };
  expect(outcome.tcp, said).toEqual({ download: whole, upload: whole });
  for (const { bytes } of Object.values(outcome.tcp)) expect(bytes, said).toBeGreaterThan(modest / 4);
  for (const talk of Object.values(outcome.udp ?? {})) {
    expect(talk.errors, said).toEqual({});
    expect(talk.toServer.received, said).toBeGreaterThan(50);
    expect(talk.toClient.received, said).toBeGreaterThan(50);
  }
  expect(outcome.resets, said).toBe(0);
  expect(lost(outcome), said).toBeLessThanOrEqual(spared.datagrams);
  expect(outcome.packetsLost, said).toBeLessThanOrEqual(spared.packets);
}

const move = "another MAC address of the next hop, announced";

/** Events that the kernel alone knows too. */
const ordinary: Readonly<Record<string, (lab: Lab) => Promise<unknown>>> = {
  nothing: () => sleep(1000),
  "a rule that accepts others, added to DOCKER-USER and removed": async ({ host }) => {
    const rule = ["DOCKER-USER", "-s", "198.19.9.0/24", "-j", "ACCEPT"];
    await host.exec(["iptables", "-I", ...rule]);
    await sleep(500);
    await host.exec(["iptables", "-D", ...rule]);
    await sleep(1300);
  },
  "a table of nftables, added and removed": async ({ host }) => {
    const table = `table inet mine {
      chain forward { type filter hook forward priority 10; policy accept; ip saddr 198.19.9.0/24 counter accept; }
    }`;
    await host.exec(["nft", "-f", "-"], { input: table });
    await sleep(500);
    await host.exec(["nft", "delete", "table", "inet", "mine"]);
    await sleep(1300);
  },
  [move]: async ({ router }) => {
    const mac = (last: string) =>
      run(["ip", "-n", router.name, "link", "set", "lan", "address", `02:00:00:00:00:${last}`]);
    await router.sysctl("net.ipv4.conf.lan.arp_notify", 1);
    await mac("a1");
    await sleep(700);
    await mac("a2");
    await sleep(700);
  },
};

/** Events of fairway's own. */
const own: Readonly<
  Record<string, (lab: Lab, fairway: () => Fairway, set: (f: Fairway) => void) => Promise<void>>
> = {
  "the flow table flushed every 100 ms": async (lab) => {
    let flushed = 0;
    for (let i = 0; i < 15; i++) {
      flushed += flushFlows(lab);
      await sleep(100);
    }
    // Both connections' and both talks' entries came back each time.
    expect(flushed).toBeGreaterThan(15 * 2);
  },
  "the daemon killed and restarted": async (lab, fairway, set) => {
    await fairway().stop("SIGKILL");
    await sleep(300);
    set(await lab.fairway());
    await sleep(300);
  },
  "the programs detached, and attached by the next start": async (lab, fairway, set) => {
    await fairway().stop();
    await sleep(1000);
    const links = join(lab.bpffs, "fairway", "links");
    for (const name of readdirSync(links)) {
      await run(["bpftool", "link", "detach", "pinned", join(links, name)]);
      rmSync(join(links, name));
    }
    await sleep(700);
    set(await lab.fairway());
    await sleep(300);
  },
  "cleanup, and run again": async (lab, fairway, set) => {
    await fairway().stop();
    await fairwayCleanup(lab);
    await sleep(700);
    set(await lab.fairway());
    await sleep(300);
  },
};

/** What is on its way to an address that changes: a datagram of each talk, and a large packet's segments of each stream, twice. */
const movesCost = { packets: 4 * 46, datagrams: 4 };
const spared = (event: string) => (event === move ? movesCost : undefined);

onEveryEngine(
  "live streams go on through",
  { images: ["busybox"], oneEngine: true, fairway: false },
  (stage) => {
    let cast: Cast;
    let fairway: Fairway;
    const set = (next: Fairway) => {
      fairway = next;
    };
    const through = (event: string, rate: number) =>
      carry(stage.lab, cast, rate, async () => {
        await ordinary[event]?.(stage.lab);
        await own[event]?.(stage.lab, () => fairway, set);
      });

    it.each(Object.keys(ordinary))("%s, with the engine alone", async (event) => {
      cast ??= await assemble(stage.lab);
      expectWhole(await through(event, modest), spared(event));
    });

    it.each([...Object.keys(ordinary), ...Object.keys(own)])("%s", async (event) => {
      fairway ??= await stage.lab.fairway();
      await fairway.knows("sender");
      await fairway.knows("reader");
      expectWhole(await through(event, modest), spared(event));
    });

    it.each([move, ...Object.keys(own)])("%s, at full speed", async (event) => {
      expectWhole(await through(event, 0), spared(event));
    });
  },
);
