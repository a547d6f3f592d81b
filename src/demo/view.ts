import type { DaemonReport } from "../cli/running.js";
import { endpointsText } from "../cli/status-text.js";
import { number, percent, table } from "../cli/table.js";
import type { Comparison } from "./compare.js";
import { type Line, type Report, reportOf, type Subject } from "./report.js";

const loads = { close: "a connection per request", "keep-alive": "kept connections" };

/** The demo's screen as text. */
export function screen(subject: Subject, comparison: Comparison, color: boolean): string {
  const report = reportOf(subject, comparison);
  return [
    `${subject.server} in a container of Docker ${subject.engine}, its published port asked by ${subject.tool} from outside ` +
      `(kernel ${subject.kernel})\n`,
    rates(report, color),
    packets(report, comparison.told, color),
    `${Math.round(report.seconds)} s, ${report.windows} windows, medians; failed requests: ${report.errors}. Now: ${now(comparison)}\n`,
  ].join("\n");
}

function now({ variant, switching }: Comparison): string {
  if (switching) return variant === "docker" ? "putting fairway on" : "taking fairway off";
  return variant === "docker" ? "Docker alone" : "Docker with fairway";
}

function rates({ lines }: Report, color: boolean): string {
  const row = (line: Line) => [
    loads[line.load],
    rate(line.dockerRequestsPerSecond),
    rate(line.fairwayRequestsPerSecond),
    line.ratio === undefined ? "-" : `${line.ratio.toFixed(2)}x`,
    ms(line.dockerLatencyMs),
    ms(line.fairwayLatencyMs),
  ];
  return table(
    ["REQUESTS PER SECOND", "DOCKER ALONE", "WITH FAIRWAY", "RATIO", "MEDIAN LATENCY", "WITH FAIRWAY"],
    lines.map(row),
    color,
  );
}

function rate(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value);
}

function ms(value: number | undefined): string {
  return value === undefined ? "-" : `${value.toFixed(3)} ms`;
}

function packets(report: Report, told: DaemonReport | undefined, color: boolean): string {
  const { fast, slow } = report.packets;
  if (fast + slow === 0) return "Packets: Docker's own rules forward them all so far.\n";
  const sum = `With fairway on: ${number(fast)} packets on the fast path, ${number(slow)} left to the kernel (${percent(fast, fast + slow)} fast).\n`;
  return told === undefined ? sum : `${endpointsText(told.endpoints, color)}${reasons(told)}\n${sum}`;
}

/** "Left to the kernel: bridge_policy 30, anchor 16\n" */
function reasons(told: DaemonReport): string {
  const sums = new Map<string, number>();
  for (const { reason, packets: count } of told.reasons) sums.set(reason, (sums.get(reason) ?? 0) + count);
  const texts = [...sums]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${number(count)}`);
  return texts.length === 0 ? "" : `Left to the kernel: ${texts.join(", ")}\n`;
}
