// Draws a dashboard as SVG from Prometheus' answers: its panels where they are, with their titles, units and series. For the
// pages of docs/, which a Grafana would otherwise have to be photographed for.

import type { Dashboard, Panel } from "./panels.js";
import type { Series } from "./prometheus.js";

/** What a panel's queries were answered with, one list for each. */
export type Answers = ReadonlyMap<Panel, readonly (readonly Series[])[]>;

const COLUMN = 50;
const ROW = 30;
const GAP = 6;
const COLOURS = [
  "#73bf69",
  "#f2cc0c",
  "#5794f2",
  "#ff780a",
  "#e02f44",
  "#b877d9",
  "#37872d",
  "#fade2a",
  "#1f60c4",
  "#8f3bb8",
];
const MOST_SERIES = 8;

interface Line {
  name: string;
  values: readonly (readonly [number, number])[];
}

export function draw({ title, panels }: Dashboard, answers: Answers): string {
  const width = 24 * COLUMN;
  const height = Math.max(...panels.map(({ gridPos: { y, h } }) => (y + h) * ROW)) + 50;
  const parts = panels.map((panel) => drawPanel(panel, answers.get(panel) ?? []));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="12" role="img" aria-label="${title}">
<title>${title}</title>
<rect width="100%" height="100%" fill="#111217"/>
${text(12, 30, title, { fill: "#ffffff", size: 20 })}
<g transform="translate(0 44)">
${parts.join("\n")}
</g>
</svg>
`;
}

function drawPanel(panel: Panel, answers: readonly (readonly Series[])[]): string {
  const { x, y, w, h } = panel.gridPos;
  const [left, top] = [x * COLUMN + GAP / 2, y * ROW + GAP / 2];
  const [width, height] = [w * COLUMN - GAP, h * ROW - GAP];
  if (panel.type === "row") return text(left + 6, top + 18, panel.title, { fill: "#ffffff", size: 14 });
  const body = { stat: drawFigure, timeseries: drawLines, table: drawRows }[panel.type];
  const inside = body(panel, answers, width, height);
  return `<g transform="translate(${left} ${top})"><rect width="${width}" height="${height}" rx="2" fill="#181b1f" stroke="#2c3235"/>
${text(8, 18, panel.title, { fill: "#d8d9da", size: 13 })}
${inside}</g>`;
}

function drawFigure(
  panel: Panel,
  answers: readonly (readonly Series[])[],
  width: number,
  height: number,
): string {
  const value = answers[0]?.[0]?.values.at(-1)?.[1];
  const word = panel.fieldConfig?.defaults?.mappings?.[0]?.options[String(value)]?.text;
  const shown = word ?? (value === undefined ? "No data" : withUnit(value, unitOf(panel)));
  return text(width / 2, height / 2 + 18, shown, {
    fill: "#73bf69",
    size: shown.length > 8 ? 20 : 28,
    anchor: "middle",
  });
}

function drawLines(
  panel: Panel,
  answers: readonly (readonly Series[])[],
  width: number,
  height: number,
): string {
  const lines = answers.flatMap((series, index) => named(series, panel.targets?.[index]?.legendFormat));
  lines.sort((a, b) => (b.values.at(-1)?.[1] ?? 0) - (a.values.at(-1)?.[1] ?? 0));
  const shown = lines.slice(0, MOST_SERIES);
  if (shown.length === 0)
    return text(width / 2, height / 2, "No data", { fill: "#9fa7b3", size: 16, anchor: "middle" });
  const stacked = panel.fieldConfig?.defaults?.custom?.stacking?.mode === "normal";
  const columns = 2;
  const legend = Math.ceil(shown.length / columns) * 15 + 6;
  const area = { left: 70, top: 30, width: width - 80, height: height - 30 - 22 - legend };
  const drawn = stacked ? piled(shown) : shown;
  const times = drawn.flatMap(({ values }) => values.map(([time]) => time));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const most = niceAbove(
    Math.max(...drawn.flatMap(({ values }) => values.map(([, value]) => finite(value)))),
  );
  const at = ([time, value]: readonly [number, number]) =>
    `${fixed(area.left + (to > from ? (time - from) / (to - from) : 0) * area.width)},${fixed(area.top + area.height * (1 - finite(value) / most))}`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const y = fixed(area.top + area.height * (1 - part));
    return `<line x1="${area.left}" x2="${area.left + area.width}" y1="${y}" y2="${y}" stroke="#2c3235"/>${text(area.left - 6, y + 4, withUnit(part * most, unitOf(panel)), { fill: "#9fa7b3", size: 10, anchor: "end" })}`;
  });
  const clock = [0, 0.5, 1].map((part) =>
    text(
      area.left + part * area.width,
      area.top + area.height + 14,
      new Date((from + part * (to - from)) * 1000).toISOString().slice(11, 19),
      {
        fill: "#9fa7b3",
        size: 10,
        anchor: part === 0 ? "start" : part === 1 ? "end" : "middle",
      },
    ),
  );
  const paths = drawn
    .map(({ values }, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const points = values.map(at);
      const [first, last] = [values[0], values.at(-1)];
      const below = first && last ? ` ${at([last[0], 0])} ${at([first[0], 0])}` : "";
      return `<polygon points="${points.join(" ")}${below}" fill="${colour}" fill-opacity="${stacked ? 0.3 : 0.08}"/><polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
    })
    // Piled areas: the highest lies behind.
    .reverse();
  const keys = shown.map(({ name, values }, index) => {
    const x = 10 + (index % columns) * ((width - 20) / columns);
    const y = height - legend + 10 + Math.floor(index / columns) * 15;
    const value = values.at(-1)?.[1] ?? 0;
    const last = Number.isNaN(value) ? "–" : withUnit(value, unitOf(panel));
    return `<rect x="${x}" y="${y - 5}" width="12" height="3" fill="${COLOURS[index % COLOURS.length]}"/>${text(x + 18, y, `${name.slice(0, 46)}   ${last}`, { fill: "#c7d0d9", size: 11 })}`;
  });
  return [...grid, ...clock, ...paths, ...keys].join("\n");
}

function drawRows(
  panel: Panel,
  answers: readonly (readonly Series[])[],
  width: number,
  height: number,
): string {
  if (answers.flat().length === 0)
    return text(width / 2, height / 2, "No data", { fill: "#9fa7b3", size: 16, anchor: "middle" });
  const hidden = panel.transformations?.[0]?.options.excludeByName ?? {};
  const all = answers.flat();
  const names = [...new Set(all.flatMap(({ metric }) => Object.keys(metric)))].filter(
    (name) => hidden[name] !== true,
  );
  const columns = hidden.Value === true ? names : [...names, "Value"];
  const cellWidth = (width - 20) / Math.max(1, columns.length);
  const fits = Math.floor((cellWidth - 6) / 6.2);
  const cells = (values: readonly string[], y: number, fill: string) =>
    values
      .map((value, index) =>
        text(10 + index * cellWidth, y, value.length > fits ? `${value.slice(0, fits - 1)}…` : value, {
          fill,
          size: 11,
        }),
      )
      .join("");
  const rows = all.slice(0, Math.floor((height - 52) / 18)).map(({ metric, values }, index) =>
    cells(
      columns.map((name) =>
        name === "Value" ? withUnit(values.at(-1)?.[1] ?? 0, unitOf(panel)) : (metric[name] ?? ""),
      ),
      58 + index * 18,
      "#d8d9da",
    ),
  );
  return [cells(columns, 38, "#6e9fff"), ...rows].join("\n");
}

/** As Grafana fills a legend in. */
function named(series: readonly Series[], legend = "__auto"): Line[] {
  return series.map(({ metric, values }) => {
    const auto = Object.entries(metric)
      .map(([name, value]) => `${name}=${value}`)
      .join(" ");
    const name = legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? "");
    return { name: legend === "__auto" ? auto : name.trim(), values };
  });
}

/** Each on top of those before it. */
function piled(lines: readonly Line[]): Line[] {
  const below = new Map<number, number>();
  return lines.map(({ name, values }) => ({
    name,
    values: values.map(([time, value]) => {
      const sum = (below.get(time) ?? 0) + finite(value);
      below.set(time, sum);
      return [time, sum] as const;
    }),
  }));
}

const unitOf = (panel: Panel) => panel.fieldConfig?.defaults?.unit ?? "none";
const finite = (value: number) => (Number.isFinite(value) ? value : 0);
const fixed = (value: number) => Math.round(value * 10) / 10;

/** The next of 1, 2, 5, 10, 20, ... */
function niceAbove(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

/** A figure with its unit, as Grafana's ids of units have it. */
export function withUnit(value: number, unit: string): string {
  const digits = (number: number) =>
    Math.abs(number) < 0.01 && number !== 0 ? "<0.01" : String(Number(number.toPrecision(3)));
  const scaled = (number: number, base: number, names: readonly string[]) => {
    const step = Math.min(
      names.length - 1,
      Math.max(0, Math.floor(Math.log(Math.max(1, Math.abs(number))) / Math.log(base))),
    );
    return `${digits(number / base ** step)}${names[step]}`;
  };
  switch (unit) {
    case "percentunit":
      return `${digits(value * 100)} %`;
    case "Bps":
      return scaled(value, 1000, [" B/s", " kB/s", " MB/s", " GB/s"]);
    case "bytes":
      return scaled(value, 1024, [" B", " KiB", " MiB", " GiB"]);
    case "pps":
      return scaled(value, 1000, [" p/s", "k p/s", "M p/s"]);
    case "cps":
      return `${digits(value)} /s`;
    case "s":
      return value >= 60
        ? `${digits(value / 60)} min`
        : value >= 1 || value === 0
          ? `${digits(value)} s`
          : value >= 0.001
            ? `${digits(value * 1000)} ms`
            : `${digits(value * 1e6)} µs`;
    default:
      return scaled(value, 1000, ["", " k", " M", " G"]);
  }
}

function text(
  x: number,
  y: number,
  content: string,
  { fill, size, anchor = "start" }: { fill: string; size: number; anchor?: string },
): string {
  const safe = content.replace(/[<>&]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c] ?? c);
  return `<text x="${fixed(x)}" y="${fixed(y)}" fill="${fill}" font-size="${size}" text-anchor="${anchor}">${safe}</text>`;
}
