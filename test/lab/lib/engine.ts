// A real engine in a namespace: Debian's 20.10, or a current 29.x from the cache, each with a containerd of its own.

import { existsSync } from "node:fs";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Container, type RunContainer, runArguments } from "./container.js";
import type { Disposers } from "./disposers.js";
import { type ImageName, imageCommand, imageTar } from "./images.js";
import type { Namespace } from "./namespace.js";
import { cacheDir } from "./paths.js";
import { Background, type Result, run, until } from "./process.js";

/** The engines that every suite runs against. */
export const engineKinds = ["20.10", "29"] as const;
export type EngineKind = (typeof engineKinds)[number];

/** The kinds to test: both, or the one that FAIRWAY_LAB_ENGINE names. */
export function enginesToTest(): readonly EngineKind[] {
  const only = process.env.FAIRWAY_LAB_ENGINE;
  if (!only) return engineKinds;
  const kind = engineKinds.find((name) => name === only);
  if (!kind) throw new Error(`FAIRWAY_LAB_ENGINE: ${only} is none of ${engineKinds.join(", ")}`);
  return [kind];
}

/** How to start an engine. */
export interface EngineOptions {
  readonly kind: EngineKind;
  /** docker-proxy for published ports; on unless told, as Docker has it. */
  readonly userlandProxy?: boolean;
  /** Containers outlive the engine. */
  readonly liveRestore?: boolean;
  /** IPv6 too: on the default bridge (engineSubnet6), and for networks that are created with it. */
  readonly ipv6?: boolean;
  /** More keys for daemon.json. */
  readonly daemonJson?: Readonly<Record<string, unknown>>;
}

/** What the default bridge takes containers' IPv6 addresses from. */
export const engineSubnet6 = "fd00:d0c::/64";

/**
 * daemon.json's keys for IPv6. 20.10 writes no ip6tables rules unless told, and then calls them an experiment; 29 writes
 * them unasked.
 */
const ipv6Keys = (kind: EngineKind) => ({
  ipv6: true,
  "fixed-cidr-v6": engineSubnet6,
  ...(kind === "20.10" && { experimental: true, ip6tables: true }),
});

const programs: Record<EngineKind, { dockerd: string; path?: string; remedy: string }> = {
  "20.10": { dockerd: "/usr/sbin/dockerd", remedy: "`npm run setup` installs Debian's docker.io" },
  "29": {
    dockerd: join(cacheDir, "engine-29", "dockerd"),
    path: join(cacheDir, "engine-29"),
    remedy: "`node scripts/engine-29.mjs` builds it",
  },
};

/** A running engine. */
export class Engine {
  readonly kind: EngineKind;
  /** Its API socket. */
  readonly socket: string;
  /** What dockerd and containerd said. */
  readonly log: string;
  #containerd: Background | undefined;
  #dockerd: Background | undefined;
  #images = new Set<ImageName>();

  private constructor(
    readonly host: Namespace,
    readonly dir: string,
    private readonly options: EngineOptions,
  ) {
    this.kind = options.kind;
    this.socket = join(dir, "docker.sock");
    this.log = join(dir, "engine.log");
  }

  /** What DOCKER_HOST and --docker-host take. */
  get url(): string {
    return `unix://${this.socket}`;
  }

  /** Starts an engine in `host` with everything it keeps below `dir`. */
  static async start(
    host: Namespace,
    dir: string,
    options: EngineOptions,
    disposers: Disposers,
  ): Promise<Engine> {
    const { dockerd, remedy } = programs[options.kind];
    if (!existsSync(dockerd)) throw new Error(`engine ${options.kind}: ${dockerd} is missing; ${remedy}`);
    const engine = new Engine(host, dir, options);
    await mkdir(dir, { recursive: true });
    disposers.add(`engine ${options.kind}`, () => engine.#dispose());
    await engine.#startContainerd();
    await engine.startDockerd();
    return engine;
  }

  #environment(): Record<string, string | undefined> {
    const { path } = programs[this.kind];
    const search = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
    return { PATH: path ? `${path}:${search}` : search, DOCKER_HOST: undefined };
  }

  #background(command: readonly string[], env: Record<string, string> = {}): Background {
    return new Background(this.host.enter(command), {
      env: { ...this.#environment(), ...env },
      onOutput: (text) => void appendFile(this.log, text).catch(() => {}),
    });
  }

  async #startContainerd(): Promise<void> {
    const config = join(this.dir, "containerd.toml");
    const at = join(this.dir, "containerd");
    // The kubernetes plug-in is not wanted and looks for a CNI configuration.
    await writeFile(
      config,
      `version = 2
root = "${at}/root"
state = "${at}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${at}.sock"
[ttrpc]
  address = "${at}.ttrpc.sock"
`,
    );
    // In the host's namespace too: a container with --network host stays in the namespace of the shim that starts it.
    this.#containerd = this.#background(["containerd", "--config", config]);
    await this.#started("containerd", this.#containerd, () => existsSync(`${at}.sock`));
  }

  /**
   * Starts dockerd and waits for its API; containers that it knows from before are as its configuration says.
   * @param env added to its environment
   * @param daemonJson the whole of daemon.json, in place of what the engine's options make
   */
  async startDockerd(env: Record<string, string> = {}, daemonJson?: string): Promise<void> {
    const config = join(this.dir, "daemon.json");
    const json = {
      "data-root": join(this.dir, "data"),
      "exec-root": join(this.dir, "exec"),
      pidfile: join(this.dir, "dockerd.pid"),
      hosts: [this.url],
      containerd: join(this.dir, "containerd.sock"),
      // systemd's driver needs systemd; this one works with cgroup v1 and v2 alike.
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
      "userland-proxy": this.options.userlandProxy ?? true,
      "live-restore": this.options.liveRestore ?? false,
      "log-driver": "json-file",
      "shutdown-timeout": 5,
      ...(this.options.ipv6 && ipv6Keys(this.kind)),
      ...this.options.daemonJson,
    };
    await writeFile(config, daemonJson ?? JSON.stringify(json, undefined, 2));
    this.#dockerd = this.#background([programs[this.kind].dockerd, "--config-file", config], env);
    await this.#started("dockerd", this.#dockerd, async () => (await this.#ping()).code === 0);
  }

  #ping(): Promise<Result> {
    return this.docker(["version", "--format", "{{.Server.Version}}"], { mayFail: true });
  }

  async #started(what: string, child: Background, ready: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await until(
        `${what} ready`,
        async () => {
          if (!child.running) throw new Error(`${what} ended`);
          return ready();
        },
        { timeout: 60_000, every: 100 },
      );
    } catch (error) {
      const log = await readFile(this.log, "utf8").catch(() => "");
      const tail = log.trimEnd().split("\n").slice(-30).join("\n");
      throw new Error(`engine ${this.kind}: ${error instanceof Error ? error.message : error}\n${tail}`);
    }
  }

  /** Ends dockerd; containers go on only with live-restore. SIGKILL: as in a crash. */
  async stopDockerd(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#dockerd?.stop(signal, 30_000);
    this.#dockerd = undefined;
  }

  async #dispose(): Promise<void> {
    if (this.#dockerd?.running) {
      const { stdout } = await this.docker(["ps", "-aq", "--no-trunc"], { mayFail: true });
      const ids = stdout.split("\n").filter(Boolean);
      if (ids.length > 0) await this.docker(["rm", "-f", "-v", ...ids], { mayFail: true });
    }
    await this.stopDockerd();
    await this.#containerd?.stop();
    // Network sandboxes and overlays that dockerd left mounted.
    const { stdout } = await run(["findmnt", "-rno", "TARGET"], { mayFail: true });
    for (const point of stdout.split("\n").reverse())
      if (point.startsWith(`${this.dir}/`)) await run(["umount", "-l", point], { mayFail: true });
  }

  /** Runs the docker command against this engine. */
  docker(args: readonly string[], options: { mayFail?: boolean; timeout?: number } = {}): Promise<Result> {
    return run(["docker", "-H", this.url, ...args], {
      // No context, plug-in or credential of the user's.
      env: { DOCKER_HOST: undefined, DOCKER_CONTEXT: undefined, DOCKER_CONFIG: join(this.dir, "client") },
      ...options,
    });
  }

  /** Imports images; each once. */
  async images(...names: ImageName[]): Promise<void> {
    for (const name of names) {
      if (this.#images.has(name)) continue;
      const command = `CMD ${JSON.stringify(imageCommand(name))}`;
      await this.docker(["import", "--change", command, await imageTar(name), `fwl/${name}`]);
      this.#images.add(name);
    }
  }

  /**
   * `docker run -d` of one of the lab's images.
   * @returns the container, running; the engine removes it when the lab ends
   */
  async run(image: ImageName, options: RunContainer = {}): Promise<Container> {
    await this.images(image);
    const { stdout } = await this.docker(runArguments(`fwl/${image}`, options));
    return Container.inspect(this, stdout.trim());
  }

  /** A container by its name or id, as it is now. */
  container(name: string): Promise<Container> {
    return Container.inspect(this, name);
  }

  /** `docker rm -f` of all of them at once. */
  async remove(...names: string[]): Promise<void> {
    await Promise.all(names.map((name) => this.docker(["rm", "-f", "-v", name])));
  }

  /** `docker network create`; returns its id. */
  async createNetwork(name: string, ...args: string[]): Promise<string> {
    const { stdout } = await this.docker(["network", "create", ...args, name]);
    return stdout.trim();
  }
}
