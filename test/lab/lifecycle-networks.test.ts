// Networks of every make: whatever options a network or an endpoint was made with, its containers are reached, reach each other and
// the outside as whom the engine says, on the fast path; what is not the engine's bridge is left alone.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { listFlows } from "./flow-table.js";
import {
  addresses,
  type Container,
  Engine,
  fairwayCommand,
  fairwayPlaces,
  fastShare,
  until,
} from "./lib/index.js";
import { Peer } from "./reachability/peer.js";
import { onEveryEngine } from "./suite.js";

const protocols = ["tcp", "udp"] as const;
const patience = 20_000;
/** More to exchange after the first answer: bytes, datagrams. */
const sizes = { tcp: 500_000, udp: 100 };

interface Row {
  /** `docker network create` takes these, and the name. */
  readonly network: readonly string[];
  /** More for `docker run` of the published container. */
  readonly args?: readonly string[];
  readonly ip?: string;
  /** What has to be true of it. */
  readonly is?: (container: Container, network: string) => unknown;
}

const link = async (container: Container) => {
  const [eth0] = await container.namespace.ip<{ mtu: number; address: string }[]>("link", "show", "eth0");
  return eth0;
};

const rows: Readonly<Record<string, Row>> = {
  "a bridge given by name": { network: ["-o", "com.docker.network.bridge.name=named0"] },
  "a bridge that was there before": {
    network: [
      ...["-o", "com.docker.network.bridge.name=older0", "--subnet", "172.29.1.0/24"],
      ...["--gateway", "172.29.1.1"],
    ],
  },
  "a small MTU": {
    network: ["-o", "com.docker.network.driver.mtu=1280"],
    is: async (container) => expect((await link(container))?.mtu).toBe(1280),
  },
  "a MAC address of one's own": {
    network: [],
    args: ["--mac-address", "02:42:aa:bb:cc:dd"],
    is: async (container) => expect((await link(container))?.address).toBe("02:42:aa:bb:cc:dd"),
  },
  "an address of one's own, a range and addresses that are taken": {
    network: [
      ...["--subnet", "172.29.2.0/24", "--ip-range", "172.29.2.128/28"],
      ...["--aux-address", "router=172.29.2.129", "--gateway", "172.29.2.254"],
    ],
    ip: "172.29.2.7",
    is: (container, network) =>
      expect([container.address(network), container.gateway(network)]).toEqual([
        "172.29.2.7",
        "172.29.2.254",
      ]),
  },
  "addresses chosen from such a range": {
    network: [
      ...["--subnet", "172.29.3.0/24", "--ip-range", "172.29.3.128/30"],
      ...["--aux-address", "router=172.29.3.129"],
    ],
    is: (container, network) => expect(container.address(network)).toMatch(/^172\.29\.3\.1(28|3[01])$/),
  },
};

onEveryEngine(
  "networks of every make",
  {
    images: ["busybox", "nginx"],
    oneEngine: true,
    before: async ({ host }) => {
      await host.exec(["ip", "link", "add", "older0", "type", "bridge"]);
      await host.exec(["ip", "address", "add", "172.29.1.1/24", "dev", "older0"]);
      await host.exec(["ip", "link", "set", "older0", "up"]);
    },
  },
  (stage) => {
    const outside = new Map<string, Peer>();
    const outsider = async (place: "client" | "internet") => {
      const known = outside.get(place);
      const peer = known ?? (await Peer.start(stage.lab[place], [7000], stage.lab.disposers));
      outside.set(place, peer);
      return peer;
    };
    const ask = (who: Peer, host: string, port: number) =>
      who.ask(protocols.map((protocol) => ({ protocol, host, port, patience, size: sizes[protocol] })));
    const twice = (one: string) => protocols.map(() => one);
    const docker = (...args: string[]) => stage.lab.engine.docker(args);

    it.each(Object.keys(rows).map((title, i) => [title, i] as const))("%s", async (title, i) => {
      const { lab, fairway } = stage;
      const row = rows[title];
      if (row === undefined) throw new Error("unreachable");
      const [network, port] = [`net-${i}`, 7100 + i];
      await lab.engine.createNetwork(network, ...row.network);
      const publish = [`${port}:7000`, `${port}:7000/udp`];
      const { args = [], ip } = row;
      const web = await lab.engine.run("busybox", {
        name: `web-${i}`,
        network,
        publish,
        args,
        ...(ip && { ip }),
      });
      const friend = await lab.engine.run("busybox", { name: `friend-${i}`, network });
      await row.is?.(web, network);
      const [inWeb, inFriend] = await Promise.all([
        Peer.start(web.namespace, [7000], lab.disposers),
        Peer.start(friend.namespace, [7000], lab.disposers),
      ]);
      const [client] = [await outsider("client"), await outsider("internet")];
      for (const name of [web.name, friend.name]) await fairway.knows(name, network);
      const taken = await fairway.pathTaken(web.name, async () => {
        expect(await ask(client, addresses.host, port), "from outside").toEqual(twice(addresses.client));
        expect(await ask(inWeb, addresses.internet, 7000), "to the outside").toEqual(twice(addresses.host));
        expect(await ask(inFriend, web.address(network), 7000), "within").toEqual(
          twice(friend.address(network)),
        );
        expect(await ask(inWeb, friend.address(network), 7000), "within").toEqual(
          twice(web.address(network)),
        );
      });
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      await lab.engine.remove(web.name, friend.name);
      await docker("network", "rm", network);
    });

    it("thirty containers that start at once are served, each at its own port", async () => {
      const { lab, fairway } = stage;
      await lab.engine.createNetwork("compose");
      const names = Array.from({ length: 30 }, (_, i) => `app-${i}`);
      await Promise.all(
        names.map((name, i) =>
          docker("run", "-d", "--name", name, "--network", "compose", "-p", `${7200 + i}:80`, "fwl/nginx"),
        ),
      );
      for (const name of names) await fairway.knows(name, "compose");
      const client = await outsider("client");
      const before = await fairway.metrics();
      const page = (i: number) =>
        ({ protocol: "http", host: `http://${addresses.host}:${7200 + i}/page`, patience }) as const;
      const answers = await client.ask([...names, ...names].map((_, i) => page(i % names.length)));
      for (const answer of answers) expect(answer).toMatch(/^fairway /);
      const after = await fairway.metrics();
      const fast = (name: string) => {
        const of = { container: name, path: "fast" };
        const count = "fairway_endpoint_receive_packets_total";
        return after.sum(count, of) - before.sum(count, of);
      };
      expect(names.filter((name) => fast(name) < 4)).toEqual([]);
      // One after another: thirty at once take a busy machine longer than a command may.
      await lab.engine.docker(["rm", "-f", "-v", ...names], { timeout: 300_000 });
      await until("none of them is known", async () => {
        const found = (await fairway.metrics()).find("fairway_endpoint_receive_packets_total", {
          network: "compose",
        });
        return found.length === 0;
      });
      await docker("network", "rm", "compose");
    }, 300_000);

    it("swarm's networks are left alone, and what is beside them is served", async () => {
      const { lab, fairway } = stage;
      const init = await lab.engine.docker(
        ["swarm", "init", "--advertise-addr", addresses.host, "--default-addr-pool", "10.200.0.0/16"],
        { mayFail: true },
      );
      const isSwarm = init.code === 0;
      const networks = async () =>
        (await docker("network", "ls", "--format", "{{.Name}}")).stdout.split("\n");
      if (isSwarm) await until("swarm has its network", async () => (await networks()).includes("ingress"));
      // Where the kernel lacks what swarm needs, or as long as swarm does without, its bridge is made by hand, as swarm would.
      if (!(await networks()).includes("docker_gwbridge")) {
        const options = ["name=docker_gwbridge", "enable_icc=false"].flatMap((one) => [
          "-o",
          `com.docker.network.bridge.${one}`,
        ]);
        await lab.engine.createNetwork("docker_gwbridge", ...options);
      }
      const web = await lab.engine.run("busybox", {
        name: "beside",
        publish: ["7300:7000", "7300:7000/udp"],
      });
      await Peer.start(web.namespace, [7000], lab.disposers);
      await fairway.knows("beside");
      const taken = await fairway.pathTaken("beside", async () => {
        expect(await ask(await outsider("client"), addresses.host, 7300)).toEqual(twice(addresses.client));
      });
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      const { stdout: status } = await fairwayCommand(lab, ["status", ...fairwayPlaces(lab)]);
      expect(status, isSwarm ? "swarm" : init.stderr).toMatch(/^warnings +none$/m);
      if (isSwarm) await docker("swarm", "leave", "--force");
      await lab.engine.docker(["network", "rm", "docker_gwbridge"], { mayFail: true });
      await lab.engine.remove("beside");
    });

    it("another engine on the host goes its own way: its containers are served, and nothing of them is fairway's", async () => {
      const { lab, fairway } = stage;
      // Two engines would write the same chains: the second one has none. And each takes docker0 for its own, unless told.
      await lab.host.exec(["ip", "link", "add", "second0", "type", "bridge"]);
      await lab.host.exec(["ip", "address", "add", "172.29.8.1/24", "dev", "second0"]);
      const second = await Engine.start(
        lab.host,
        join(lab.dir, "second"),
        { kind: stage.kind, daemonJson: { bridge: "second0", iptables: false, ip6tables: false } },
        lab.disposers,
      );
      await second.images("busybox");
      await second.createNetwork(
        "theirs",
        "-o",
        "com.docker.network.bridge.name=theirs0",
        "--subnet",
        "172.29.9.0/24",
      );
      const theirs = await second.run("busybox", {
        name: "theirs",
        network: "theirs",
        publish: ["7400:7000"],
      });
      await Peer.start(theirs.namespace, [7000], lab.disposers);
      const ours = await lab.engine.run("busybox", { name: "ours", publish: ["7500:7000", "7500:7000/udp"] });
      await Peer.start(ours.namespace, [7000], lab.disposers);
      await fairway.knows("ours");
      const client = await outsider("client");
      const taken = await fairway.pathTaken("ours", async () => {
        expect(await ask(client, addresses.host, 7500)).toEqual(twice(addresses.client));
      });
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      // By docker-proxy, which is all that an engine without rules has.
      const [tcp] = await client.ask([{ protocol: "tcp", host: addresses.host, port: 7400, patience }]);
      expect(tcp).toBe(theirs.gateway("theirs"));
      expect(listFlows(lab).filter((flow) => flow.includes(theirs.address("theirs")))).toEqual([]);
      expect(
        (await fairway.metrics()).find("fairway_endpoint_receive_packets_total", { container: "theirs" }),
      ).toEqual([]);

      const { code, stderr } = await fairwayCommand(
        lab,
        [
          ...["run", "--docker-host", second.url, "--metrics", "off"],
          ...["--bpffs", join(lab.bpffs, "second"), "--state-dir", join(lab.dir, "state-second")],
        ],
        { mayFail: true, timeout: 30_000 },
      );
      expect([code, stderr.split("\n").filter((line) => line.startsWith("fairway: ")).length]).toEqual([
        1, 1,
      ]);
      expect(stderr).toMatch(
        /^fairway: another fairway is attached in this network namespace \(\S+ at \S+\), and there can be one/m,
      );
      for (const left of [join(lab.bpffs, "second"), join(lab.dir, "state-second")])
        expect(existsSync(left), left).toBe(false);
    });
  },
);
