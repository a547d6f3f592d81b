import type { Config } from "../config/schema.js";
import type { Maps } from "../datapath/maps.js";
import { isOurs } from "../datapath/namespace.js";
import { PinnedMaps } from "../datapath/pinned_maps.js";
import { Pins } from "../datapath/pins.js";
import { StateFile } from "../datapath/state_file.js";
import { UserError } from "../errors.js";
import type { Explanation, Step } from "../explain/conclude.js";
import { explain } from "../explain/explain.js";
import type { Packet } from "../explain/frame.js";
import { parseQuestion } from "../explain/question.js";
import type { KnownEndpoint, World } from "../explain/world.js";
import { withPort } from "../ip.js";
import { stripControls } from "../log/printable.js";
import { findRoute, listAddresses, listLinks } from "../native/index.js";
import type { Context } from "./context.js";
import { type OutputFormat, print } from "./output.js";
import { preflight, thisHost } from "./preflight.js";
import { askDaemon, type ToldEndpoint } from "./running.js";
import { table } from "./table.js";

/**
 * Runs the packet through the programs and prints what they do.
 * @throws UserError for a question that can't be read (2), names that nobody has, or where nothing is attached
 */
export async function runExplain(
  source: string,
  destination: string,
  config: Config,
  output: OutputFormat,
  context: Context,
): Promise<void> {
  const question = parseQuestion(source, destination);
  preflight(thisHost(), "explain");
  const pins = new Pins(config.bpffs);
  if (pins.list(pins.maps).length === 0 || !isOurs(new StateFile(config.stateDir), pins)) {
    throw new UserError(`fairway has no datapath at ${config.bpffs}`, {
      remedy: "start it with fairway run",
    });
  }
  const told = ((await askDaemon(config.stateDir, "/endpoints")) ?? []) as ToldEndpoint[];
  const pinned = PinnedMaps.open(pins);
  try {
    const explanation = explain(question, worldOf(pinned.maps, told), pins, pinned);
    print(context, output, explanation, () => text(explanation, context.color));
  } finally {
    pinned.close();
  }
}

function worldOf(maps: Maps, told: readonly ToldEndpoint[]): World {
  const names = new Map(told.map((one) => [`${one.slot} ${one.generation}`, one]));
  const endpoints: KnownEndpoint[] = [];
  for (const { key: slot, value: endpoint } of maps.endpoints.entries(1024)) {
    if (endpoint.generation === 0) continue;
    const named = names.get(`${slot} ${endpoint.generation}`);
    endpoints.push({
      slot,
      endpoint,
      ...(named === undefined ? {} : { container: named.container, network: named.network }),
    });
  }
  return {
    endpoints,
    uplinks: new Map([...maps.uplinks.entries()].map(({ key, value }) => [key, value])),
    devices: new Map(listLinks().map((link) => [link.ifindex, link])),
    hostAddresses: new Set(listAddresses().map(({ address }) => address)),
    route: findRoute,
  };
}

function text(explanation: Explanation, color: boolean): string {
  const { packet, steps, verdict, why } = explanation;
  const rows = steps.map((step) => [step.device, step.program, does(step)]);
  const passed = rows.length === 0 ? "" : `\n${table(["AT", "PROGRAM", "DOES"], rows, color)}`;
  return `${shown(packet)}\n${passed}\n${verdict}: ${stripControls(why)}\n`;
}

const DOES = { next: "lets it pass", drop: "drops it", redirect: "sends it on" } as const;

function does({ verdict, reasons, packet }: Step): string {
  const why = reasons.length === 0 ? "" : `: ${reasons.join(", ")}`;
  return `${DOES[verdict]}${why}${packet === undefined ? "" : `, as ${shown(packet)}`}`;
}

/** "198.18.0.2:40000 -> 198.18.0.1:80/tcp" */
function shown({ protocol, source, destination, sourcePort, destinationPort, established }: Packet): string {
  if (protocol === "icmp") return `${source} -> ${destination}, ping`;
  const ends = `${withPort(source, sourcePort)} -> ${withPort(destination, destinationPort)}/${protocol}`;
  return protocol === "tcp" && established ? `${ends}, of an open connection` : ends;
}
