import { Gauge, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { Exposition } from "../../../src/metrics/exposition.js";
import { gauge } from "../../../src/metrics/metric.js";

const labels = ["a", "b"] as const;
const metric = gauge({ name: "some", unit: "none", help: "what \\ it\nis", labels });

/** Numbers below 1, the same for the same seed (Park and Miller's). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 0x7fffffff;
    return state / 0x7fffffff;
  };
}

interface Series {
  a: string;
  b: string;
  value: number;
}

/** As prom-client writes them by itself. */
async function byPromClient(series: readonly Series[]): Promise<string> {
  const registry = new Registry();
  const { name, help } = metric;
  const one = new Gauge({ name, help, labelNames: [...labels], registers: [registry] });
  for (const { a, b, value } of series) one.inc({ a, b }, value);
  return series.length === 0 ? "" : registry.metrics();
}

/** One scrape of an exposition that has had others before. */
async function scraped(out: Exposition, series: readonly Series[]) {
  out.begin();
  for (const { a, b, value } of series) out.add(metric, [a, b], value);
  const pieces: Buffer[] = [];
  for await (const piece of out.text()) if (piece !== undefined) pieces.push(Buffer.from(piece));
  return pieces;
}

const figures = [0, 1, 9, 10, 99, 2 ** 31, 2 ** 31 - 1, 2 ** 53 - 1, 2 ** 53, 1e21, -1, 0.1, -0, 5e-324];

function someValue(random: () => number): number {
  const kind = random();
  if (kind < 0.3) return figures[Math.floor(random() * figures.length)] ?? 0;
  if (kind < 0.4) return random();
  if (kind < 0.42) return [Number.NaN, Infinity, -Infinity][Math.floor(random() * 3)] ?? 0;
  return Math.floor(2 ** (random() * 53));
}

function someText(random: () => number): string {
  const parts = ["web", "\n", "\\", '"', "ß", "日本", "😀", " ", "}", "0", "#", "=", ","];
  const length = Math.floor(random() * 6);
  return Array.from({ length }, () => parts[Math.floor(random() * parts.length)]).join("");
}

describe("the text of series that come, go, move and change", () => {
  it.each([1, 2, 3, 4, 5, 6])("is what prom-client writes (seed %i)", async (seed) => {
    const random = seeded(seed * 7919);
    const out = new Exposition([metric]);
    let made = 0;
    const one = (): Series => ({ a: someText(random), b: `${made++}`, value: someValue(random) });
    let series = Array.from({ length: 1600 }, one);
    for (let scrape = 0; scrape < 25; scrape++) {
      const kind = random();
      const at = Math.floor(random() * series.length);
      if (kind < 0.15) series.splice(at, Math.floor(random() * 700));
      else if (kind < 0.3) series.splice(at, 0, ...Array.from({ length: random() * 700 }, one));
      else if (kind < 0.4) series = [...series.slice(at), ...series.slice(0, at)];
      else if (kind < 0.45) series.reverse();
      else if (kind < 0.5) series = [];
      const changing = random() < 0.2 ? 0 : random();
      series = series.map((line) => (random() < changing ? { ...line, value: someValue(random) } : line));
      const pieces = await scraped(out, series);
      expect(Buffer.concat(pieces).toString()).toBe(await byPromClient(series));
    }
  });

  it("adds up what has the same labels, at each scrape, whatever else comes and goes", async () => {
    const out = new Exposition([metric]);
    const random = seeded(11);
    for (let scrape = 0; scrape < 40; scrape++) {
      const series = Array.from({ length: random() * 30 }, () => ({
        a: `${Math.floor(random() * 4)}`,
        b: `${Math.floor(random() * 4)}`,
        value: Math.floor(random() * 100),
      }));
      const text = Buffer.concat(await scraped(out, series)).toString();
      expect(text).toBe(await byPromClient(series));
    }
  });

  it("forgets a scrape that was not written", async () => {
    const out = new Exposition([metric]);
    const series = [1, 2, 3].map((value) => ({ a: "x", b: `${value}`, value }));
    await scraped(out, series);
    out.begin();
    out.add(metric, ["x", "1"], 77);
    out.add(metric, ["y", "9"], 78);
    expect(Buffer.concat(await scraped(out, series)).toString()).toBe(await byPromClient(series));
  });

  it("tells series apart that meet in its table", async () => {
    const out = new Exposition([metric]);
    const series = Array.from({ length: 5000 }, (_, i) => ({ a: `${i % 70}`, b: `${i}`, value: i }));
    await scraped(out, series);
    const reversed = series.toReversed();
    const text = Buffer.concat(await scraped(out, reversed)).toString();
    expect(text).toBe(await byPromClient(reversed));
  });

  it("refuses a series with another number of labels", () => {
    const out = new Exposition([metric]);
    out.add(metric, ["1", "2"], 1);
    expect(() => out.add(metric, ["1", "2"], 1, [["c", "3"]])).toThrow("2 labels wanted, not 4");
  });
});

describe("a figure", () => {
  it("is written as JavaScript does, at the edges of what is quick", async () => {
    const edges = [2 ** 31, 1e9, 1e15, 9007199 * 1e9, 2 ** 53].flatMap((edge) => [edge - 1, edge, edge + 1]);
    const powers = Array.from({ length: 54 }, (_, i) => 2 ** i);
    const values = [...edges, ...powers, ...powers.map((p) => p - 1), 1.5, -3, 1e-7, -0];
    const series = values.map((value, at) => ({ a: `${at}`, b: "", value }));
    const lines = Buffer.concat(await scraped(new Exposition([metric]), series))
      .toString()
      .split("\n");
    expect(lines.slice(2, -1)).toEqual(values.map((value, at) => `some{a="${at}",b=""} ${value}`));
  });
});
