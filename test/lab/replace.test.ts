// Mode replace: the engine writes no rules, fairway's table is the slow path, and everything is as with the engine's own.

import { expect, it } from "vitest";
import {
  addresses,
  addresses6,
  Capture,
  CommandError,
  type Container,
  createLab,
  createNamespace,
  type Fairway,
  fairwayCommand,
  joinByVeth,
  type Namespace,
  run,
  runArguments,
  until,
} from "./lib/index.js";
import { withNewcomer } from "./newcomers.js";
import { onEveryEngine } from "./suite.js";

/** many.mjs */
interface Answered {
  readonly answered: number;
  /** Addresses as the server saw them. */
  readonly seen: readonly string[];
}

/** Long enough for what is answered, and for one more SYN of what isn't. */
const waitMs = 2000;
const protocols = ["tcp", "udp"] as const;
const withoutRules = { iptables: false, ip6tables: false };
const published = { front: 7000, back: 7100 } as const;
/** Of a server on the host. */
const hostPort = 7555;

/** Who asks whom, and as whom the asker is seen; undefined: it is not answered. By both protocols, all at once. */
async function expectReached(
  rows: readonly (readonly [
    who: string,
    Namespace,
    address: string,
    port: number,
    seen: string | undefined,
  ])[],
): Promise<void> {
  const asked = rows.flatMap((row) => protocols.map((proto) => ({ row, proto })));
  const got = await Promise.all(
    asked.map(async ({ row: [who, from, address, port], proto }) => {
      const { seen } = await from.ask<Answered>("many.mjs", [proto, address, port, 1, waitMs, ""]);
      return `${who} ${proto}: ${seen.join() || "nothing"}`;
    }),
  );
  expect(got).toEqual(
    asked.map(({ row: [who, , , , seen], proto }) => `${who} ${proto}: ${seen ?? "nothing"}`),
  );
}

onEveryEngine(
  "mode replace",
  { images: ["busybox"], userlandProxy: false, ipv6: true, daemonJson: withoutRules, fairway: false },
  (stage) => {
    let fairway: Fairway;
    const running = async (name: string): Promise<Container> => stage.lab.engine.container(name);
    const start = async (...args: string[]) => {
      fairway = await stage.lab.fairway({ args: ["--mode", "replace", ...args] });
    };

    it("starts beside an engine that writes no rules, and knows the containers that come", async () => {
      const { lab } = stage;
      await start();
      await lab.engine.createNetwork("front", "--ipv6", "--subnet", "fd00:f::/64");
      await lab.engine.createNetwork("back");
      await lab.engine.createNetwork("closed", "-o", "com.docker.network.bridge.enable_icc=false");
      await lab.engine.createNetwork("inside", "--internal");
      const bring = async (network: "front" | "back" | "closed" | "inside", name: string) => {
        const port = name === "front" || name === "back" ? published[name] : undefined;
        const publish = port === undefined ? [] : [`${port}:7000`, `${port}:7000/udp`];
        const container = await lab.engine.run("busybox", { name, network, publish });
        const serve = container.namespace.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers);
        await serve.waitFor(/ready/);
        return () => fairway.knows(name, network);
      };
      const wanted = ["front", "back", "closed", "inside"] as const;
      const known = await Promise.all(
        wanted.flatMap((network) => [network, `${network}-2`].map((name) => bring(network, name))),
      );
      for (const isKnown of known) await isKnown();
      const outside = lab.internet.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers);
      await outside.waitFor(/ready/);
    }, 120_000);

    it("leads outsiders to published ports on the fast path, and nowhere else", async () => {
      const { lab } = stage;
      const front = await running("front");
      const address = front.address("front");
      await lab.neighbour.ip("route", "replace", `${address}/32`, "via", addresses.host);
      const taken = await fairway.pathTaken("front", () =>
        expectReached([
          ["client to the published port", lab.client, addresses.host, published.front, addresses.client],
          [
            "neighbour to the published port",
            lab.neighbour,
            addresses.host,
            published.front,
            addresses.neighbour,
          ],
        ]),
      );
      expect(taken.receive.fast).toBeGreaterThan(2);
      await expectReached([
        ["client by IPv6", lab.client, addresses6.host, published.front, addresses6.client],
        ["front by IPv6 to outside", front.namespace, addresses6.internet, 7000, addresses6.host],
      ]);
      await expectReached([["neighbour to the container itself", lab.neighbour, address, 7000, undefined]]);
    });

    it("lets containers out by the host's address, but for those of an internal network", async () => {
      const [front, inside] = [await running("front"), await running("inside")];
      await expectReached([
        ["front to outside", front.namespace, addresses.internet, 7000, addresses.host],
        ["inside to outside", inside.namespace, addresses.internet, 7000, undefined],
      ]);
    });

    it("keeps networks apart, and containers of one that are not to reach each other", async () => {
      const [front, back, closed, inside] = await Promise.all(
        ["front", "back", "closed", "inside"].map(running),
      );
      const [front2, closed2, inside2] = await Promise.all(["front-2", "closed-2", "inside-2"].map(running));
      if (!front || !back || !closed || !inside || !front2 || !closed2 || !inside2)
        throw new Error("unreachable");
      const own = (container: Container, network: string) => container.address(network);
      await expectReached([
        ["front to front", front.namespace, own(front2, "front"), 7000, own(front, "front")],
        ["inside to inside", inside.namespace, own(inside2, "inside"), 7000, own(inside, "inside")],
        ["front to back", front.namespace, own(back, "back"), 7000, undefined],
        ["inside to front", inside.namespace, own(front, "front"), 7000, undefined],
        ["front to inside", front.namespace, own(inside, "inside"), 7000, undefined],
        ["closed to closed", closed.namespace, own(closed2, "closed"), 7000, undefined],
      ]);
    });

    it("leads containers and the host to published ports by the host's address", async () => {
      const { lab } = stage;
      const [front, front2] = [await running("front"), await running("front-2")];
      const gateway = front.gateway("front");
      await expectReached([
        ["front to its own port", front.namespace, addresses.host, published.front, gateway],
        ["front-2 to front's port", front2.namespace, addresses.host, published.front, gateway],
        ["host to front's port", lab.host, addresses.host, published.front, gateway],
        ["host to front's port by loopback", lab.host, "127.0.0.1", published.front, gateway],
      ]);
    });

    it("goes on without the daemon, networks kept apart", async () => {
      const { lab } = stage;
      const [front, back] = [await running("front"), await running("back")];
      expect(await fairway.stop("SIGKILL")).not.toBe(0);
      await expectReached([
        ["client to the published port", lab.client, addresses.host, published.front, addresses.client],
        ["front to back", front.namespace, back.address("back"), 7000, undefined],
      ]);
      await start();
    });

    it("leads the host by loopback without the programs at socket calls too, and nobody else", async () => {
      const { lab } = stage;
      const [front, back] = [await running("front"), await running("back")];
      await fairway.stop();
      await start("--host-sockets", "off");
      await expectReached([
        ["host by loopback", lab.host, "127.0.0.1", published.front, front.gateway("front")],
        ["host by its address", lab.host, addresses.host, published.front, front.gateway("front")],
      ]);
      // Sends what is to loopback to its gateway, whose bridge routes it: a server of the host's would answer.
      const server = lab.host.agent("serve.mjs", ["--tcp", hostPort], lab.disposers);
      await server.waitFor(/ready/);
      const { namespace } = back;
      for (const own of ["127.0.0.0/8", "127.0.0.1"])
        await namespace.exec(["ip", "route", "del", "table", "local", "local", own, "dev", "lo"]);
      await namespace.exec(["ip", "route", "add", "127.0.0.1", "via", back.gateway("back")]);
      const filter = `host ${back.address("back")} and host 127.0.0.1`;
      const capture = await Capture.start(lab.host, { filter, disposers: lab.disposers });
      await namespace.ask("many.mjs", ["tcp", "127.0.0.1", hostPort, 1, waitMs, ""]);
      const seen = (await capture.stop()).map((packet) => /\S+ > \S+(?=:)/.exec(packet)?.[0] ?? packet);
      expect(seen.filter((packet) => packet.endsWith(`> 127.0.0.1.${hostPort}`))).not.toEqual([]);
      expect(seen.filter((packet) => packet.startsWith("127.0.0.1."))).toEqual([]);
      await fairway.stop();
      await start();
    }, 120_000);

    it.each(["SIGSTOP", "SIGKILL"] as const)(
      "keeps a network closed until it has looked at it, with the daemon ended by %s",
      async (signal) => {
        const { lab } = stage;
        const front = await running("front");
        fairway.process.kill(signal);
        if (signal === "SIGKILL") await fairway.process.exited;
        await withNewcomer(lab, front, async (heard, newcomer) => {
          expect(heard()).toEqual({ outside: false, other: false, inside: false });
          if (signal === "SIGSTOP") fairway.process.kill("SIGCONT");
          else await start();
          await until("the newcomer is let out", () => heard().outside);
          await fairway.knows("newcomer", "young");
          expect(heard()).toEqual({ outside: true, other: false, inside: false });
          await expectReached([
            ["newcomer to outside", newcomer.namespace, addresses.internet, 7000, addresses.host],
            ["newcomer to front", newcomer.namespace, front.address("front"), 7000, undefined],
          ]);
        });
      },
      120_000,
    );

    it("lets others' bridges be: what was there before, and what comes", async () => {
      const { lab } = stage;
      for (const [name, subnet] of [
        ["virbr7", "172.29.7"],
        ["virbr8", "172.29.8"],
      ] as const) {
        const guest = await createNamespace(`${lab.host.name}-${name}`, lab.disposers);
        if (name === "virbr7") await fairway.stop();
        const host = (...args: string[]) => run(["ip", "-n", lab.host.name, ...args]);
        await host("link", "add", name, "type", "bridge");
        await host("address", "add", `${subnet}.1/24`, "dev", name);
        await host("link", "set", name, "up");
        await joinByVeth(lab.host, `${name}-0`, guest, "eth0");
        await host("link", "set", `${name}-0`, "master", name);
        await run(["ip", "-n", guest.name, "address", "add", `${subnet}.2/24`, "dev", "eth0"]);
        await run(["ip", "-n", guest.name, "route", "add", "default", "via", `${subnet}.1`]);
        await lab.router.ip("route", "replace", `${subnet}.0/24`, "via", addresses.host);
        if (name === "virbr7") await start();
        await until(`a guest of ${name} is answered`, async () => {
          const { seen } = await guest.ask<Answered>("many.mjs", [
            "tcp",
            addresses.internet,
            7000,
            1,
            500,
            "",
          ]);
          return seen.includes(`${subnet}.2`);
        });
      }
    }, 120_000);

    it("has its rules back when somebody flushes all of them, and says so", async () => {
      const { lab } = stage;
      await lab.host.exec(["nft", "flush", "ruleset"]);
      await until("the table is back", async () => {
        const { stdout } = await lab.host.exec(["nft", "list", "tables"]);
        return stdout.includes("table inet fairway");
      });
      await until("a warning", () => fairway.log.includes("somebody else changed the slow path's rules"));
      const [front, back] = [await running("front"), await running("back")];
      await expectReached([
        ["client to the published port", lab.client, addresses.host, published.front, addresses.client],
        ["front to back", front.namespace, back.address("back"), 7000, undefined],
      ]);
    });

    it("takes a removed container's port away", async () => {
      const { lab } = stage;
      await lab.engine.remove("back");
      await until("the port is gone", async () => {
        const { stdout } = await lab.host.exec(["nft", "list", "map", "inet", "fairway", "any_ports_ipv4"]);
        return !stdout.includes(`${published.back}`);
      });
    });

    it("leaves nothing after cleanup", async () => {
      const { lab } = stage;
      await fairway.stop();
      const { stdout } = await fairway.cleanup();
      expect(stdout).toContain("inet fairway");
      expect((await lab.host.exec(["nft", "list", "tables"])).stdout).not.toContain("fairway");
    });
  },
);

it("refuses an engine that writes rules of its own, with what to tell it", async () => {
  const lab = await createLab({ kind: "29" });
  try {
    const place = { ...lab };
    const failure = await fairwayCommand(place, [...runArguments(place), "--mode", "replace"]).catch(
      (e) => e,
    );
    expect(failure).toBeInstanceOf(CommandError);
    expect(failure.result.stderr).toMatch(/mode replace .*"iptables": false.*daemon\.json/);
  } finally {
    await lab.dispose();
  }
}, 60_000);
