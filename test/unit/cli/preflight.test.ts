import { describe, expect, it } from "vitest";
import { type Host, preflight } from "../../../src/cli/preflight.js";
import { UserError } from "../../../src/errors.js";

const good: Host = {
  platform: "linux",
  uid: 0,
  capabilities: 0x1ffffffffffn,
  kernel: "6.1.0-18-amd64",
  exists: () => true,
  packageRoot: "/opt/fairway",
  addon: undefined,
};

const without = (path: string): Partial<Host> => ({ exists: (asked) => asked !== path });

describe("preflight", () => {
  it.each(["6.1.0-18-amd64", "6.1", "6.12.3", "7.0.0-rc1"])("lets kernel %s pass", (kernel) => {
    expect(() => preflight({ ...good, kernel }, "run")).not.toThrow();
  });

  it.each<[string, Partial<Host>, RegExp]>([
    ["another system", { platform: "darwin" }, /^fairway runs on Linux, this is darwin$/],
    ["a user", { uid: 1000 }, /^fairway run needs root .*: run it with sudo: sudo fairway run$/],
    [
      "kernel 5.15",
      { kernel: "5.15.0-91-generic" },
      /^kernel 5\.15\.0-91-generic is too old: fairway needs 6\.1 or newer/,
    ],
    ["kernel 6.0", { kernel: "6.0.9" }, /^kernel 6\.0\.9 is too old/],
    ["no BTF", without("/sys/kernel/btf/vmlinux"), /^this kernel has no BTF .*: boot a kernel/],
    [
      "no addon",
      without("/opt/fairway/build/Release/fairway_native.node"),
      /^the native addon is not built .*: run npm run build in \/opt\/fairway$/,
    ],
    [
      "no object",
      without("/opt/fairway/build/fairway.bpf.o"),
      /^the eBPF object is not built .*: run npm run build/,
    ],
  ])("refuses %s in one line with the remedy", (_what, change, message) => {
    const refused = () => preflight({ ...good, ...change }, "run");
    expect(refused).toThrow(UserError);
    expect(refused).toThrow(message);
  });

  it("takes CAP_SYS_ADMIN for the two that it was split into", () => {
    const capabilities = (1n << 21n) | (1n << 12n);
    expect(() => preflight({ ...good, capabilities }, "run")).not.toThrow();
    expect(() => preflight({ ...good, capabilities: 1n << 21n }, "run")).toThrow(
      /lacks the capabilities NET_ADMIN:/,
    );
  });

  it("looks for the addon where FAIRWAY_NATIVE says", () => {
    const host = { ...good, addon: "/asan/addon.node", exists: (path: string) => !path.includes("Release") };
    expect(() => preflight(host, "run")).not.toThrow();
  });
});
