import { mkdirSync, rmSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { type Comparison, compare } from "./compare.js";
import { pinning } from "./cpus.js";
import { Disposers } from "./disposers.js";
import { type Engine, requireEngine, startEngine } from "./engine.js";
import { Fairway } from "./fairway.js";
import { type Image, makeImage } from "./image.js";
import { removeLeftovers } from "./leftovers.js";
import { agentPath, makeLoad } from "./load.js";
import { type Names, namesOf } from "./names.js";
import { CLIENT_ADDRESS, makeNetwork } from "./network.js";
import { Background, inside } from "./process.js";
import { type Report, reportOf, type Subject } from "./report.js";

const IMAGE = "fairway-demo";
const NETWORK = "demo";
const PUBLISHED_PORT = 8080;
const OUTSIDE_PORT = 8081;

export interface DemoOptions {
  /** How long to compare; undefined: until the signal. */
  seconds: number | undefined;
  /** Ends the demo in an orderly way. */
  signal: AbortSignal;
  /** Tells that a step begins. */
  step: (what: string) => void;
  show: (subject: Subject, comparison: Comparison) => void;
}

/**
 * The whole demo: namespaces, an engine, containers, the comparison, and nothing left of it afterwards, however it ends.
 * @returns the figures, and one line for each thing that could not be removed
 */
export async function demo(options: DemoOptions): Promise<{ report: Report; problems: string[] }> {
  requireEngine();
  await removeLeftovers();
  const disposers = new Disposers();
  let report: Report;
  let problems: string[] = [];
  try {
    report = await play(namesOf(process.pid), disposers, options);
  } finally {
    options.step("removing the engine, the namespaces and the files");
    problems = await disposers.dispose();
  }
  return { report, problems };
}

async function play(names: Names, disposers: Disposers, options: DemoOptions): Promise<Report> {
  const { step, signal } = options;
  const next = (what: string) => {
    signal.throwIfAborted();
    step(what);
  };
  mkdirSync(names.directory, { mode: 0o700 });
  disposers.add("files", () => rmSync(names.directory, { recursive: true, force: true, maxRetries: 5 }));

  next("making two network namespaces, the host's and the client's");
  await makeNetwork(names, disposers);
  next("making an image of this host's programs");
  const image = await makeImage(names.directory);
  next("starting an engine in the host's namespace");
  const engine = await startEngine(names, disposers, signal);
  next(`importing the image into Docker ${engine.version}`);
  await engine.api.importImage(IMAGE, image.tar());
  next(`starting two containers, ${image.server} published on port ${PUBLISHED_PORT}`);
  startOutside(names, disposers);
  await startContainers(engine, image);

  const fairway = await Fairway.prepare(names, engine.url, disposers);
  const load = makeLoad(names.client, PUBLISHED_PORT);
  const subject = { engine: engine.version, kernel: release(), server: image.server, tool: load.tool };
  next("comparing Docker alone and with fairway, in turns");
  const { seconds, show } = options;
  return reportOf(
    subject,
    await compare({ load, fairway, signal, seconds, show: (now) => show(subject, now) }),
  );
}

/** A web server outside, at the client: what the second container fetches, masqueraded. */
function startOutside(names: Names, disposers: Disposers): void {
  const server = new Background(
    "the server outside",
    inside(names.client, [process.execPath, agentPath, "serve", CLIENT_ADDRESS, String(OUTSIDE_PORT)]),
    join(names.directory, "outside.log"),
  );
  disposers.add("the server outside", () => server.stop(2_000));
}

/** The web server, and a visitor that now and then fetches from it (same network) and from outside (masqueraded). */
async function startContainers({ api }: Engine, image: Image): Promise<void> {
  await api.createNetwork(NETWORK);
  const cpu = pinning()?.server;
  const host = {
    NetworkMode: NETWORK,
    Binds: image.binds,
    ...(cpu === undefined ? {} : { CpusetCpus: String(cpu) }),
  };
  const web = await api.runContainer("web", NETWORK, {
    Image: IMAGE,
    Cmd: image.serve,
    ExposedPorts: { "80/tcp": {} },
    HostConfig: { ...host, PortBindings: { "80/tcp": [{ HostPort: String(PUBLISHED_PORT) }] } },
  });
  await api.runContainer("visitor", NETWORK, {
    Image: IMAGE,
    Cmd: image.visit([`http://${web}/`, `http://${CLIENT_ADDRESS}:${OUTSIDE_PORT}/`]),
    HostConfig: host,
  });
}
