// What is promised for IPv4 (published.test.ts, masquerade.test.ts, bridge.test.ts) holds for IPv6.

import { beforeAll, describe, expect, it } from "vitest";
import { addressOf, type LoadAnswer, type SeenAs, type TcpAnswer, type UdpAnswer } from "./answers.js";
import {
  addresses6,
  Capture,
  type Container,
  engineSubnet6,
  fastShare,
  type Lab,
  type Namespace,
  run,
} from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const { client, host, internet, neighbour } = addresses6;
const ports = ["--http", 8000, "--tcp", 7000, "--udp", 7000];

const serve = async ({ disposers }: Lab, ...places: Namespace[]) => {
  await Promise.all(places.map((place) => place.agent("serve.mjs", ports, disposers).waitFor(/ready/)));
};

const load = (from: Namespace, url: string, count = 20, kind: "fresh" | "keep" = "fresh") =>
  from.ask<LoadAnswer>("http-load.mjs", [url, count, kind, 4]);

onEveryEngine(
  "IPv6",
  {
    images: ["busybox", "nginx"],
    ipv6: true,
    before: async (lab) => {
      const { engine } = lab;
      await engine.createNetwork("team", "--ipv6", "--subnet", "fd00:7ea:1::/64");
      await Promise.all([
        engine.run("nginx", { name: "web", publish: ["8080:80"] }),
        engine.run("nginx", { name: "bound", publish: [`[${host}]:8081:80`, "[::1]:8082:80"] }),
        engine.run("busybox", { name: "echo", publish: ["7000:7000", "7000:7000/udp"] }),
        engine.run("busybox", { name: "inside" }),
        engine.run("busybox", { name: "mate", network: "team", publish: ["7100:7000", "7100:7000/udp"] }),
        engine.run("busybox", { name: "peer", network: "team" }),
      ]);
    },
  },
  (stage) => {
    const containers: Record<string, Container> = {};
    const inside = (name: string) => {
      const container = containers[name];
      if (!container) throw new Error(`no container ${name}`);
      return container;
    };

    beforeAll(async () => {
      const { lab, fairway } = stage;
      for (const name of ["web", "bound", "echo", "inside", "mate", "peer"]) {
        containers[name] = await lab.engine.container(name);
        await fairway.knows(name);
      }
      await serve(lab, lab.internet, ...["echo", "mate", "peer"].map((name) => inside(name).namespace));
    });

    /** Runs some traffic of a container's and returns which path its packets took. */
    const taken = async (name: string, traffic: () => Promise<unknown>) => {
      const counts = await stage.fairway.pathTaken(name, traffic);
      return { counts, said: JSON.stringify(counts) };
    };

    it("gives its containers addresses of their networks", () => {
      const [prefix = ""] = engineSubnet6.split("/");
      expect(inside("web").address6().startsWith(prefix)).toBe(true);
      expect(inside("mate").address6()).toMatch(/^fd00:7ea:1::/);
    });

    describe("published ports", () => {
      it("serve pages: the client's own address seen, the packets fast", async () => {
        const { lab } = stage;
        const { counts, said } = await taken("web", async () => {
          for (const kind of ["fresh", "keep"] as const)
            expect(await load(lab.client, `http://[${host}]:8080/logged`, 1000, kind)).toMatchObject({
              ok: 1000,
              failed: 0,
            });
        });
        const { stdout } = await inside("web").exec(["cat", "/run/access.log"]);
        const sources = stdout
          .trim()
          .split("\n")
          .map((line) => line.split(" ")[0]);
        expect(sources).toHaveLength(2000);
        expect(new Set(sources)).toEqual(new Set([client]));
        expect(fastShare(counts), said).toBeGreaterThan(0.99);
      });

      it.each(["echo 7000", "mate 7100"])(
        "take TCP and UDP to %s, the client's address seen",
        async (which) => {
          const [name = "", port = ""] = which.split(" ");
          const { lab } = stage;
          const { counts, said } = await taken(name, async () => {
            for (const [from, source] of [
              [lab.client, client],
              [lab.neighbour, neighbour],
            ] as const) {
              const tcp = await from.ask<TcpAnswer>("tcp.mjs", [host, port, 1_000_000, 10_000]);
              expect({ ...tcp, source: addressOf(tcp.source) }).toEqual({ echoed: true, source });
              const udp = await from.ask<UdpAnswer>("udp.mjs", [host, port, 200, 1, 60]);
              expect(udp).toMatchObject({ sent: 200, received: 200, errors: [] });
              expect(udp.answers.map(addressOf)).toEqual([source]);
            }
          });
          expect(fastShare(counts), said).toBeGreaterThan(0.98);
        },
      );

      it("are open only at the address that they are bound to", async () => {
        const { lab } = stage;
        expect(await load(lab.client, `http://[${host}]:8081/page`, 1)).toMatchObject({ ok: 1 });
        expect(await load(lab.client, `http://[${host}]:8082/page`, 1)).toMatchObject({
          ok: 0,
          errors: { [`connect ECONNREFUSED ${host}:8082`]: 1 },
        });
        expect(await load(lab.host, "http://[::1]:8082/page", 1)).toMatchObject({ ok: 1 });
      });

      it("are reached by the host and by containers, of their network and of another", async () => {
        const { lab } = stage;
        for (const from of [lab.host, inside("inside").namespace, inside("peer").namespace])
          expect(await load(from, `http://[${host}]:8080/page`), from.path).toMatchObject({ ok: 20 });
      });

      it("refuse when the container is gone", async () => {
        const { lab, fairway } = stage;
        const short = await lab.engine.run("nginx", { name: "short", publish: ["8083:80"] });
        await fairway.knows("short");
        const url = `http://[${host}]:8083/page`;
        expect(await load(lab.client, url, 1)).toMatchObject({ ok: 1 });
        await short.remove();
        expect(await load(lab.client, url, 1)).toMatchObject({
          ok: 0,
          errors: { [`connect ECONNREFUSED ${host}:8083`]: 1 },
        });
      });
    });

    describe("masquerade", () => {
      it.each(["inside", "peer"])(
        "lets %s reach the outside, which sees the host's address",
        async (name) => {
          const { namespace } = inside(name);
          const { counts, said } = await taken(name, async () => {
            const seen = await namespace.ask<SeenAs>("get.mjs", [`http://[${internet}]:8000/`]);
            expect(seen.address).toBe(host);
            for (const kind of ["fresh", "keep"] as const)
              expect(await load(namespace, `http://[${internet}]:8000/page`, 300, kind)).toMatchObject({
                ok: 300,
                failed: 0,
              });
            const tcp = await namespace.ask<TcpAnswer>("tcp.mjs", [internet, 7000, 5_000_000, 20_000]);
            expect(tcp).toMatchObject({ echoed: true });
            const udp = await namespace.ask<UdpAnswer>("udp.mjs", [internet, 7000, 200, 1, 200]);
            expect(udp).toMatchObject({ sent: 200, received: 200, errors: [] });
            expect(udp.answers.map(addressOf)).toEqual([host]);
          });
          expect(fastShare(counts), said).toBeGreaterThan(0.98);
        },
      );

      it("gives each its own port when two containers and the host use the same one to the same server", async () => {
        const places = [stage.lab.host, inside("inside").namespace, inside("peer").namespace];
        const answers = await Promise.all(
          places.map((place) => place.ask<UdpAnswer>("udp.mjs", [internet, 7000, 100, 10, 60, 5555])),
        );
        for (const answer of answers) expect(answer).toMatchObject({ sent: 100, received: 100, errors: [] });
        const sources = answers.flatMap((answer) => answer.answers);
        expect(new Set(sources).size, JSON.stringify(sources)).toBe(3);
        expect(sources).toHaveLength(3);
        expect(new Set(sources.map(addressOf))).toEqual(new Set([host]));
      });

      it("is left out where the network says so", async () => {
        const { kind, lab, fairway } = stage;
        const key = kind === "20.10" ? "enable_ip_masquerade=false" : "gateway_mode_ipv6=routed";
        const subnet = "2001:db8:9::/64";
        const option = `com.docker.network.bridge.${key}`;
        await lab.engine.createNetwork("plain", "--ipv6", "-o", option, "--subnet", subnet);
        const plain = await lab.engine.run("busybox", { name: "plain", network: "plain" });
        await fairway.knows("plain");
        await run(["ip", "-n", lab.router.name, "route", "add", subnet, "via", host]);
        const seen = await plain.namespace.ask<SeenAs>("get.mjs", [`http://[${internet}]:8000/`]);
        expect(seen.address).toBe(plain.address6());
        await run(["ip", "-n", lab.router.name, "route", "del", subnet]);
        await plain.remove();
      });

      it("lets nothing out of an internal network", async () => {
        const { lab, fairway } = stage;
        const network = ["--internal", "--ipv6", "--subnet", "fd00:7ea:2::/64"];
        await lab.engine.createNetwork("closed", ...network);
        const closed = await lab.engine.run("busybox", { name: "closed", network: "closed" });
        await fairway.knows("closed");
        const filter = "ip6 and tcp port 7000";
        const capture = await Capture.start(lab.internet, { filter, disposers: lab.disposers });
        const tcp = () => closed.namespace.ask<TcpAnswer>("tcp.mjs", [internet, 7000, 10, 1000]);
        expect(["ENETUNREACH", "TIMEOUT"]).toContain((await tcp()).error);
        // Even with a route that the engine does not give.
        const route = ["ip", "-6", "route", "replace", "default", "via", "fd00:7ea:2::1"];
        await closed.namespace.exec(route);
        expect((await tcp()).echoed).not.toBe(true);
        expect(await capture.stop()).toEqual([]);
        await closed.remove();
      });
    });

    describe("one network", () => {
      it("carries TCP and UDP as one wire does: hop limit and addresses unchanged, the packets fast", async () => {
        const { lab } = stage;
        const to = inside("mate").address6();
        const capture = await Capture.start(inside("mate").namespace, {
          device: "eth0",
          filter: "ip6 and (tcp or udp)",
          disposers: lab.disposers,
        });
        const { namespace } = inside("peer");
        const { counts, said } = await taken("peer", async () => {
          expect(await load(namespace, `http://[${to}]:8000/page`, 300)).toMatchObject({ ok: 300 });
          const tcp = await namespace.ask<TcpAnswer>("tcp.mjs", [to, 7000, 5_000_000, 20_000]);
          expect({ ...tcp, source: addressOf(tcp.source) }).toEqual({
            echoed: true,
            source: inside("peer").address6(),
          });
          const udp = await namespace.ask<UdpAnswer>("udp.mjs", [to, 7000, 200, 1, 100]);
          expect(udp).toMatchObject({ received: 200 });
        });
        const packets = await capture.stop();
        expect(packets.length).toBeGreaterThan(1000);
        expect(packets.filter((packet) => !/hlim 64\b/.test(packet))).toEqual([]);
        expect(fastShare(counts), said).toBeGreaterThan(0.98);
      });

      it("finds a neighbour by name", async () => {
        const { stdout } = await inside("peer").exec(["ping", "-6", "-c", "3", "-i", "0.2", "mate"]);
        expect(stdout).toContain(`64 bytes from ${inside("mate").address6()}`);
        expect(stdout).toContain("3 packets received");
      });

      it("is kept apart from another", async () => {
        const { namespace } = inside("inside");
        const to = inside("mate").address6();
        const tcp = await namespace.ask<TcpAnswer>("tcp.mjs", [to, 7000, 100, 1500]);
        expect(tcp).toEqual({ error: "TIMEOUT" });
      });
    });
  },
);
