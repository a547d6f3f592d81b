/** Packets that travel: the programs attached, a container's veth with a network stack behind it, and the tun device's other end. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { afterAll, beforeAll, vi } from "vitest";
import type { ProgramName } from "../../../src/generated/programs.js";
import {
  type BpfProgram,
  type Direction,
  detachClsact,
  listLinks,
  supportsTcx,
} from "../../../src/native/index.js";
import type { Datapath } from "./datapath.js";
import { addresses, ip, mac } from "./host.js";

/**
 * Attaches a program as the kernel can, after those that are there, and returns how to detach it.
 * @param priority where they are kept in order by that: before Linux 6.6
 */
export function attach(program: BpfProgram, ifindex: number, direction: Direction, priority = 1): () => void {
  if (supportsTcx()) {
    const link = program.attachTcx({ ifindex, direction });
    return () => link.close();
  }
  const filter = { ifindex, direction, priority, handle: 1 };
  program.attachClsact(filter);
  return () => void detachClsact(filter);
}

/** Attached for as long as work takes. */
export async function attached(
  datapath: Datapath,
  at: readonly [ProgramName, number, Direction][],
  work: () => Promise<void>,
): Promise<void> {
  const detach = at.map(([name, ifindex, direction]) => attach(datapath.program(name), ifindex, direction));
  try {
    await work();
  } finally {
    for (const one of detach) one();
  }
}

/** Sends a frame to uplink0, as it is. */
export function sendOutside(bytes: Uint8Array): void {
  execFileSync("socat", ["-u", "STDIN", "INTERFACE:outside0"], {
    input: bytes,
    stdio: ["pipe", "ignore", "pipe"],
  });
}

/** A network namespace that lives while the tests do. */
export class Namespace {
  #holder: ChildProcess | undefined;

  async start(): Promise<void> {
    const holder = spawn("unshare", ["-n", "cat"], { stdio: ["pipe", "ignore", "ignore"] });
    this.#holder = holder;
    const own = readlinkSync("/proc/self/ns/net");
    const inItsOwn = () => {
      if (readlinkSync(`/proc/${holder.pid}/ns/net`) === own) throw new Error("no network namespace yet");
    };
    // An emulated machine takes its time.
    await vi.waitFor(inItsOwn, { timeout: 30_000 });
  }

  stop(): void {
    this.#holder?.stdin?.end();
  }

  /** Moves a device of ours into it. */
  take(device: string): void {
    ip(`link set ${device} netns ${this.#holder?.pid}`);
  }

  /** The command that runs a command in it. */
  entering(words: readonly string[]): [command: string, args: string[]] {
    return ["nsenter", ["-t", String(this.#holder?.pid), "-n", ...words]];
  }
}

/** A container with web's addresses and MAC, on br-app by the veth live0; its network namespace lives while the tests do. */
export class LiveContainer {
  readonly #namespace = new Namespace();
  ifindex = 0;

  async start(): Promise<void> {
    await this.#namespace.start();
    ip(`link add live0 type veth peer name livec0 address ${mac.web}`);
    this.#namespace.take("livec0");
    ip("link set live0 master br-app up");
    this.run("ip", "link", "set", "lo", "up");
    this.run("ip", "link", "set", "livec0", "up");
    for (const { web, gateway } of [addresses[4], addresses[6]]) {
      const length = web.includes(":") ? ["64", "nodad"] : ["24"];
      this.run("ip", "addr", "add", `${web}/${length[0]}`, "dev", "livec0", ...length.slice(1));
      this.run("ip", "neigh", "add", gateway, "lladdr", mac.bridge, "dev", "livec0");
      this.run("ip", "route", "add", "default", "via", gateway);
    }
    this.ifindex = listLinks().find(({ name }) => name === "live0")?.ifindex ?? 0;
  }

  stop(): void {
    ip("link del live0");
    this.#namespace.stop();
  }

  /** Runs a command in the container. */
  run(...words: string[]): void {
    this.#enter(words);
  }

  /** Has the container's own stack send a datagram. */
  datagram(from: number, to: string, port: number, payload: string): void {
    const host = to.includes(":") ? `[${to}]` : to;
    const address = `UDP${to.includes(":") ? 6 : 4}:${host}:${port},sourceport=${from}`;
    this.#enter(["socat", "-u", "STDIN", address], payload);
  }

  /** Sends a frame by the container's device as it is. */
  frame(bytes: Uint8Array): void {
    this.#enter(["socat", "-u", "STDIN", "INTERFACE:livec0"], bytes);
  }

  #enter(words: string[], input: string | Uint8Array = ""): void {
    const [command, args] = this.#namespace.entering(words);
    execFileSync(command, args, { input, stdio: ["pipe", "ignore", "pipe"] });
  }
}

/** The other end of tun0: what leaves by it is received, what is sent arrives there. Each packet is a datagram for socat. */
export class Tun {
  #socket: Socket | undefined;
  #socat: ChildProcess | undefined;
  #port = 0;
  readonly received: Buffer[] = [];

  async start(): Promise<void> {
    const socket = createSocket("udp4");
    this.#socket = socket;
    socket.on("message", (packet) => this.received.push(packet));
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    this.#port = port ^ 1;
    const peer = `UDP4-DATAGRAM:127.0.0.1:${port},bind=127.0.0.1:${this.#port}`;
    this.#socat = spawn("socat", ["-b", "65536", "TUN,tun-name=tun0,iff-no-pi", peer], { stdio: "ignore" });
    await vi.waitFor(
      () => {
        const lines = execFileSync("ip", ["-br", "link", "show", "dev", "tun0"]).toString();
        if (!lines.includes("LOWER_UP")) throw new Error("tun0 has no carrier");
      },
      { timeout: 5000 },
    );
  }

  stop(): void {
    this.#socat?.kill();
    this.#socket?.close();
  }

  send(packet: Uint8Array): void {
    this.#socket?.send(packet, this.#port, "127.0.0.1");
  }
}

/** Both, for the tests of a file. */
export function useLive(): { container: LiveContainer; tun: Tun } {
  const live = { container: new LiveContainer(), tun: new Tun() };
  beforeAll(async () => {
    await live.container.start();
    await live.tun.start();
  }, 30_000);
  afterAll(() => {
    live.tun.stop();
    live.container.stop();
  });
  return live;
}
