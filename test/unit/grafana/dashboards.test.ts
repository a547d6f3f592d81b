import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { dashboardFiles } from "../../../grafana/src/index.js";
import { metricsPage } from "../../../scripts/lib/metrics-page.mjs";
import { reasonMeanings } from "../../../src/explain/reasons.js";
import { catalogue, labelMeanings } from "../../../src/metrics/catalogue.js";
import type { Metric } from "../../../src/metrics/metric.js";
import { dashboards, expressions, folder, rulesOf, unknownIn } from "./lib.js";

const page = readFileSync(fileURLToPath(new URL("../../../docs/metrics.md", import.meta.url)), "utf8");
const all = catalogue().flatMap(({ metrics }) => metrics);
const recorded = new Set(rulesOf("records.yml").map(({ record }) => record ?? ""));

/** What is wrong between the metrics that there are and what asks for them; one line each. */
function problems(metrics: readonly Metric[]): string[] {
  return expressions().flatMap(({ where, expr }) =>
    unknownIn(expr, metrics, recorded).map((name) => `${where} asks for ${name}`),
  );
}

describe("what is generated and committed", () => {
  it("has every dashboard as its source says (node scripts/generate.mjs)", () => {
    const made = dashboardFiles();
    expect([...dashboards().keys()].sort()).toEqual([...made.keys()].sort());
    for (const [name, text] of made)
      expect(readFileSync(`${folder}dashboards/${name}`, "utf8"), name).toBe(text);
  });

  it("has every metric in docs/metrics.md as it is defined (node scripts/generate.mjs)", () => {
    expect(page).toBe(metricsPage(catalogue(), labelMeanings, reasonMeanings));
  });
});

describe("the metrics' definitions", () => {
  it("name each metric once, after what it is", () => {
    const names = all.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    for (const { name, type, unit, help } of all) {
      expect(name).toMatch(/^(fairway|process|nodejs|container_network)_[a-z0-9_]+$/);
      expect(name.endsWith("_total"), name).toBe(type === "counter");
      if (unit === "seconds" || unit === "bytes") expect(name).toContain(unit);
      expect(help, name).toMatch(/^\S.{15,}[^.]$/);
    }
  });

  it("say what every label means, and of no label that there is not", () => {
    const used = new Set(all.flatMap(({ labels }) => [...labels]));
    expect(Object.keys(labelMeanings).sort()).toEqual([...used].sort());
  });

  it("have ids on _info alone, or a thousand containers would be a million series after a week of deployments", () => {
    const withIds = all.filter(({ labels }) => labels.some((label) => label.endsWith("_id")));
    expect(withIds.map(({ name }) => name)).toEqual(["fairway_endpoint_info", "fairway_container_info"]);
  });
});

describe("dashboards and rules", () => {
  it("ask for metrics and labels that there are", () => {
    expect(problems(all)).toEqual([]);
  });

  it("or the page would tell: each metric that is renamed is missed somewhere", () => {
    for (const metric of all) {
      const renamed = all.map((one) => (one === metric ? { ...one, name: `${one.name}x` } : one));
      const stale = metricsPage(
        [{ collector: "endpoints", metrics: renamed }],
        labelMeanings,
        reasonMeanings,
      );
      const missed = problems(renamed).length > 0 || !stale.includes(`\`${metric.name}\``);
      expect(missed && page.includes(`| \`${metric.name}\` |`), metric.name).toBe(true);
    }
  });

  it("notice a name or a label in an expression that is wrong by a letter", () => {
    expect(unknownIn('sum(rate(fairway_flow{instance=~"$instance"}[5m]))', all, recorded)).toEqual([
      "fairway_flow",
    ]);
    expect(unknownIn('fairway_map_entries{maps="x"}', all, recorded)).toEqual(["fairway_map_entries{maps}"]);
    expect(unknownIn("fairway:flow_table:ratios > 1", all, recorded)).toEqual(["fairway:flow_table:ratios"]);
  });
});

describe.each([...dashboards()])("dashboard %s", (file, dashboard) => {
  const panels = dashboard.panels.filter(({ type }) => type !== "row");

  it("says of every panel what it shows, in which unit", () => {
    expect(panels.length).toBeGreaterThanOrEqual(10);
    for (const { title, description = "", fieldConfig, targets = [] } of panels) {
      expect(title, file).not.toBe("");
      expect(description.length, title).toBeGreaterThan(20);
      expect(fieldConfig?.defaults?.unit ?? "", title).not.toBe("");
      expect(targets.length, title).toBeGreaterThan(0);
      for (const { expr } of targets) expect(expr, title).toContain("$instance");
    }
    const ids = panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("has its panels beside each other, within the 24 columns", () => {
    const taken = new Map<string, string>();
    for (const {
      title,
      gridPos: { x, y, w, h },
    } of dashboard.panels) {
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++)
        for (let row = y; row < y + h; row++) {
          const place = `${column},${row}`;
          expect(taken.get(place), `${title} lies on it`).toBeUndefined();
          taken.set(place, title);
        }
    }
  });

  it("has its variables, links to the others, and the containers' starts and stops", () => {
    const variables = dashboard.templating.list.map(({ name }) => name);
    expect(variables.slice(0, 2)).toEqual(["datasource", "instance"]);
    for (const { expr } of panels.flatMap(({ targets = [] }) => targets))
      for (const [, used = ""] of expr.matchAll(/\$([a-z]\w*)/g)) expect(variables).toContain(used);
    expect(dashboard.links).toHaveLength(1);
    expect(dashboard.annotations.list.map(({ name }) => name)).toEqual([
      "Container starts",
      "Container stops",
    ]);
  });
});
