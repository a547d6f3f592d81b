/** What Grafana and Prometheus are given, and which metrics it asks for. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import type { Metric } from "../../../src/metrics/metric.js";

export const folder = fileURLToPath(new URL("../../../grafana/", import.meta.url));

export interface Rule {
  record?: string;
  alert?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** All rules of a file of grafana/rules. */
export function rulesOf(file: string): Rule[] {
  const { groups } = parse(readFileSync(`${folder}rules/${file}`, "utf8")) as { groups: { rules: Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export interface Target {
  expr: string;
  legendFormat?: string;
}

export interface Panel {
  id?: number;
  type: string;
  title: string;
  description?: string;
  fieldConfig?: { defaults?: { unit?: string } };
  targets?: Target[];
}

export interface Dashboard {
  uid: string;
  title: string;
  panels: Panel[];
  templating: { list: { name: string; query?: string | { query: string } }[] };
  annotations: { list: { name: string; expr?: string }[] };
  links: { title: string }[];
}

/** The committed dashboards by file name. */
export function dashboards(): Map<string, Dashboard> {
  const names = readdirSync(`${folder}dashboards`).filter((name) => name.endsWith(".json"));
  return new Map(
    names.map((name) => [name, JSON.parse(readFileSync(`${folder}dashboards/${name}`, "utf8")) as Dashboard]),
  );
}

/** Every expression that Prometheus is asked, with where it is from. */
export function expressions(): { where: string; expr: string }[] {
  const found: { where: string; expr: string }[] = [];
  for (const [file, { panels, templating, annotations }] of dashboards()) {
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) found.push({ where: `${file}: ${title}`, expr });
    for (const { name, query } of templating.list) {
      const text = typeof query === "object" ? query.query : (query ?? "");
      const inner = /^label_values\((.*), \w+\)$/.exec(text)?.[1];
      if (inner !== undefined) found.push({ where: `${file}: $${name}`, expr: inner });
    }
    for (const { name, expr } of annotations.list)
      if (expr !== undefined) found.push({ where: `${file}: ${name}`, expr });
  }
  for (const file of ["records.yml", "alerts.yml"])
    for (const { alert, record, expr } of rulesOf(file)) found.push({ where: alert ?? record ?? "", expr });
  return found;
}

/** What PromQL itself brings, and metrics that are Prometheus' own. */
const NOT_OURS = new Set(
  `by on and or unless offset bool ignoring group_left group_right without up vector time
   sum max min avg count topk bottomk rate increase changes histogram_quantile label_replace`.split(/\s+/),
);
const LABELS_OF_ALL = new Set(["instance", "job", "le"]);

/**
 * What an expression asks for that there is not: metrics, and labels that a metric has not.
 * @param recorded names of recording rules
 */
export function unknownIn(expr: string, metrics: readonly Metric[], recorded: ReadonlySet<string>): string[] {
  const byName = new Map<string, Metric>();
  for (const metric of metrics) {
    byName.set(metric.name, metric);
    if (metric.type === "histogram")
      for (const suffix of ["_bucket", "_sum", "_count"]) byName.set(metric.name + suffix, metric);
  }
  const unknown: string[] = [];
  const bare = expr.replace(/"(?:[^"\\]|\\.)*"/g, '""').replace(/\$\w+/g, "");
  const withoutGroups = bare.replace(/\b(by|on|ignoring|without|group_left|group_right) \([^)]*\)/g, "");
  for (const [, name = "", selector] of withoutGroups.matchAll(/([A-Za-z_:][\w:]*)(\{[^}]*\})?/g)) {
    if (NOT_OURS.has(name) || /^(s|m|h|e)$/.test(name)) continue;
    const metric = byName.get(name);
    if (metric === undefined && !recorded.has(name)) unknown.push(name);
    for (const [, label = ""] of (selector ?? "").matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (metric !== undefined && !LABELS_OF_ALL.has(label) && !metric.labels.includes(label))
        unknown.push(`${name}{${label}}`);
  }
  return unknown;
}
