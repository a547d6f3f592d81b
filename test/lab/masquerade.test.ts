// Containers that reach the outside: masqueraded as the host, on the fast path.

import { expect, it } from "vitest";
import { addressOf, type LoadAnswer, type SeenAs, type TcpAnswer, type UdpAnswer } from "./answers.js";
import { addresses, Capture, fastShare, run } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const server = addresses.internet;

onEveryEngine(
  "masquerade",
  {
    images: ["busybox"],
    before: async ({ engine, internet, disposers }) => {
      await engine.run("busybox", { name: "reader" });
      await internet
        .agent("serve.mjs", ["--http", 8000, "--tcp", 7000, "--udp", 7000], disposers)
        .waitFor(/ready/);
    },
  },
  (stage) => {
    const reader = async () => (await stage.lab.engine.container("reader")).namespace;

    it("fetches pages from a server outside, which sees the host's address", async () => {
      const { fairway } = stage;
      const inside = await reader();
      await fairway.knows("reader");
      const taken = await fairway.pathTaken("reader", async () => {
        const seen = await inside.ask<SeenAs>("get.mjs", [`http://${server}:8000/`]);
        expect(seen.address).toBe(addresses.host);
        for (const kind of ["fresh", "keep"]) {
          const load = await inside.ask<LoadAnswer>("http-load.mjs", [
            `http://${server}:8000/page`,
            500,
            kind,
            4,
          ]);
          expect(load).toMatchObject({ ok: 500, failed: 0 });
        }
      });
      expect(taken.transmit.fast).toBeGreaterThan(1000);
      expect(taken.receive.fast).toBeGreaterThan(1000);
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.99);
    });

    it("exchanges datagrams", async () => {
      const { fairway } = stage;
      const inside = await reader();
      const taken = await fairway.pathTaken("reader", async () => {
        const udp = await inside.ask<UdpAnswer>("udp.mjs", [server, 7000, 300, 1, 200]);
        expect(udp).toMatchObject({ sent: 300, received: 300, errors: [] });
        expect(udp.answers.map(addressOf)).toEqual([addresses.host]);
      });
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.99);
    });

    it("gives each its own port when two containers and the host use the same one to the same server", async () => {
      const { lab, fairway } = stage;
      const names = ["same1", "same2"];
      const containers = await Promise.all(names.map((name) => lab.engine.run("busybox", { name })));
      for (const name of names) await fairway.knows(name);
      const places = [lab.host, ...containers.map((container) => container.namespace)];
      const answers = await Promise.all(
        places.map((place) => place.ask<UdpAnswer>("udp.mjs", [server, 7000, 100, 10, 60, 5555])),
      );
      for (const answer of answers) expect(answer).toMatchObject({ sent: 100, received: 100, errors: [] });
      const sources = answers.flatMap((answer) => answer.answers);
      expect(sources, JSON.stringify(sources)).toHaveLength(3); // Each kept one mapping,
      expect(new Set(sources).size).toBe(3); // and each its own.
      await Promise.all(containers.map((container) => container.remove()));
    });

    it("carries a bulk upload and download unharmed", async () => {
      const inside = await reader();
      const tcp = await inside.ask<TcpAnswer>("tcp.mjs", [server, 7000, 20_000_000, 20_000]);
      expect(tcp).toMatchObject({ echoed: true });
    });

    it("does not masquerade where the network says so", async () => {
      const { kind, lab, fairway } = stage;
      // 28 and newer drop the answers to an address that they did not masquerade, unless the network is routed.
      const key = kind === "20.10" ? "enable_ip_masquerade=false" : "gateway_mode_ipv4=routed";
      const option = `com.docker.network.bridge.${key}`;
      await lab.engine.createNetwork("plain", "-o", option, "--subnet", "172.30.0.0/24");
      const plain = await lab.engine.run("busybox", { name: "plain", network: "plain" });
      await fairway.knows("plain");
      await run(["ip", "-n", lab.router.name, "route", "add", "172.30.0.0/24", "via", addresses.host]);
      const seen = await plain.namespace.ask<SeenAs>("get.mjs", [`http://${server}:8000/`]);
      expect(seen.address).toBe(plain.address());
      await run(["ip", "-n", lab.router.name, "route", "del", "172.30.0.0/24"]);
      await plain.remove();
    });

    it("lets nothing out of an internal network", async () => {
      const { lab, fairway } = stage;
      await lab.engine.createNetwork("closed", "--internal");
      const closed = await lab.engine.run("busybox", { name: "closed", network: "closed" });
      await fairway.knows("closed");
      const capture = await Capture.start(lab.internet, {
        filter: "tcp port 7000",
        disposers: lab.disposers,
      });
      const tcp = () => closed.namespace.ask<TcpAnswer>("tcp.mjs", [server, 7000, 10, 1000]);
      expect(["ENETUNREACH", "TIMEOUT"]).toContain((await tcp()).error);
      // Even with a route that Docker does not give.
      const network = ["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "closed"];
      const { stdout } = await lab.engine.docker(network);
      const gateway = stdout.trim().replace(/\.0\/\d+$/, ".1");
      await closed.namespace.exec(["ip", "route", "replace", "default", "via", gateway]);
      expect(await tcp()).toEqual({ error: "TIMEOUT" });
      expect(await capture.stop()).toEqual([]);
      await closed.remove();
    });
  },
);
