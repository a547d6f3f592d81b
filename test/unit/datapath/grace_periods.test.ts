import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GracePeriods } from "../../../src/datapath/grace_periods.js";
import { StateFile } from "../../../src/datapath/state_file.js";
import { createLog } from "../../../src/log/log.js";

let directory: string;
let paths: { expedited: string; normal: string };
let state: StateFile;
const log = createLog({ format: "json", level: "silent" });
const make = () => new GracePeriods(state, log, paths);
const read = () => readFileSync(paths.expedited, "utf8").trim();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fwc-rcu-"));
  paths = { expedited: join(directory, "rcu_expedited"), normal: join(directory, "rcu_normal") };
  state = new StateFile(join(directory, "state"));
  writeFileSync(paths.expedited, "0\n");
  writeFileSync(paths.normal, "0\n");
  state.write({ version: 1, sysctls: { "net.a": "0" } });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it("are expedited during a piece of work, and as before after it, whatever comes of it", () => {
  const periods = make();
  expect(
    periods.expedited(() => {
      expect(state.read().rcuExpedited).toBe("0");
      return read();
    }),
  ).toBe("1");
  expect(read()).toBe("0");
  expect(() =>
    periods.expedited(() => {
      throw new Error("refused");
    }),
  ).toThrow("refused");
  expect(read()).toBe("0");
  expect(state.read()).toEqual({ version: 1, sysctls: { "net.a": "0" } });
});

it("belong to the outermost: what is on already is not switched off", () => {
  const periods = make();
  periods.expedited(() => {
    periods.expedited(() => undefined);
    expect(read()).toBe("1");
  });
  writeFileSync(paths.expedited, "1\n");
  periods.expedited(() => expect(state.read().rcuExpedited).toBeUndefined());
  expect(read()).toBe("1");
});

it("are put back by whoever comes after a kill, unless somebody else has set them since", () => {
  state.write({ ...state.read(), rcuExpedited: "0" });
  writeFileSync(paths.expedited, "1\n");
  make().restore();
  expect(read()).toBe("0");
  expect(state.read().rcuExpedited).toBeUndefined();
  // Nothing of ours: left alone.
  writeFileSync(paths.expedited, "1\n");
  make().restore();
  expect(read()).toBe("1");
});

it("are left alone where the kernel is told never to expedite them", () => {
  writeFileSync(paths.normal, "1\n");
  expect(make().expedited(read)).toBe("0");
});

it("stay as they are where it is not possible, and the work is done all the same", () => {
  rmSync(paths.expedited);
  const periods = make();
  expect(periods.expedited(() => "done")).toBe("done");
  expect(state.read()).toEqual({ version: 1, sysctls: { "net.a": "0" } });
});

it("of a series are written down once, and are as before between two pieces of it and after it", async () => {
  const periods = make();
  const write = vi.spyOn(state, "write");
  await expect(
    periods.series(async () => {
      for (let piece = 0; piece < 3; piece++) {
        expect(periods.expedited(read)).toBe("1");
        expect(read()).toBe("0");
        // A kill now would leave it to the next start to look.
        expect(state.read().rcuExpedited).toBe("0");
        await Promise.resolve();
      }
      throw new Error("refused");
    }),
  ).rejects.toThrow("refused");
  expect(write).toHaveBeenCalledTimes(2);
  expect(state.read()).toEqual({ version: 1, sysctls: { "net.a": "0" } });
});

it("of a series are left alone where somebody else has switched them meanwhile", async () => {
  const periods = make();
  await periods.series(async () => {
    writeFileSync(paths.expedited, "1\n");
    periods.expedited(() => undefined);
    expect(read()).toBe("1");
  });
  expect(read()).toBe("1");
});
