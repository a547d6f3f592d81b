// A running container of the lab's engine.

import type { Engine } from "./engine.js";
import { Namespace } from "./namespace.js";
import type { Result } from "./process.js";

/** Options of `docker run`. */
export interface RunContainer {
  readonly name?: string;
  readonly network?: string;
  /** A fixed address; the network needs a subnet of its own. */
  readonly ip?: string;
  /** As `-p` takes them. */
  readonly publish?: readonly string[];
  /** More options, before the image. */
  readonly args?: readonly string[];
  /** Instead of the image's command. */
  readonly command?: readonly string[];
}

/** The arguments of `docker run -d` for these options. */
export function runArguments(image: string, options: RunContainer): string[] {
  const { name, network, ip, publish = [], args = [], command = [] } = options;
  return [
    "run",
    "-d",
    ...(name ? ["--name", name] : []),
    ...(network ? ["--network", network] : []),
    ...(ip ? ["--ip", ip] : []),
    ...publish.flatMap((port) => ["-p", port]),
    // Stopping doesn't wait for programs that ignore SIGTERM.
    "--stop-timeout",
    "1",
    ...args,
    image,
    ...command,
  ];
}

/** The parts of `docker inspect` that the lab reads. */
interface Inspected {
  Id: string;
  Name: string;
  State: { Pid: number; Running: boolean };
  NetworkSettings: {
    SandboxKey: string;
    Networks: Record<
      string,
      {
        IPAddress: string;
        Gateway: string;
        GlobalIPv6Address: string;
        IPv6Gateway: string;
        MacAddress: string;
      }
    >;
  };
}

/** A container as it was when it was inspected. */
export class Container {
  private constructor(
    readonly engine: Engine,
    private readonly inspected: Inspected,
  ) {}

  static async inspect(engine: Engine, id: string): Promise<Container> {
    const { stdout } = await engine.docker(["inspect", "--type", "container", id]);
    const [inspected] = JSON.parse(stdout) as Inspected[];
    if (!inspected) throw new Error(`docker inspect ${id} gave nothing`);
    return new Container(engine, inspected);
  }

  get id(): string {
    return this.inspected.Id;
  }

  get name(): string {
    return this.inspected.Name.replace(/^\//, "");
  }

  /** The process id of its first process, as the host sees it. */
  get pid(): number {
    return this.inspected.State.Pid;
  }

  /** Its address on a network, or on its only one. */
  address(network?: string): string {
    return this.#endpoint(network).IPAddress;
  }

  /** The gateway of a network, or of its only one. */
  gateway(network?: string): string {
    return this.#endpoint(network).Gateway;
  }

  /** Its IPv6 address on a network, or on its only one. */
  address6(network?: string): string {
    return this.#endpoint(network).GlobalIPv6Address;
  }

  /** The IPv6 gateway of a network, or of its only one. */
  gateway6(network?: string): string {
    return this.#endpoint(network).IPv6Gateway;
  }

  #endpoint(network?: string) {
    const networks = this.inspected.NetworkSettings.Networks;
    const endpoint = network === undefined ? Object.values(networks)[0] : networks[network];
    if (!endpoint) throw new Error(`${this.name} is not on network ${network ?? "(any)"}`);
    return endpoint;
  }

  /** Its network namespace: for tcpdump, servers and clients of the test inside it. */
  get namespace(): Namespace {
    return new Namespace(this.inspected.NetworkSettings.SandboxKey);
  }

  /** `docker exec`. */
  exec(command: readonly string[], options?: { mayFail?: boolean; timeout?: number }): Promise<Result> {
    return this.engine.docker(["exec", this.id, ...command], options);
  }

  /** What it printed. */
  async logs(): Promise<string> {
    const { stdout, stderr } = await this.engine.docker(["logs", this.id]);
    return stdout + stderr;
  }

  /** `docker stop`. */
  async stop(): Promise<void> {
    await this.engine.docker(["stop", "-t", "1", this.id]);
  }

  /** `docker rm -f`. */
  async remove(): Promise<void> {
    await this.engine.docker(["rm", "-f", "-v", this.id]);
  }
}
