import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { buildDir } from "../../../scripts/lib/paths.mjs";
import { NativeError } from "../../../src/native/index.js";

const failure = { errno: 22, operation: "load program", object: "uplink_ingress", text: "Invalid argument" };

describe("NativeError", () => {
  test("says what was tried with what, and why not", () => {
    const error = new NativeError({ ...failure, log: "line\nline" });
    expect(error).toMatchObject({ ...{ name: "NativeError", code: "EINVAL", errno: 22, log: "line\nline" } });
    expect(error.message).toBe("load program uplink_ingress: Invalid argument (EINVAL)");
    expect(error).toBeInstanceOf(Error);
    expect(new NativeError(failure).log).toBeUndefined();
    expect(new NativeError({ ...failure, object: "", detail: "because" }).message).toBe(
      "load program: Invalid argument (EINVAL): because",
    );
  });

  test.each([
    [2, "ENOENT"],
    [11, "EAGAIN"],
    [95, "EOPNOTSUPP"],
    [524, "ENOTSUPP"],
    [4095, "E4095"],
  ])("%i is %s", (errno, code) => {
    expect(new NativeError({ ...failure, errno }).code).toBe(code);
  });
});

describe("the addon's file", () => {
  /** The error of loading the addon from a path, by a fresh copy of the modules. */
  async function load(path: string): Promise<unknown> {
    vi.stubEnv("FAIRWAY_NATIVE", path);
    vi.resetModules();
    onTestFinished(() => void vi.unstubAllEnvs());
    const native = await import("../../../src/native/index.js");
    try {
      return native.possibleCpus();
    } catch (error) {
      return error;
    }
  }

  test("that is missing or none is told in a line", async () => {
    expect(await load("/nonexistent.node")).toMatchObject({
      code: "ENOENT",
      message: "load addon /nonexistent.node: No such file or directory (ENOENT): npm run build makes it",
    });
    const path = join(buildDir, "test", "none.node");
    writeFileSync(path, "not an addon");
    expect(await load(path)).toMatchObject({ code: "ENOEXEC", object: path });
  });
});

describe("a process", () => {
  const addon = process.env.FAIRWAY_NATIVE ?? join(buildDir, "Release", "fairway_native.node");

  /** Runs code with `native`, the bare addon; returns how it ended. */
  function run(code: string): {
    status: number | null;
    signal: string | null;
    stdout: string;
    stderr: string;
  } {
    const prelude = `const native = require(${JSON.stringify(addon)});
      native.init((failure) => Object.assign(new Error(failure.operation), failure));
      const monitor = () => native.netMonitor(["link"], () => {}, () => {});
      const ring = () => native.ringBuffer(native.createMap({ type: "ringbuf", name: "fwn_ring", keySize: 0,
        valueSize: 0, maxEntries: 4096 }), () => {}, 1);`;
    // Leaks at exit are Node's (scripts/asan.mjs); errors still end the process with another status.
    const env = { ...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:detect_leaks=0` };
    return spawnSync(process.execPath, ["-e", prelude + code], { encoding: "utf8", timeout: 15_000, env });
  }

  const clean = { status: 0, signal: null, stderr: "" };

  test("is kept alive by an open monitor, until it is closed", () => {
    const code = `const open = monitor(); setTimeout(() => { console.log("closing"); open.close(); }, 100).unref();`;
    expect(run(code)).toMatchObject({ ...clean, stdout: "closing\n" });
  });

  test("may end with everything open", () => {
    expect(run("monitor(); ring(); process.exit(3);")).toMatchObject({ ...clean, status: 3 });
  });

  test("may throw with everything open", () => {
    expect(run(`monitor(); ring(); setTimeout(() => { throw new Error("on purpose"); }, 20);`)).toMatchObject(
      {
        status: 1,
        signal: null,
      },
    );
  });

  test("may use it in workers that come and go", () => {
    const code = `const { isMainThread, Worker } = require("node:worker_threads");
      const body = "const native = require(" + JSON.stringify(${JSON.stringify(addon)}) + ");" +
        "native.init((failure) => Object.assign(new Error(failure.operation), failure));" +
        "native.netMonitor(['link'], () => {}, () => {});" +
        "try { native.openPinnedMap('/nonexistent'); } catch (error) {" +
        "  require('node:worker_threads').parentPort.postMessage(error.errno); }";
      monitor().close();
      (async () => {
        for (let i = 0; i < 3; i++) {
          const worker = new Worker(body, { eval: true });
          console.log(await new Promise((resolve) => worker.once("message", resolve)));
          await worker.terminate();
        }
      })();`;
    expect(run(code)).toMatchObject({ ...clean, stdout: "2\n2\n2\n" });
  });
});
