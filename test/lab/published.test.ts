// Published ports, from outside: on the fast path, and the container sees the client's own address.

import { expect, it } from "vitest";
import { addressOf, type LoadAnswer, type TcpAnswer, type UdpAnswer } from "./answers.js";
import { addresses, fastShare } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const pages = (stdout: string) => stdout.trim().split("\n");

onEveryEngine(
  "published ports",
  {
    images: ["busybox", "nginx"],
    before: async ({ engine }) => void (await engine.run("nginx", { name: "web", publish: ["8080:80"] })),
  },
  (stage) => {
    it("serves 10,000 pages, half by a new connection each: over 99.9 % of the packets fast, the client's own address seen", async () => {
      const { lab, fairway } = stage;
      const url = `http://${addresses.host}:8080/logged`;
      await fairway.knows("web");
      const taken = await fairway.pathTaken("web", async () => {
        for (const kind of ["fresh", "keep"]) {
          const load = await lab.client.ask<LoadAnswer>("http-load.mjs", [url, 5000, kind, 8]);
          expect(load).toMatchObject({ ok: 5000, failed: 0, errors: {} });
        }
      });
      const { stdout } = await lab.engine.docker(["exec", "web", "cat", "/run/access.log"]);
      const log = pages(stdout).map((line) => line.split(" "));
      expect(log).toHaveLength(10_000);
      expect(new Set(log.map(([source]) => source))).toEqual(new Set([addresses.client]));
      // $connection_requests: 1 for the first page of a connection.
      expect(log.filter(([, request]) => request === "1").length).toBeGreaterThanOrEqual(5000);
      // At the very least a request and an answer for each page.
      expect(taken.receive.fast).toBeGreaterThan(10_000);
      expect(taken.transmit.fast).toBeGreaterThan(10_000);
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.999);
    }, 120_000);

    it("serves UDP", async () => {
      const { lab, fairway } = stage;
      const echo = await lab.engine.run("busybox", { name: "echo", publish: ["7000:7001/udp"] });
      const server = echo.namespace.agent("serve.mjs", ["--udp", 7001], lab.disposers);
      await server.waitFor(/ready/);
      await fairway.knows("echo");
      const taken = await fairway.pathTaken("echo", async () => {
        const udp = await lab.client.ask<UdpAnswer>("udp.mjs", [addresses.host, 7000, 500, 1, 60]);
        expect(udp).toMatchObject({ sent: 500, received: 500, errors: [] });
        expect(udp.answers.map(addressOf)).toEqual([addresses.client]);
      });
      expect(taken.receive.fast + taken.receive.slow).toBeGreaterThanOrEqual(500);
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.99);
      await server.stop();
      await echo.remove();
    });

    it("serves a neighbour on the host's LAN, and a container of a network of its own", async () => {
      const { lab, fairway } = stage;
      await lab.engine.createNetwork("front");
      const shop = await lab.engine.run("busybox", {
        name: "shop",
        network: "front",
        publish: ["7100:7100"],
      });
      const server = shop.namespace.agent("serve.mjs", ["--tcp", 7100], lab.disposers);
      await server.waitFor(/ready/);
      await fairway.knows("shop", "front");
      for (const from of ["client", "neighbour"] as const) {
        const taken = await fairway.pathTaken(
          "shop",
          async () => {
            const tcp = await lab[from].ask<TcpAnswer>("tcp.mjs", [addresses.host, 7100, 1_000_000]);
            expect(tcp).toMatchObject({ echoed: true });
            expect(addressOf(tcp.source)).toBe(addresses[from]);
          },
          "front",
        );
        expect(taken.receive.fast, from).toBeGreaterThan(5);
        expect(taken.transmit.fast, from).toBeGreaterThan(5);
      }
      await server.stop();
      await shop.remove();
    });

    it("keeps to the address that a port is published on", async () => {
      const { lab, fairway } = stage;
      const publish = [`${addresses.host}:8081:80`, "127.0.0.1:8082:80"];
      const web = await lab.engine.run("nginx", { name: "bound", publish });
      await fairway.knows("bound");
      const load = (port: number) =>
        lab.client.ask<LoadAnswer>("http-load.mjs", [`http://${addresses.host}:${port}/page`, 1, "fresh", 1]);
      expect(await load(8081)).toMatchObject({ ok: 1 });
      expect(await load(8082)).toMatchObject({
        ok: 0,
        errors: { [`connect ECONNREFUSED ${addresses.host}:8082`]: 1 },
      });
      const local = await lab.host.ask<LoadAnswer>("http-load.mjs", [
        "http://127.0.0.1:8082/page",
        1,
        "fresh",
        1,
      ]);
      expect(local).toMatchObject({ ok: 1 });
      await web.remove();
    });

    it("stops serving when the container is gone, and refuses as the engine alone does", async () => {
      const { lab, fairway } = stage;
      const web = await lab.engine.run("nginx", { name: "short", publish: ["8083:80"] });
      await fairway.knows("short");
      const load = () =>
        lab.client.ask<LoadAnswer>("http-load.mjs", [`http://${addresses.host}:8083/page`, 1, "fresh", 1]);
      expect(await load()).toMatchObject({ ok: 1 });
      await web.remove();
      expect(await load()).toMatchObject({
        ok: 0,
        errors: { [`connect ECONNREFUSED ${addresses.host}:8083`]: 1 },
      });
    });

    it("lets a container and the host reach published ports at the host's address", async () => {
      const { lab } = stage;
      const load = [`http://${addresses.host}:8080/page`, 20, "fresh", 2] as const;
      const other = await lab.engine.run("busybox");
      await lab.engine.createNetwork("elsewhere");
      const foreign = await lab.engine.run("busybox", { network: "elsewhere" });
      for (const from of [other.namespace, foreign.namespace, lab.host])
        expect(await from.ask<LoadAnswer>("http-load.mjs", load), from.path).toMatchObject({
          ok: 20,
          failed: 0,
        });
      await Promise.all([other.remove(), foreign.remove()]);
    });
  },
);
