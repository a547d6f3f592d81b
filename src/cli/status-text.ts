import { stripControls } from "../log/printable.js";
import type { PathPackets, PinnedState } from "./pinned.js";
import type { DaemonReport, ToldEndpoint } from "./running.js";
import { type Cell, duration, number, percent, table } from "./table.js";

/** How many reasons the table for people shows; all of them are in -o json and at /metrics. */
const REASONS_SHOWN = 8;
/** How many containers and networks with fairway.enable=false are named there. */
const LEFT_SHOWN = 10;

/** What a person wants to know of a running daemon. */
export function daemonText(report: DaemonReport, color: boolean, now = Date.now()): string {
  const blocks = [facts(report, now), endpointsText(report.endpoints, color), reasonsText(report, color)];
  return blocks.filter((block) => block !== "").join("\n");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function facts({ status, endpoints, hostPorts }: DaemonReport, now: number): string {
  const { engine, reconcile, counts } = status;
  const version =
    engine.version === undefined ? "" : `, Docker ${engine.version} (API ${engine.apiVersion ?? "?"})`;
  const connection = engine.connected
    ? "connected"
    : `not connected${engine.error === undefined ? "" : `: ${engine.error}`}`;
  const uplinks = status.uplinks.map(
    ({ name, addresses }) => `${name} (${addresses.join(", ") || "no address"})`,
  );
  const led = sum(hostPorts.map((port) => port.led));
  const left = sum(hostPorts.flatMap((port) => Object.values(port.left)));
  const hostSockets = `${status.hostSockets}; ${number(led)} led to a container, ${number(left)} left to the engine's way`;
  const adopted = status.adopted ? ", went on with a pinned datapath" : "";
  const last = reconcile.lastSuccessAt === 0 ? "never" : `${duration(now - reconcile.lastSuccessAt)} ago`;
  const took = reconcile.last === undefined ? "" : `, took ${reconcile.last.durationMs.toFixed(0)} ms`;
  const rows: [string, string][] = [
    ["state", `${status.state}, pid ${status.pid}, up ${duration(now - status.startedAt)}${adopted}`],
    ["engine", `${engine.address}${version}, ${connection}`],
    ["mode", `${status.mode} (${status.attach})`],
    ["uplinks", uplinks.join(", ") || "none"],
    ["networks", number(new Set(endpoints.map(({ network }) => network)).size)],
    ["endpoints", number(counts.endpoints)],
    ["published ports", number(counts.ports)],
    ["host sockets", hostSockets],
    ...(status.trustFirewall === "ignore"
      ? [["firewall", "rules of yours don't count (trust-firewall: ignore)"] as [string, string]]
      : []),
    ["flows", `${number(counts.flows)} of ${number(counts.flowsMax)}`],
    ["reconciled", `${last}${took}; ${number(reconcile.count)} passes, ${number(reconcile.failures)} failed`],
    ...leftToEngine(status),
    ["warnings", status.warnings.length === 0 ? "none" : number(status.warnings.length)],
  ];
  const warnings = status.warnings.map(({ message }) => `  ${stripControls(message)}\n`).join("");
  return table(undefined, rows) + warnings;
}

/** By label; nothing where there are none. */
function leftToEngine({ leftToEngine }: DaemonReport["status"]): [string, string][] {
  if (leftToEngine.length === 0) return [];
  const names = leftToEngine.slice(0, LEFT_SHOWN).map(({ what, name }) => `${what} ${name}`);
  const rest = leftToEngine.length - names.length;
  return [["left to Docker", stripControls([...names, ...(rest > 0 ? [`${rest} more`] : [])].join(", "))]];
}

const PATH_HEADS = ["TO: FAST", "TO: SLOW", "FROM: FAST", "FROM: SLOW", "FAST"];

/** Packets to and from a container by path, and the part of them that was fast. */
function pathCells(to: PathPackets, from: PathPackets): Cell[] {
  const fast = to.fast + from.fast;
  return [to.fast, to.slow, from.fast, from.slow, percent(fast, fast + to.slow + from.slow)];
}

/** The endpoints by network and name, with their packets by path; nothing where there are none. */
export function endpointsText(endpoints: readonly ToldEndpoint[], color: boolean): string {
  if (endpoints.length === 0) return "";
  const sorted = [...endpoints].sort(
    (a, b) => a.network.localeCompare(b.network) || a.container.localeCompare(b.container),
  );
  return table(
    ["NETWORK", "CONTAINER", "ADDRESS", ...PATH_HEADS],
    sorted.map(({ network, container, addresses, receive, transmit }) => [
      network,
      container,
      addresses.join(" "),
      ...pathCells(
        { fast: receive.fast.packets, slow: receive.slow.packets },
        { fast: transmit.fast.packets, slow: transmit.slow.packets },
      ),
    ]),
    color,
  );
}

function reasonsText({ reasons }: DaemonReport, color: boolean): string {
  const sums = new Map<string, { verdict: string; reason: string; packets: number }>();
  for (const { verdict, reason, packets } of reasons) {
    const key = `${verdict} ${reason}`;
    const sum = sums.get(key) ?? { verdict, reason, packets: 0 };
    sums.set(key, { ...sum, packets: sum.packets + packets });
  }
  const top = [...sums.values()].sort((a, b) => b.packets - a.packets).slice(0, REASONS_SHOWN);
  if (top.length === 0) return "";
  const what: Record<string, string> = { slow: "left to the kernel", drop: "dropped" };
  return table(
    ["NOT FAST", "REASON", "PACKETS"],
    top.map(({ verdict, reason, packets }) => [what[verdict] ?? verdict, reason, packets]),
    color,
  );
}

/** One line. */
export function daemonBrief({ status }: DaemonReport): string {
  const { engine, counts, warnings } = status;
  const parts = [
    `${status.state}: ${engine.connected ? `Docker ${engine.version ?? ""}`.trimEnd() : "engine not connected"}`,
    `uplinks ${status.uplinks.map(({ name }) => name).join(",") || "none"}`,
    `endpoints ${number(counts.endpoints)}`,
    `ports ${number(counts.ports)}`,
    `flows ${number(counts.flows)}/${number(counts.flowsMax)}`,
    `warnings ${number(warnings.length)}`,
  ];
  return `${stripControls(parts.join("; "))}\n`;
}

/** What a person wants to know of a datapath without its daemon. */
export function pinnedText(pinned: PinnedState, color: boolean): string {
  const rows: [string, string][] = [
    ["state", `no daemon is running; what is pinned at ${pinned.bpffs} goes on forwarding`],
    ["links", pinned.links.join(" ") || "none"],
    ["endpoints", number(pinned.endpoints.length)],
    ["published ports", number(pinned.ports)],
    ["flows", `${number(pinned.flows)} of ${number(pinned.flowsMax)}`],
  ];
  const endpoints =
    pinned.endpoints.length === 0
      ? ""
      : `\n${table(
          ["ADDRESS", "DEVICE", ...PATH_HEADS],
          pinned.endpoints.map(({ addresses, device, receive, transmit }) => [
            addresses.join(" "),
            device,
            ...pathCells(receive, transmit),
          ]),
          color,
        )}`;
  return table(undefined, rows) + endpoints;
}

/** One line. */
export function pinnedBrief(pinned: PinnedState): string {
  return `no daemon; pinned: links ${pinned.links.length}; endpoints ${number(pinned.endpoints.length)}; flows ${number(pinned.flows)}/${number(pinned.flowsMax)}\n`;
}
