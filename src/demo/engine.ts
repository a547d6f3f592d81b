import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import type { Disposers } from "./disposers.js";
import { EngineApi } from "./engine-api.js";
import { unmountBelow } from "./leftovers.js";
import type { Names } from "./names.js";
import { Background, inside, which } from "./process.js";

const START_LIMIT_MS = 60_000;

export interface Engine {
  api: EngineApi;
  /** "unix:///..." */
  url: string;
  version: string;
}

/** @throws UserError when the programs of an engine are not installed */
export function requireEngine(): void {
  for (const program of ["dockerd", "containerd"]) {
    if (which(program) === undefined) {
      throw new UserError(`${program} is not installed, and the demo runs an engine of its own`, {
        remedy: "apt-get install docker.io",
      });
    }
  }
  for (const [program, debian] of [
    ["ip", "iproute2"],
    ["nsenter", "util-linux"],
    ["setpriv", "util-linux"],
    ["tar", "tar"],
  ] as const) {
    if (which(program) === undefined) {
      throw new UserError(`${program} is not installed`, { remedy: `apt-get install ${debian}` });
    }
  }
}

/** Starts an engine with a containerd of its own in the host's namespace; all its files are below the directory. */
export async function startEngine(names: Names, disposers: Disposers, signal: AbortSignal): Promise<Engine> {
  const at = (file: string) => join(names.directory, file);
  disposers.add("mounts of the engine", () => unmountBelow(names.directory));

  await writeFile(
    at("containerd.toml"),
    `version = 2
root = "${at("containerd/root")}"
state = "${at("containerd/state")}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${at("containerd.sock")}"
[ttrpc]
  address = "${at("containerd.ttrpc")}"
`,
  );
  const containerd = new Background(
    "containerd",
    inside(names.host, ["containerd", "--config", at("containerd.toml")]),
    at("containerd.log"),
  );
  disposers.add("containerd", () => containerd.stop());
  await containerd.until(() => existsSync(at("containerd.sock")), START_LIMIT_MS, signal);

  // A file of our own, so that the host's /etc/docker/daemon.json is not read.
  await writeFile(
    at("daemon.json"),
    JSON.stringify({
      "data-root": at("data"),
      "exec-root": at("exec"),
      pidfile: at("dockerd.pid"),
      hosts: [`unix://${at("docker.sock")}`],
      containerd: at("containerd.sock"),
      features: { "containerd-snapshotter": false },
      "exec-opts": ["native.cgroupdriver=cgroupfs"],
      "shutdown-timeout": 5,
    }),
  );
  const api = new EngineApi(at("docker.sock"));
  const dockerd = new Background(
    "dockerd",
    inside(names.host, ["dockerd", "--config-file", at("daemon.json")]),
    at("dockerd.log"),
  );
  disposers.add("dockerd", () => dockerd.stop());
  disposers.add("containers", async () => {
    if (dockerd.running) await api.removeContainers();
  });
  await dockerd.until(() => api.answers(), START_LIMIT_MS, signal);
  return { api, url: `unix://${at("docker.sock")}`, version: await api.connect() };
}
