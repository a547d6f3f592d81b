import { type Comparison, modes, type Packets } from "./compare.js";
import type { LoadMode, LoadResult } from "./load.js";
import { median } from "./median.js";

export interface Subject {
  /** The engine's version. */
  engine: string;
  kernel: string;
  /** "nginx" or "busybox httpd" */
  server: string;
  /** "wrk" or "node" */
  tool: string;
}

/** One load, without fairway and with it; medians over all windows, undefined before the first. */
export interface Line {
  load: LoadMode;
  dockerRequestsPerSecond: number | undefined;
  fairwayRequestsPerSecond: number | undefined;
  /** fairway / docker */
  ratio: number | undefined;
  dockerLatencyMs: number | undefined;
  fairwayLatencyMs: number | undefined;
}

/** What `fairway demo --json` prints. */
export interface Report extends Subject {
  seconds: number;
  windows: number;
  lines: Line[];
  /** To and from the containers while fairway was on. */
  packets: Packets;
  /** Requests that failed, of both. */
  errors: number;
}

export function reportOf(subject: Subject, comparison: Comparison): Report {
  return {
    ...subject,
    seconds: Math.round((Date.now() - comparison.begin) / 100) / 10,
    windows: comparison.windows,
    lines: modes.map((load) => line(load, comparison.results.docker[load], comparison.results.fairway[load])),
    packets: comparison.packets,
    errors: comparison.errors,
  };
}

function line(load: LoadMode, docker: readonly LoadResult[], fairway: readonly LoadResult[]): Line {
  const rate = (results: readonly LoadResult[]) => median(results.map((result) => result.requestsPerSecond));
  const latency = (results: readonly LoadResult[]) => median(results.map((result) => result.latencyMs));
  const [before, after] = [rate(docker), rate(fairway)];
  return {
    load,
    dockerRequestsPerSecond: before,
    fairwayRequestsPerSecond: after,
    ratio: before === undefined || after === undefined || before === 0 ? undefined : after / before,
    dockerLatencyMs: latency(docker),
    fairwayLatencyMs: latency(fairway),
  };
}
