// One of the two hosts: an engine, its containers, the wire outside, and a player that holds all their devices.

import { readFileSync } from "node:fs";
import {
  createDirectLab,
  type DirectLab,
  type EngineKind,
  type Fairway,
  type Metrics,
  type Namespace,
  type Container as Running,
  run,
} from "../../lab/lib/index.js";
import { ethernet } from "./frame.js";
import { type Played, Player, type Sent } from "./player.js";
import {
  type Container,
  containers,
  type Family,
  gateway,
  host,
  neighbour,
  networks,
  type Place,
} from "./world.js";

/** How the two hosts are. */
export interface WorldOptions {
  readonly engine: EngineKind;
  readonly proxy: boolean;
  readonly families: readonly Family[];
}

/** A host, ready to be played on. */
export class Side {
  #player: Player | undefined;
  #fairway: Fairway | undefined;
  #down = false;
  #devices = new Map<Place, string>();

  private constructor(
    readonly name: "docker" | "fairway",
    readonly lab: DirectLab,
    private readonly options: WorldOptions,
    private readonly program: string,
    private readonly cpu: number,
  ) {}

  /**
   * Makes a host.
   * @param program the compiled player
   * @param cpu which CPU its frames are handled on
   */
  static async create(
    name: "docker" | "fairway",
    options: WorldOptions,
    program: string,
    cpu: number,
  ): Promise<Side> {
    const lab = await createDirectLab({ kind: options.engine, userlandProxy: options.proxy });
    const side = new Side(name, lab, options, program, cpu);
    try {
      await side.#setUpLinks();
      await side.#setUpContainers();
      if (name === "fairway") await side.startFairway();
      // The engine waits for them when it ends.
      lab.disposers.add("docker-proxies", () => side.#signalProxies("CONT"));
      await side.#stillProxies();
      side.#openPlaces();
      await side.settle();
    } catch (error) {
      await lab.dispose().catch(() => {});
      throw error;
    }
    return side;
  }

  async #setUpLinks(): Promise<void> {
    const { client: outside, host: hostNamespace } = this.lab;
    await silence(outside, "eth0");
    await outside.exec(["ip", "link", "set", "eth0", "address", gateway.mac]);
    await hostNamespace.exec(["ip", "link", "set", "eth0", "address", host.mac]);
    const only4 = !this.options.families.includes(6);
    await sysctls(hostNamespace, {
      // Errors are part of what is compared, every one; redirects are not: the kernel sends them as time goes by.
      "net.ipv4.icmp_ratelimit": 0,
      "net.ipv4.icmp_msgs_per_sec": 10_000_000,
      "net.ipv4.icmp_msgs_burst": 10_000_000,
      "net.ipv6.icmp.ratelimit": 0,
      "net.ipv4.conf.all.send_redirects": 0,
      "net.ipv4.conf.default.send_redirects": 0,
      "net.ipv4.conf.eth0.send_redirects": 0,
      "net.ipv6.conf.all.disable_ipv6": only4 ? 1 : 0,
      "net.ipv6.conf.default.disable_ipv6": only4 ? 1 : 0,
      // docker-proxy's listeners answer a SYN once; nobody ever gets further with them.
      "net.ipv4.tcp_synack_retries": 0,
      "net.ipv4.tcp_timestamps": 0,
      "net.ipv6.auto_flowlabels": 0,
      // As fairway sets it on its own host while it is attached (docs/architecture.md).
      "net.netfilter.nf_conntrack_tcp_be_liberal": 1,
    });
    for (const address of host.addresses[4].slice(1))
      await hostNamespace.exec(["ip", "address", "add", `${address}/${host.prefix[4]}`, "dev", "eth0"]);
    await hostNamespace.exec(["ip", "route", "replace", "default", "via", gateway.addresses[4]]);
    await this.#know("eth0", gateway.addresses[4], gateway.mac);
    await this.#know("eth0", neighbour.addresses[4], neighbour.mac);
    if (only4) return;
    for (const address of host.addresses[6])
      await hostNamespace.exec([
        "ip",
        "-6",
        "address",
        "replace",
        `${address}/${host.prefix[6]}`,
        "dev",
        "eth0",
        "nodad",
      ]);
    // Its link-local address was made from the MAC that it was born with.
    await hostNamespace.exec(["ip", "-6", "address", "flush", "dev", "eth0", "scope", "link"]);
    await hostNamespace.exec(["ip", "-6", "address", "add", "fe80::102/64", "dev", "eth0", "nodad"]);
    await hostNamespace.exec(["ip", "-6", "route", "replace", "default", "via", gateway.addresses[6]]);
    await this.#know("eth0", gateway.addresses[6], gateway.mac);
    await this.#know("eth0", neighbour.addresses[6], neighbour.mac);
  }

  /** The host knows a neighbour's MAC for good: nobody would answer its question. */
  async #know(device: string, address: string, mac: string): Promise<void> {
    const { host: namespace } = this.lab;
    await namespace.exec([
      "ip",
      "neigh",
      "replace",
      address,
      "lladdr",
      mac,
      "dev",
      device,
      "nud",
      "permanent",
    ]);
  }

  async #setUpContainers(): Promise<void> {
    const { engine, host: hostNamespace } = this.lab;
    await engine.images("busybox");
    const with6 = this.options.families.includes(6);
    for (const one of Object.values(networks)) {
      await engine.createNetwork(
        one.name,
        "--subnet",
        one.subnet[4],
        ...(with6 ? ["--ipv6", "--subnet", one.subnet[6]] : []),
        "--opt",
        `com.docker.network.bridge.name=${one.bridge}`,
        // Or a new container's addresses are announced for three seconds, whenever the engine gets to it.
        "--opt",
        "com.docker.network.advertise_addr_nmsgs=0",
        ...one.options,
      );
      await hostNamespace.exec(["ip", "link", "set", one.bridge, "address", one.mac]);
    }
    for (const one of containers) await this.startContainer(one);
  }

  /** Starts a container of the world. Its own kernel is made to say nothing: its place speaks for it. */
  async startContainer(one: Container): Promise<void> {
    const with6 = this.options.families.includes(6);
    const running: Running = await this.lab.engine.run("busybox", {
      name: one.place,
      network: one.network.name,
      ip: one.addresses[4],
      publish: one.published.map(
        ({ proto, address, hostPort, port }) => `${address ? `${address}:` : ""}${hostPort}:${port}/${proto}`,
      ),
      args: [
        ...(this.options.engine === "29" ? ["--mac-address", one.mac] : []),
        ...(with6 ? ["--ip6", one.addresses[6]] : []),
      ],
    });
    await silence(running.namespace, "eth0");
    await this.#know(one.network.bridge, one.addresses[4], one.mac);
    if (with6) await this.#know(one.network.bridge, one.addresses[6], one.mac);
    this.#devices.set(one.place, `${running.namespace.path}:eth0`);
  }

  #openPlaces(): void {
    const places = new Map([...this.#devices, ["outside", `${this.lab.client.path}:eth0`] as const]);
    this.#player = new Player(this.program, this.cpu, places);
  }

  /**
   * Stops docker-proxy's processes in the middle of what they do. Their sockets are the kernel's and answer all the same; what
   * the processes would say to a container on their own comes when they get to it, and is no packet's effect.
   */
  async #stillProxies(): Promise<void> {
    await this.#signalProxies("STOP");
  }

  async #signalProxies(signal: "STOP" | "CONT"): Promise<void> {
    const { stdout } = await run(["ip", "netns", "pids", this.lab.host.name]);
    const pids = stdout.split("\n").filter((pid) => pid !== "" && isProxy(pid));
    if (pids.length > 0) await run(["kill", `-${signal}`, ...pids], { mayFail: true });
  }

  /** Removes a container and makes it again as it was. */
  async replaceContainer(one: Container): Promise<void> {
    await this.#player?.stop();
    await this.#signalProxies("CONT");
    await this.lab.engine.remove(one.place);
    await this.startContainer(one);
    if (!this.#down) await this.#fairway?.knows(one.place);
    await this.#forgetConnectionsOf(one);
    await this.#stillProxies();
    this.#openPlaces();
    await this.settle();
  }

  /**
   * A container that is made anew has nothing to do with its predecessor's connections: fairway forgets them all, the engine those
   * of published ports only, so that strangers' packets come to the new one until conntrack's timeout.
   */
  async #forgetConnectionsOf({ addresses }: Container): Promise<void> {
    const ends = ["--orig-src", "--orig-dst", "--reply-src", "--reply-dst"];
    for (const family of this.options.families)
      for (const end of ends)
        await this.lab.host.exec(["conntrack", "-D", "-f", `ipv${family}`, end, addresses[family]], {
          mayFail: true,
        });
  }

  /** Starts fairway and waits until it knows every container. */
  async startFairway(): Promise<void> {
    this.#fairway = await this.lab.fairway();
    for (const { place } of containers) await this.#fairway.knows(place);
  }

  /** Ends the daemon without a word to it. */
  async killFairway(): Promise<void> {
    await this.#fairway?.stop("SIGKILL");
    this.#down = true;
  }

  /** Starts the daemon again if it is down. */
  async reviveFairway(): Promise<void> {
    if (!this.#down) return;
    this.#down = false;
    await this.startFairway();
  }

  metrics(): Promise<Metrics> {
    if (!this.#fairway) throw new Error("this side has no fairway");
    return this.#fairway.metrics();
  }

  play(frames: readonly Sent[], settleUs = 0): Promise<Played> {
    if (!this.#player) throw new Error("no player");
    return this.#player.play(frames, settleUs);
  }

  /** Every container says once where it is, so that the bridges know; what that causes is nobody's. */
  async settle(): Promise<void> {
    const frames = containers.map(({ place, mac }) => ({
      place,
      frame: ethernet("ff:ff:ff:ff:ff:ff", mac, 0x88b5, new Uint8Array(46)),
    }));
    await this.play(frames, 20_000);
  }

  /** What conntrack knows, a line for each connection. */
  async connections(): Promise<string[]> {
    const families = this.options.families.map((family) => `ipv${family}`);
    const lists = await Promise.all(
      families.map((family) => this.lab.host.exec(["conntrack", "-L", "-f", family])),
    );
    return lists.flatMap(({ stdout }) => stdout.split("\n").filter((line) => line !== "")).sort();
  }

  /** Forgets every connection: those of the host's own sockets (docker-proxy's listeners accept some) and conntrack's. */
  async forget(): Promise<void> {
    await this.lab.host.exec(["ss", "-K", "-ta", "state", "connected"]);
    await this.lab.host.exec(["conntrack", "-F"]);
    if (this.name === "fairway") await this.raiseEpoch();
  }

  /** Makes every flow entry of fairway's void. */
  async raiseEpoch(): Promise<void> {
    const pinned = `${this.lab.bpffs}/fairway/maps/control`;
    const { stdout } = await run([
      "bpftool",
      "-j",
      "map",
      "lookup",
      "pinned",
      pinned,
      "key",
      "0",
      "0",
      "0",
      "0",
    ]);
    const bytes = (JSON.parse(stdout) as { value: string[] }).value.map((text) => Number(text));
    const record = Buffer.from(bytes);
    record.writeUInt32LE(record.readUInt32LE(0) + 1, 0);
    const value = [...record].map(String);
    await run(["bpftool", "map", "update", "pinned", pinned, "key", "0", "0", "0", "0", "value", ...value]);
  }

  /** Takes every entry out of the flow table. */
  async evict(): Promise<void> {
    const pinned = `${this.lab.bpffs}/fairway/maps`;
    const { stdout } = await run(["ls", pinned]);
    for (const name of stdout.split("\n").filter((one) => /^flows(_ipv[46])?$/.test(one))) {
      const dump = await run(["bpftool", "-j", "map", "dump", "pinned", `${pinned}/${name}`]);
      const entries = JSON.parse(dump.stdout) as { key: string[] }[];
      const lines = entries.map(({ key }) => `map delete pinned ${pinned}/${name} key ${key.join(" ")}\n`);
      // The sweep may be quicker; what is gone is gone.
      await run(["bpftool", "-f", "batch", "file", "-"], { input: lines.join(""), mayFail: true });
    }
  }

  async dispose(): Promise<void> {
    await this.#player?.stop();
    await this.lab.dispose();
  }
}

/** Whether a process is docker-proxy. */
function isProxy(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "docker-proxy";
  } catch {
    return false; // Gone meanwhile.
  }
}

/** A namespace whose kernel neither answers nor asks. */
async function silence(namespace: Namespace, device: string): Promise<void> {
  await sysctls(namespace, {
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    "net.ipv4.conf.all.forwarding": 0,
    "net.ipv4.ip_forward": 0,
  });
  await namespace.exec(["ip", "address", "flush", "dev", device]);
}

async function sysctls(namespace: Namespace, values: Readonly<Record<string, number>>): Promise<void> {
  for (const [name, value] of Object.entries(values)) await namespace.sysctl(name, value);
}
