// `fairway explain`: what it says of a packet is what becomes of such packets, and nothing is left of the asking.

import { renameSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { explained } from "./explained.js";
import { addresses, addresses6, fairwayCommand, fairwayPlaces, fastShare, until } from "./lib/index.js";
import { stream } from "./streams.js";
import { onEveryEngine } from "./suite.js";
import { expectGood, people, port } from "./ways.js";

onEveryEngine(
  "explain",
  { images: ["busybox"], ipv6: true, oneEngine: true, before: (lab) => people(lab) },
  (stage) => {
    const ask = (source: string, destination: string) => explained(stage.lab, source, destination);
    const fails = async (...args: string[]) => {
      const { code, stderr } = await fairwayCommand(
        stage.lab,
        ["explain", ...args, ...fairwayPlaces(stage.lab)],
        {
          mayFail: true,
        },
      );
      return { code, stderr };
    };
    /** Nobody sends meanwhile but the kernels, by the slow path. */
    const counts = [
      /^fairway_endpoint_(receive|transmit)_\w+\{.*path="fast"/,
      /^fairway_endpoint_(connections_opened|snat_\w+|dropped_packets)_total/,
      /^fairway_published_port_\w+_total/,
      /^fairway_flow_table_(inserted|evicted)_total/,
    ];
    /** All that asking could leave: conntrack's entries of the ports that are asked about, and what is counted of them. */
    const traces = async () => {
      const { stdout } = await stage.lab.host.exec(["conntrack", "-L"]);
      const metrics = await stage.fairway.page("/metrics");
      return {
        connections: [...stdout.matchAll(/src=\S+ dst=\S+ sport=\d+ dport=(7000|7001|7100)\b/g)]
          .map(([tuple]) => tuple)
          .sort(),
        counters: metrics.split("\n").filter((line) => counts.some((one) => one.test(line))),
      };
    };

    it("a first packet to a published port, to the outside, and to a neighbour, as they are sent", async () => {
      const { lab, fairway } = stage;
      for (const name of ["server", "asker"]) await fairway.knows(name);
      // A next hop that nobody has asked for yet is the kernel's to find.
      await lab.host.exec(["ip", "-6", "neigh", "flush", "dev", "eth0"]);
      expect(await ask(addresses6.client, `host:${port.echo}`)).toMatchObject({ reason: "no_neighbour" });
      for (const { client, host } of [addresses, addresses6])
        await expectGood(stage, { peer: lab.client, peerAddress: client, hostAddress: host });
      const server = (await lab.engine.container("server")).address();
      const asker = (await lab.engine.container("asker")).address();

      expect(await ask(addresses.client, `host:${port.echo}`)).toMatchObject({
        packet: { source: addresses.client, destination: addresses.host, destinationPort: port.echo },
        verdict: "fast",
        reason: null,
        flow: "new",
        to: { container: "server", network: "bridge" },
        steps: [
          {
            program: "uplink_ingress",
            device: "eth0",
            packet: { source: addresses.client, destination: server },
          },
        ],
      });
      expect(await ask(addresses6.client, `host:${port.echo}`)).toMatchObject({
        packet: { source: addresses6.client, destination: addresses6.host },
        verdict: "fast",
        reason: null,
        to: { container: "server" },
      });
      expect(await ask("asker", `${addresses.client}:${port.echo}/udp`)).toMatchObject({
        packet: { source: asker },
        verdict: "fast",
        flow: "new",
        to: null,
        by: "eth0",
        steps: [
          { program: "endpoint_ingress", packet: { source: addresses.host, destination: addresses.client } },
        ],
      });
      expect(await ask("asker", `server:${port.echo}`)).toMatchObject({
        verdict: "fast",
        to: { container: "server" },
      });
      expect(await ask("asker", addresses.client)).toMatchObject({ verdict: "slow", reason: "not_tcp_udp" });
      expect(await ask("asker", `host:${port.echo}`)).toMatchObject({ verdict: "slow", reason: "to_host" });
      expect(await ask(addresses.client, "host:22")).toMatchObject({
        verdict: "slow",
        reason: null,
        why: "left to the kernel: it is the host's own: no container has published 22/tcp there",
      });
    }, 60_000);

    it("a socket of the host's, led to the container", async () => {
      const server = (await stage.lab.engine.container("server")).address();
      expect(await ask("host", `host:${port.echo}`)).toMatchObject({
        verdict: "fast",
        to: { container: "server" },
        steps: [{ program: "host_connect_ipv4", packet: { destination: server } }],
      });
      expect(await ask("host", `server:${port.echo}`)).toMatchObject({
        verdict: "slow",
        reason: "from_host",
      });
    });

    it("a packet of an open connection, by the entry that it has", async () => {
      const { lab } = stage;
      const to = { host: addresses.host, port: port.stream };
      const running = await stream("download", lab.client, to, 50_000, undefined, lab.disposers);
      await running.moves();
      const { stdout } = await lab.client.exec([
        "ss",
        "-Htn",
        "state",
        "established",
        "dport",
        `= :${port.stream}`,
      ]);
      const source = /(\S+):(?<port>\d+)\s+\S+\s*$/.exec(stdout.trim())?.groups?.port;
      const before = await traces();
      expect(await ask(`${addresses.client}:${source}`, `host:${port.stream}`)).toMatchObject({
        packet: { established: true },
        verdict: "fast",
        flow: "made",
        to: { container: "server" },
      });
      expect((await traces()).connections).toEqual(before.connections);
      expect(await running.end()).toMatchObject({ exact: true });
    }, 60_000);

    it("what a list refuses, and what a firewall's rules may", async () => {
      const { lab, fairway } = stage;
      const label = `fairway.deny=${addresses.client}`;
      await lab.engine.run("busybox", { name: "shy", publish: ["7100:7100"], args: ["--label", label] });
      await fairway.knows("shy");
      expect(await ask(addresses.client, "host:7100")).toMatchObject({
        verdict: "drop",
        reason: "port_denied",
      });
      await lab.host.exec(["busybox", "ping", "-c", "1", addresses.neighbour]);
      expect(await ask(addresses.neighbour, "host:7100")).toMatchObject({
        verdict: "fast",
        to: { container: "shy" },
      });

      await lab.host.exec(["iptables", "-I", "DOCKER-USER", "-s", addresses.internet, "-j", "DROP"]);
      await until("the rule counts", async () => {
        return (await ask(addresses.internet, `host:${port.echo}`)).reason === "filtered";
      });
      await lab.host.exec(["iptables", "-D", "DOCKER-USER", "-s", addresses.internet, "-j", "DROP"]);
      await until("and no more", async () => {
        return (await ask(addresses.internet, `host:${port.echo}`)).verdict === "fast";
      });
    }, 60_000);

    it("a limit that is used up, and asking uses none of it", async () => {
      const { lab, fairway } = stage;
      const label = "fairway.limit=1/m";
      await lab.engine.run("busybox", { name: "slow", publish: ["7200:7200"], args: ["--label", label] });
      await fairway.knows("slow");
      const fast = { verdict: "fast", to: { container: "slow" } };
      for (let round = 0; round < 2; round++)
        expect(await ask(addresses.client, "host:7200")).toMatchObject(fast);
      await lab.client.exec(["busybox", "nc", "-w", "2", addresses.host, "7200"], { mayFail: true });
      expect(await ask(addresses.client, "host:7200")).toMatchObject({ verdict: "drop", reason: "limited" });
      expect(await ask(addresses.neighbour, "host:7200")).toMatchObject(fast);
    }, 60_000);

    it("leaves nothing behind, however often", async () => {
      const before = await traces();
      for (const one of counts)
        expect(
          before.counters.some((line) => one.test(line)),
          `${one}`,
        ).toBe(true);
      for (let round = 0; round < 5; round++) {
        expect((await ask(addresses.client, `host:${port.echo}`)).verdict).toBe("fast");
        expect((await ask("asker", `${addresses.client}:${port.echo}/udp`)).verdict).toBe("fast");
        expect((await ask(addresses.client, "host:7100")).verdict).toBe("drop");
      }
      expect(await traces()).toEqual(before);
      const { lab } = stage;
      const taken = await stage.fairway.pathTaken("server", () =>
        expectGood(stage, { peer: lab.client, peerAddress: addresses.client, hostAddress: addresses.host }),
      );
      expect(fastShare(taken)).toBeGreaterThan(0.95);
    }, 120_000);

    it("wrong questions are one line each", async () => {
      expect(await fails("servr", "host:80")).toEqual({
        code: 1,
        stderr:
          'fairway: no container is named "servr" (did you mean "server"?): fairway knows asker, server, shy, slow\n',
      });
      const { code, stderr } = await fails(addresses.client, "host:port");
      expect(code).toBe(2);
      expect(stderr).toMatch(/^fairway: DST "host:port": a port is 1 to 65535: .*\n$/);
    });

    it("another namespace's datapath is not spoken for", async () => {
      const { lab } = stage;
      const elsewhere = { ...lab, host: lab.client };
      const question = ["explain", addresses.client, "host:80", ...fairwayPlaces(lab)];
      const { code, stderr } = await fairwayCommand(elsewhere, question, { mayFail: true });
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(
          /^fairway: the datapath of \S+ is in another network namespace \(.*\n$/,
        ),
      });
    });

    it("another version's programs are not asked", async () => {
      const pin = (name: string) => join(stage.lab.bpffs, "fairway", "programs", name);
      const swap = () => {
        renameSync(pin("uplink_ingress"), pin("other"));
        renameSync(pin("parent_ingress"), pin("uplink_ingress"));
        renameSync(pin("other"), pin("parent_ingress"));
      };
      swap();
      const { code, stderr } = await fails(addresses.client, `host:${port.echo}`);
      swap();
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/another version of fairway/),
      });
      expect(stderr.trimEnd()).not.toContain("\n");
    });

    it("without a daemon by addresses alone; cleaned up it says so", async () => {
      const { lab } = stage;
      const address = (await lab.engine.container("server")).address();
      await stage.fairway.stop();
      expect(await ask(addresses.client, `host:${port.echo}`)).toMatchObject({
        verdict: "fast",
        to: { container: null, network: null },
      });
      expect(await ask(address, `${addresses.client}:${port.echo}`)).toMatchObject({
        verdict: "fast",
        to: null,
      });
      expect((await fails("server", "host:80")).stderr).toMatch(/no daemon is running that knows names/);
      await stage.fairway.cleanup();
      const { code, stderr } = await fails(addresses.client, "host:80");
      expect(code).toBe(1);
      expect(stderr).toMatch(/^fairway: fairway has no datapath at \S+: start it with fairway run\n$/);
    });
  },
);
