import { expect, test } from "vitest";
import { kernelTable } from "../../../scripts/kernel-table.mjs";

const one = (file: string, passed: boolean, ...titles: string[]) => ({ file, passed, titles });

test("says yes only where every test passed, and names what was not tested or is impossible there", () => {
  const old = {
    release: "6.1.0-1",
    version: "6.1.1-1",
    found: {
      lab: [
        one("datapath", true, "IPv4", "UDP"),
        one("uplinks", false, "a bond"),
        { ...one("ipvlan", true, "masqueraded"), skipped: true as const },
      ],
      programs: [one("bridge", true, "one"), one("bridge", false, "two"), one("xdp", true, "three")],
    },
  };
  const recent = {
    release: "6.12.3+deb12",
    found: {
      lab: [one("datapath", true, "IPv4", "UDP"), one("ipvlan", true, "masqueraded")],
      programs: [one("xdp", true, "three")],
    },
  };
  const lines = kernelTable([old, recent]).split("\n");
  expect(lines.filter((line) => line.startsWith("| "))).toEqual([
    "| with an engine and containers | Linux 6.1 | Linux 6.12 |",
    "| IPv4: UDP | yes | yes |",
    "| a bond | **no** (0 of 1) | not tested |",
    "| masqueraded | can't be | yes |",
    "| the programs, on crafted packets | Linux 6.1 | Linux 6.12 |",
    "| bridge (2 tests) | **no** (1 of 2) | not tested |",
    "| xdp (1 test) | yes | yes |",
  ]);
});
