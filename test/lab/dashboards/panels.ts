// The committed dashboards' panels, and their queries as Grafana would ask them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../lib/index.js";

export interface Panel {
  readonly title: string;
  readonly type: "row" | "stat" | "timeseries" | "table";
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults?: {
      readonly unit?: string;
      readonly mappings?: readonly { options: Readonly<Record<string, { text: string }>> }[];
      readonly custom?: { readonly stacking?: { readonly mode?: string } };
    };
  };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
  readonly transformations?: readonly { options: { excludeByName?: Readonly<Record<string, boolean>> } }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

const directory = join(root, "grafana", "dashboards");

export const dashboards = (): Dashboard[] =>
  readdirSync(directory).map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as Dashboard);

/** With everything chosen in every variable. */
export function asked(expr: string, rateInterval: string): string {
  return expr.replaceAll("$__rate_interval", rateInterval).replace(/\$[a-z]+/g, ".*");
}
