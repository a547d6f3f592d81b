// Writes what is made from the sources and committed: the dashboards and docs/metrics.md. A test fails when they are stale.
//
//   node scripts/generate.mjs

import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileTypeScript } from "./build.mjs";
import { metricsPage } from "./lib/metrics-page.mjs";
import { buildDir, root } from "./lib/paths.mjs";
import { run } from "./lib/run.mjs";
import { main } from "./lib/step.mjs";

await main(async () => {
  await compileTypeScript();
  await run([process.execPath, join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "grafana")]);
  const { catalogue, labelMeanings } = await import(join(root, "dist/metrics/catalogue.js"));
  const { reasonMeanings } = await import(join(root, "dist/explain/reasons.js"));
  writeFileSync(join(root, "docs/metrics.md"), metricsPage(catalogue(), labelMeanings, reasonMeanings));

  const directory = join(root, "grafana/dashboards");
  mkdirSync(directory, { recursive: true });
  const { dashboardFiles } = await import(join(buildDir, "grafana/index.js"));
  for (const name of readdirSync(directory)) if (!dashboardFiles().has(name)) rmSync(join(directory, name));
  for (const [name, text] of dashboardFiles()) writeFileSync(join(directory, name), text);
});
