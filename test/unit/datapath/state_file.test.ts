import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isOurs, networkNamespace } from "../../../src/datapath/namespace.js";
import { Pins } from "../../../src/datapath/pins.js";
import { NOTHING_SAVED, StateFile } from "../../../src/datapath/state_file.js";
import { UserError } from "../../../src/errors.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fwc-state-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("StateFile", () => {
  it("gives back what was saved, and makes its directory", () => {
    const state = new StateFile(join(directory, "run", "fairway"));
    expect(state.read()).toEqual(NOTHING_SAVED);
    const saved = { version: 1 as const, sysctls: { "net.x": "0" }, mounted: "/m", namespace: "net:[1]" };
    state.write(saved);
    expect(new StateFile(state.directory).read()).toEqual(saved);
    expect(readdirSync(state.directory)).toEqual(["state.json"]);
    state.remove();
    state.remove();
    expect(existsSync(state.path)).toBe(false);
  });

  it.each(["", "{", "[]", '{"version":2,"sysctls":{"a":"b"}}', '{"version":1,"sysctls":{"a":1}}'])(
    "takes %j for nothing saved",
    (text) => {
      const state = new StateFile(directory);
      writeFileSync(state.path, text);
      expect(state.read()).toEqual(NOTHING_SAVED);
    },
  );

  it("says what to do when it can't be written", () => {
    writeFileSync(join(directory, "file"), "");
    const state = new StateFile(join(directory, "file", "x"));
    expect(() => state.write(NOTHING_SAVED)).toThrow(UserError);
    expect(() => state.write(NOTHING_SAVED)).toThrow(/--state-dir/);
  });
});

describe("isOurs", () => {
  it("is what was left in this network namespace, or by a version that did not say", () => {
    const state = new StateFile(directory);
    const pins = new Pins(join(directory, "pins"));
    expect(isOurs(state, pins)).toBe(true);
    state.write({ ...NOTHING_SAVED, namespace: networkNamespace() });
    expect(isOurs(state, pins)).toBe(true);
  });

  it("is not what was left in one that is gone", () => {
    const state = new StateFile(directory);
    state.write({ ...NOTHING_SAVED, namespace: "net:[1]" });
    expect(isOurs(state, new Pins(join(directory, "pins")))).toBe(false);
  });
});
