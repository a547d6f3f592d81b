import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Exposition } from "../../../src/metrics/exposition.js";
import { counter, gauge, histogram } from "../../../src/metrics/metric.js";
import { paced } from "../../../src/metrics/pace.js";

const help = "what it is";
const plain = gauge({ name: "plain", unit: "none", help });
const named = counter({ name: "named_total", unit: "packets", help, labels: ["a", "b"] });
const spread = histogram({ name: "spread", unit: "seconds", help, labels: ["a"] });
const pieces = async (out: Exposition) => {
  const all: string[] = [];
  for await (const piece of out.text()) if (piece !== undefined) all.push(piece.toString());
  return all;
};
const text = async (out: Exposition) => (await pieces(out)).join("");

describe("Exposition", () => {
  it("writes the text format, metrics without samples left out", async () => {
    const out = new Exposition([plain, named, spread]);
    out.add(named, ["1", "2"], 3);
    out.addHistogram(spread, ["x"], { bounds: [0.5, 1], counts: [1, 2, 4], sum: 9.5 });
    expect(await text(out)).toBe(
      `# HELP named_total what it is
# TYPE named_total counter
named_total{a="1",b="2"} 3
# HELP spread what it is
# TYPE spread histogram
spread_bucket{a="x",le="0.5"} 1
spread_bucket{a="x",le="1"} 3
spread_bucket{a="x",le="+Inf"} 7
spread_sum{a="x"} 9.5
spread_count{a="x"} 7
`,
    );
  });

  it("escapes what would end a value or a line, and cuts what is far too long", async () => {
    const out = new Exposition([named]);
    out.add(named, ['"\\\n', "x".repeat(1000)], 1);
    expect(await text(out)).toContain(`named_total{a="\\"\\\\\\n",b="${"x".repeat(200)}"} 1\n`);
  });

  it("writes large numbers exactly, and infinite ones as Prometheus does", async () => {
    const out = new Exposition([named]);
    for (const [index, value] of [Infinity, -Infinity, 2 ** 53].entries())
      out.add(named, [String(index), ""], value);
    const values = (await text(out)).match(/[^ \n]+$/gm);
    expect(values?.slice(-3)).toEqual(["+Inf", "-Inf", "9007199254740992"]);
  });

  it("refuses a metric that was not announced", () => {
    expect(() => new Exposition([named]).add(plain, [], 1)).toThrow(
      "plain is none of this collector's metrics",
    );
  });

  it("comes in pieces, so that nobody waits for all of it", async () => {
    const out = new Exposition([named]);
    for (let i = 0; i < 5000; i++) out.add(named, [String(i), ""], i);
    const all = await pieces(out);
    expect(all.length).toBeGreaterThan(5);
    expect(all.join("").split("\n")).toHaveLength(5003);
  });
});

describe("paced", () => {
  it("lets others have their turn while it takes long steps", async () => {
    let turns = 0;
    let over = false;
    const other = (async () => {
      while (!over) {
        turns++;
        await setImmediate();
      }
    })();
    let clock = 0;
    function* work() {
      for (let i = 0; i < 20; i++) {
        clock += 3;
        yield;
      }
    }
    expect(await paced(work(), () => clock)).toBe(3);
    over = true;
    await other;
    expect(turns).toBeGreaterThanOrEqual(20);
  });

  it("stays at it while steps are short, and pauses at the end: what follows has a turn of its own", async () => {
    let clock = 0;
    let waited = 0;
    function* work() {
      for (let i = 0; i < 100; i++) {
        clock += 0.01;
        yield;
      }
    }
    const counting = (async () => {
      for (let i = 0; i < 3; i++) {
        await setImmediate();
        waited++;
      }
    })();
    await paced(work(), () => clock);
    expect(waited).toBe(1);
    await counting;
  });

  it("hands on what a step throws", async () => {
    function* work() {
      yield;
      throw new Error("EPERM");
    }
    await expect(paced(work())).rejects.toThrow("EPERM");
  });
});
