import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { mapDefinitions } from "../../../src/generated/index.js";
import { folder, rulesOf } from "./lib.js";

const promtool = (...parameters: string[]) =>
  promisify(execFile)("promtool", parameters, { timeout: 100_000 });

const alerts = rulesOf("alerts.yml");

it("promtool takes the rules for right, and the configuration that scrapes and loads them", async () => {
  await promtool("check", "rules", `${folder}rules/records.yml`, `${folder}rules/alerts.yml`);
  await promtool("check", "config", `${folder}prometheus.yml`);
}, 120_000);

it("every alert fires, after its time, where it should, and is silent where it shouldn't (promtool test rules)", async () => {
  await promtool("test", "rules", `${folder}rules/tests.yml`);
}, 120_000);

it("every alert has such a test: nobody fires before its time, and then one host alone", () => {
  interface Case {
    name: string;
    promql_expr_test: { expr: string; eval_time: string; exp_samples: { labels: string }[] }[];
  }
  const { tests } = parse(readFileSync(`${folder}rules/tests.yml`, "utf8")) as { tests: Case[] };
  expect(tests.map(({ name }) => name)).toEqual(alerts.map(({ alert }) => alert));
  for (const {
    name,
    promql_expr_test: [early, late],
  } of tests) {
    const firing = `ALERTS{alertname="${name}",alertstate="firing"}`;
    expect([early?.expr, late?.expr]).toEqual([firing, firing]);
    expect(early?.exp_samples).toEqual([]);
    expect(late?.exp_samples).toHaveLength(1);
    expect(late?.exp_samples[0]?.labels).toContain('instance="bad"');
  }
});

it("every alert has a time, a severity, words for people and a runbook that quotes it", () => {
  for (const { alert = "", expr, for: time, labels, annotations } of alerts) {
    expect(time, alert).toMatch(/^\d+m$/);
    expect(["warning", "critical"], alert).toContain(labels?.severity);
    expect(annotations?.summary, alert).toContain("{{ $labels.instance }}");
    expect(annotations?.description?.length ?? 0, alert).toBeGreaterThan(40);
    expect(annotations?.runbook).toBe(`grafana/runbooks/${alert}.md`);
    const runbook = `${folder}runbooks/${alert}.md`;
    expect(existsSync(runbook), alert).toBe(true);
    const text = readFileSync(runbook, "utf8");
    expect(text).toContain(expr);
    expect(text).toContain(`*${labels?.severity}*, after ${time}`);
    for (const heading of ["## What it means", "## Where to look", "## What to do"])
      expect(text).toContain(heading);
  }
  const runbooks = readdirSync(`${folder}runbooks`).map((name) => name.replace(/\.md$/, ""));
  expect(runbooks.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
});

it("a map that forgets by itself is no alarm when it is full, and one that the control plane fills is", () => {
  const expr = alerts.find(({ alert }) => alert === "FairwayMapNearlyFull")?.expr ?? "";
  const excluded = new RegExp(`^(?:${/map!~"([^"]+)"/.exec(expr)?.[1]})$`);
  for (const [map, { type }] of Object.entries(mapDefinitions)) {
    if (type.startsWith("lru_")) expect(map).toMatch(excluded);
    if (["hash", "lpm_trie", "devmap_hash"].includes(type)) expect(map).not.toMatch(excluded);
  }
});
