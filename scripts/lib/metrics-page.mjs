// docs/metrics.md, from the metrics' own definitions.

/**
 * @typedef {{ name: string, type: string, unit: string, help: string, labels: readonly string[], moreLabels?: string }} Metric
 */

const headings = new Map([
  ["endpoints", "Endpoints"],
  ["connections", "Connections"],
  ["reasons", "What is not fast"],
  ["ports", "Published ports"],
  ["port_counters", "Traffic and connections of published ports"],
  ["host_sockets", "Processes of the host"],
  ["networks", "Networks"],
  ["containers", "Containers"],
  ["uplinks", "Uplinks"],
  ["flows", "Flow tables"],
  ["conntrack", "Conntrack"],
  ["maps", "Maps"],
  ["programs", "Programs"],
  ["reconcile", "Passes"],
  ["engine", "The engine"],
  ["firewall", "Rules of the user's"],
  ["build_info", "What runs"],
  ["process", "The daemon"],
  ["cadvisor", "cAdvisor's names (with `metrics-cadvisor`)"],
  ["collector", "The scrape itself"],
]);

/** @param {string} text */
const cell = (text) => text.replaceAll("|", "\\|");

/**
 * @param {readonly { collector: string, metrics: readonly Metric[] }[]} catalogue
 * @param {Readonly<Record<string, string>>} meanings of the labels
 * @param {Readonly<Record<string, string>>} reasons their meanings
 */
export function metricsPage(catalogue, meanings, reasons) {
  const parts = [intro];
  for (const { collector, metrics } of catalogue) {
    parts.push(`## ${headings.get(collector) ?? collector}\n`);
    parts.push("| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (const { name, type, unit, help, labels, moreLabels } of metrics) {
      const names = [...labels.map((label) => `\`${label}\``), ...(moreLabels ? [moreLabels] : [])].join(
        ", ",
      );
      parts.push(
        `| \`${name}\` | ${type} | ${unit === "none" ? "" : unit} | ${cell(names)} | ${cell(help)} |\n`,
      );
    }
    parts.push("\n");
  }
  parts.push("## Labels\n\n| label | value |\n|---|---|\n");
  const used = new Set(catalogue.flatMap(({ metrics }) => metrics.flatMap(({ labels }) => [...labels])));
  for (const label of [...used].sort()) parts.push(`| \`${label}\` | ${cell(meanings[label] ?? "")} |\n`);
  parts.push(`\n## Reasons\n\n${reasonsIntro}\n\n| reason | the packet |\n|---|---|\n`);
  for (const [reason, meaning] of Object.entries(reasons))
    parts.push(`| \`${reason}\` | ${cell(meaning)} |\n`);
  return parts.join("");
}

const reasonsIntro =
  "Why a packet was left to the kernel, or dropped. `fairway explain SRC DST` says it of a packet that is made up.";

const intro = `# Metrics

<!-- Made by scripts/generate.mjs from src/metrics: change it there, then \`node scripts/generate.mjs\`. -->

\`http://127.0.0.1:9477/metrics\` (\`--metrics ADDRESS:PORT\`), read anew at every scrape: a removed container's series are gone at the
next one. Packets are counted as on a wire, so a GSO packet counts as its segments; bytes are counted from the IP header on, each
segment with headers of its own. Counters of an endpoint begin at 0 when it does.

Names of containers and networks are whatever somebody wrote, cut to 200 characters; labels of containers are only there where
\`metrics-labels\` names them (\`--metrics-labels team,com.example.tier\`). \`/sd\` is Prometheus' http_sd of the containers with a label
\`fairway.scrape=PORT[/path]\`. [grafana/](../grafana/README.md) has dashboards, alerts and recording rules.

`;
