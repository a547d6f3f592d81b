/** What labels say of ipvlan and macvlan networks and their containers. Pure. */
import type { EngineNetwork } from "../docker/model.js";
import { quoted } from "../text.js";
import { ANNOUNCE, HOST, type Labels, MASQUERADE, PUBLISH, ROUTE, readBoolean } from "./labels.js";

export interface NetworkLabels {
  /** Host and containers reach each other. */
  host: boolean;
  /** Its containers reach the outside behind the parent's address. */
  masquerade: boolean;
  /** It and other networks that say so reach each other. */
  route: boolean;
  /** Who asks for its containers' addresses on the parent's link is answered. */
  announce: boolean;
}

/** One port of `fairway.publish`. */
export interface PublishedLabel {
  hostPort: number;
  containerPort: number;
  proto: "tcp" | "udp";
}

/**
 * Reads a network's labels. Host and containers reach each other on ipvlan unless it says no, on macvlan if it says so; never in
 * macvlan's mode passthru, where all that the parent receives is its container's.
 * @returns every problem in one line; what can't be read, or done, has no effect
 */
export function readNetworkLabels({
  driver,
  mode,
  labels,
}: Pick<EngineNetwork, "driver" | "mode" | "labels">): {
  labels: NetworkLabels;
  problems: string[];
} {
  const host = readBoolean(labels, HOST, driver === "ipvlan");
  const masquerade = readBoolean(labels, MASQUERADE, false);
  const route = readBoolean(labels, ROUTE, false);
  const announce = readAnnounce(labels);
  const problems = [host, masquerade, route, announce].flatMap(({ problem }) => problem ?? []);
  const isPossible = mode !== "passthru";
  if (host.value && !isPossible)
    problems.push(`label ${HOST}: in mode passthru the parent is the container's alone`);
  return {
    labels: {
      host: host.value && isPossible,
      masquerade: masquerade.value,
      route: route.value,
      announce: announce.value,
    },
    problems,
  };
}

/** `fairway.announce`: "arp", for ARP and neighbour discovery alike. */
function readAnnounce(labels: Labels): { value: boolean; problem: string | undefined } {
  const text = labels[ANNOUNCE];
  const value = text?.trim().toLowerCase() === "arp";
  if (text === undefined || value) return { value, problem: undefined };
  return { value, problem: `label ${ANNOUNCE}: ${quoted(text)} is not arp: it is ignored` };
}

/**
 * Reads `fairway.publish` of a container: "8080:80/tcp,53:53/udp"; without a protocol it is TCP.
 * @returns the ports that could be read, and every problem in one line
 */
export function readPublishLabel(labels: Labels): {
  published: PublishedLabel[];
  problems: string[];
} {
  const published: PublishedLabel[] = [];
  const problems: string[] = [];
  const text = labels[PUBLISH]?.trim() ?? "";
  for (const entry of text === "" ? [] : text.split(",").map((part) => part.trim())) {
    const match = /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(entry);
    const [hostPort, containerPort] = [Number(match?.[1]), Number(match?.[2])];
    const proto = match?.[3] === "udp" ? "udp" : "tcp";
    if (match !== null && isPort(hostPort) && isPort(containerPort)) {
      published.push({ hostPort, containerPort, proto });
    } else {
      problems.push(`label ${PUBLISH}: ${quoted(entry)} is not HOST_PORT:CONTAINER_PORT[/tcp|udp]`);
    }
  }
  return { published, problems };
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65535;
}
