import { describe, expect, it } from "vitest";
import { Exposition } from "../../../src/metrics/exposition.js";
import { counter } from "../../../src/metrics/metric.js";
import { SeriesTexts } from "../../../src/metrics/series_texts.js";
import { TextStore } from "../../../src/metrics/text_store.js";

const labels = ["container", "network"] as const;
const metric = (name: string) => counter({ name, unit: "packets", help: "what it is", labels });
const packets = metric("packets_total");
const bytes = metric("bytes_total");

/** One scrape of containers by their number. */
async function scrape(out: Exposition, texts: SeriesTexts, containers: readonly number[]): Promise<string> {
  texts.beginScrape();
  out.begin();
  for (const number of containers) {
    const values = [`container-${number}`, "bridge"] as const;
    out.add(packets, values, number);
    out.add(bytes, values, 1000 * number);
  }
  const pieces: Buffer[] = [];
  for await (const piece of out.text()) if (piece !== undefined) pieces.push(Buffer.from(piece));
  texts.endScrape();
  return Buffer.concat(pieces).toString();
}

const wanted = (containers: readonly number[]) =>
  [
    { name: packets.name, times: 1 },
    { name: bytes.name, times: 1000 },
  ]
    .map(({ name, times }) => {
      const line = (number: number) =>
        `${name}{container="container-${number}",network="bridge"} ${times * number}\n`;
      return `# HELP ${name} what it is\n# TYPE ${name} counter\n${containers.map(line).join("")}`;
    })
    .join("");

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe("the texts of series", () => {
  it("are stored once for all metrics and all scrapes", async () => {
    const texts = new SeriesTexts();
    const out = new Exposition([packets, bytes], texts);
    expect(await scrape(out, texts, range(0, 3000))).toBe(wanted(range(0, 3000)));
    const { size } = texts.store;
    expect(size).toBeLessThan(3000 * 60);
    expect(await scrape(out, texts, range(0, 3000))).toBe(wanted(range(0, 3000)));
    expect(texts.store.size).toBe(size);
  });

  it("of series that are gone don't pile up", async () => {
    const texts = new SeriesTexts();
    const out = new Exposition([packets, bytes], texts);
    const sizes: number[] = [];
    for (let from = 0; from < 60_000; from += 2000) {
      expect(await scrape(out, texts, range(from, 3000))).toBe(wanted(range(from, 3000)));
      sizes.push(texts.store.size);
    }
    // All that was ever there is twenty times as much as there is at a time.
    expect(Math.max(...sizes)).toBeLessThan(800_000);
    expect(new Set(sizes).has(0)).toBe(true);
  });

  it("of a collector that failed for a while are there again when it works", async () => {
    const texts = new SeriesTexts();
    const [one, other] = [new Exposition([packets], texts), new Exposition([bytes], texts)];
    const add = async (out: Exposition, of: typeof packets, containers: readonly number[]) => {
      out.begin();
      for (const number of containers) out.add(of, [`container-${number}`, "bridge"], number);
      const pieces: Buffer[] = [];
      for await (const piece of out.text()) if (piece !== undefined) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces).toString();
    };
    texts.beginScrape();
    await add(one, packets, range(0, 100));
    await add(other, bytes, range(0, 100));
    texts.endScrape();
    for (let from = 0; from < 60_000; from += 3000) {
      texts.beginScrape();
      await add(one, packets, range(from, 3000));
      texts.endScrape();
    }
    texts.beginScrape();
    const text = await add(other, bytes, range(0, 100));
    expect(text).toContain('bytes_total{container="container-99",network="bridge"} 99\n');
    expect(text.split("\n")).toHaveLength(103);
  });

  it("are whole where one is longer than a piece", () => {
    const store = new TextStore();
    const name = store.add(Buffer.from("metric"));
    const places = Int32Array.of(
      store.add(Buffer.from(`{a="${"x".repeat(300_000)}"} `)),
      store.add(Buffer.from(" ")),
    );
    const values = Float64Array.of(7, 8);
    let text = "";
    for (const piece of store.write({ name, count: 2, places, values })) text += piece.toString();
    expect(text).toBe(`metric{a="${"x".repeat(300_000)}"} 7\nmetric 8\n`);
  });
});
