// Connections that the kernel decides, by rules or routes that fairway does not judge: learned from what it lets pass, and
// void as soon as it may think otherwise.

import { expect, it } from "vitest";
import { addressOf, type TcpAnswer } from "./answers.js";
import { bulk } from "./bulk.js";
import {
  addresses,
  type Container,
  type Fairway,
  fastShare,
  type Lab,
  type Namespace,
  sleep,
} from "./lib/index.js";
import {
  type DatagramAnswer,
  datagrams,
  type Live,
  type StreamAnswer,
  serveLive,
  stream,
} from "./streams.js";
import { onEveryEngine } from "./suite.js";

const port = { echo: 7000, stream: 7001, datagrams: 7002 } as const;
const publish = [
  `${port.echo}:${port.echo}`,
  `${port.stream}:${port.stream}`,
  `${port.datagrams}:${port.datagrams}/udp`,
];

const iptables = (lab: Lab, ...args: string[]) => lab.host.exec(["iptables", ...args]);

/** What is refused, round by round: the streams that have to stop, and their rules. */
const rounds = [
  {
    published: ["-p", "tcp", "-d", "TARGET", "--dport", `${port.stream}`],
    asking: ["-p", "udp", "-d", addresses.internet],
  },
  {
    talk: ["-p", "udp", "-d", "TARGET", "--dport", `${port.datagrams}`],
    upload: ["-p", "tcp", "-d", addresses.internet],
  },
] as const;

onEveryEngine(
  "a rule of the user's for an open connection",
  {
    images: ["busybox"],
    oneEngine: true,
    before: async ({ engine }) => {
      await engine.run("busybox", { name: "target", publish });
      await engine.run("busybox", { name: "reader" });
    },
  },
  (stage) => {
    it("stops it within two seconds, for as long as the rule is there, and no other", async () => {
      const { lab, fairway } = stage;
      const { client, internet, disposers } = lab;
      await fairway.knows("target");
      await fairway.knows("reader");
      const target = await lab.engine.container("target");
      const inside = (await lab.engine.container("reader")).namespace;
      const servers = {
        published: await serveLive("stream", target.namespace, port.stream, disposers),
        outside: await serveLive("stream", internet, port.stream, disposers),
        talk: await serveLive("datagrams", target.namespace, port.datagrams, disposers),
        asking: await serveLive("datagrams", internet, port.datagrams, disposers),
      };
      const there = { host: addresses.host, port: port.stream };
      const out = { host: addresses.internet, port: port.stream };
      const [published, upload, talk, asking] = await Promise.all([
        stream("download", client, there, 4_000_000, servers.published, disposers),
        stream("upload", inside, out, 4_000_000, servers.outside, disposers),
        datagrams(client, { host: addresses.host, port: port.datagrams }, 10, disposers, servers.talk),
        datagrams(inside, { host: addresses.internet, port: port.datagrams }, 10, disposers, servers.asking),
      ]);
      const live: Readonly<Record<string, Live<StreamAnswer> | Live<DatagramAnswer>>> = {
        published,
        upload,
        talk,
        asking,
      };
      const received = () =>
        Object.fromEntries(Object.entries(live).map(([name, { received }]) => [name, received]));
      // Older than a second: the kernel's tracker has seen them.
      await sleep(1500);
      for (const round of rounds as readonly Readonly<Record<string, readonly string[]>>[]) {
        const rules = Object.values(round).map((words) => [
          "DOCKER-USER",
          ...words.map((word) => (word === "TARGET" ? target.address() : word)),
          "-j",
          "DROP",
        ]);
        for (const rule of rules) await iptables(lab, "-I", ...rule);
        await sleep(2000);
        const before = received();
        await sleep(1500);
        const after = received();
        for (const name of Object.keys(live)) {
          if (name in round) expect(after[name], `${name} has stopped`).toBe(before[name]);
          else expect(after[name], `${name} goes on`).toBeGreaterThan(before[name] ?? 0);
        }
        for (const rule of rules) await iptables(lab, "-D", ...rule);
        await Promise.all(Object.keys(round).map((name) => live[name]?.moves(10_000)));
      }
      // Fast again when all rules are gone, and not one byte wrong.
      for (const name of ["target", "reader"]) {
        const taken = await fairway.pathTaken(name, () => sleep(1500));
        expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      }
      const whole = { bytes: expect.any(Number), exact: true };
      expect(await published.end()).toEqual(whole);
      expect(await upload.end()).toEqual(whole);
      for (const one of [talk, asking]) expect((await one.end()).errors).toEqual({});
    }, 90_000);
  },
);

/** Who asks whom by the host's address. */
const hairpins = {
  "a container its own port": ["one", "one"],
  "a container another of its network": ["one", "two"],
  "a container one of another network": ["one", "far"],
  "a container of a user's network one of the default network": ["far", "one"],
} as const;

const hairpinPorts = { one: 7000, two: 7100, far: 7200 } as const;

/** What asking gives: the source that the server sees, or the error. */
async function ask(from: Namespace, target: number, size = 1000) {
  const { source, ...rest } = await from.ask<TcpAnswer>("tcp.mjs", [addresses.host, target, size, 2000]);
  return { ...rest, source: addressOf(source) };
}

for (const userlandProxy of [true, false])
  onEveryEngine(
    `ports of the host reached from inside, ${userlandProxy ? "with" : "without"} docker-proxy`,
    // docker-proxy itself is the same in all of them.
    { images: ["busybox"], userlandProxy, oneEngine: userlandProxy, fairway: false },
    (stage) => {
      const containers = new Map<string, Container>();
      const alone = new Map<string, unknown>();
      let fairway: Fairway;

      it("as the engine alone has it", async () => {
        const { lab } = stage;
        await lab.engine.createNetwork("other");
        for (const [name, number] of Object.entries(hairpinPorts)) {
          const container = await lab.engine.run("busybox", {
            name,
            network: name === "far" ? "other" : "bridge",
            publish: [`${number}:7000`, `${number + 1}:7001`],
          });
          await container.namespace.agent("serve.mjs", ["--tcp", 7000], lab.disposers).waitFor(/ready/);
          await serveLive("stream", container.namespace, 7001, lab.disposers);
          containers.set(name, container);
        }
        for (const [what, [from, to]] of Object.entries(hairpins))
          alone.set(what, await ask(place(from), hairpinPorts[to]));
        expect(alone.get("a container another of its network")).toMatchObject({ echoed: true });
        fairway = await lab.fairway();
        for (const name of Object.keys(hairpinPorts)) await fairway.knows(name);
      });

      const place = (name: string) => {
        const container = containers.get(name);
        if (!container) throw new Error(`no container ${name}`);
        return container.namespace;
      };

      it.each(Object.entries(hairpins))(
        "%s: the same answer as with the engine alone",
        async (what, [from, to]) => {
          const expected = alone.get(what) as { echoed?: boolean };
          for (let i = 0; i < (expected.echoed ? 3 : 1); i++)
            expect(await ask(place(from), hairpinPorts[to], 100_000)).toEqual(expected);
        },
      );

      it.each(Object.entries(hairpins))(
        "%s: in bulk, fast where the kernel carries it",
        async (what, [from, to]) => {
          const answer = alone.get(what) as { echoed?: boolean; source?: string };
          if (!answer.echoed) return;
          // docker-proxy carries what comes from the same network; before 28 what comes from others as well. Within one network
          // the kernel's bridge translates, and that is not learned: such a transfer is right, and slow.
          const across = (from === "far") !== (to === "far");
          const learned = across && (!userlandProxy || stage.kind !== "20.10");
          const { answer: downloaded, shares } = await bulk(fairway, {
            from: place(from),
            to: { host: addresses.host, port: hairpinPorts[to] + 1 },
            containers: [from, to],
            ms: learned ? 1000 : 200,
            disposers: stage.lab.disposers,
          });
          expect(downloaded).toEqual({ bytes: expect.any(Number), exact: true });
          if (learned)
            for (const { share, taken } of Object.values(shares))
              expect(share, JSON.stringify(taken)).toBeGreaterThan(0.9);
        },
      );
    },
  );
