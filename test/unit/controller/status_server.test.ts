import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { StatusServer } from "../../../src/controller/status_server.js";
import { UserError } from "../../../src/errors.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "fwc-state-"));
  closers.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function server(stateDir: string, resources: Record<string, () => unknown> = {}): StatusServer {
  const status = new StatusServer(stateDir, resources);
  closers.push(() => status.close());
  return status;
}

function ask(socketPath: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    }).on("error", reject);
  });
}

describe("StatusServer", () => {
  it("answers with JSON, big numbers included, to root alone", async () => {
    const status = server(join(directory(), "run", "fairway"), {
      "/status": () => ({ packets: 12345678901n }),
      "/broken": () => {
        throw new Error("oops");
      },
    });
    await status.open();
    expect(await ask(status.path, "/status")).toEqual({ status: 200, body: '{"packets":12345678901}' });
    expect(await ask(status.path, "/nothing")).toMatchObject({ status: 404 });
    expect(await ask(status.path, "/broken")).toEqual({ status: 500, body: "oops" });
    expect(statSync(status.path).mode & 0o777).toBe(0o600);
  });

  it("lets no second one in, and leaves the first alone", async () => {
    const stateDir = directory();
    const first = server(stateDir, { "/status": () => 1 });
    await first.open();
    const second = server(stateDir);
    await expect(second.open()).rejects.toThrow(UserError);
    await expect(second.open()).rejects.toThrow(/already running .*stop it first/);
    await second.close();
    expect(await ask(first.path, "/status")).toMatchObject({ status: 200 });
  });

  it("takes over from one that was killed", async () => {
    const stateDir = directory();
    writeFileSync(join(stateDir, "fairway.sock"), "");
    const status = server(stateDir, { "/status": () => 1 });
    await status.open();
    expect(await ask(status.path, "/status")).toMatchObject({ status: 200 });
  });

  it("leaves no socket behind, and closes twice", async () => {
    const status = server(directory());
    await status.open();
    await status.close();
    await status.close();
    expect(existsSync(status.path)).toBe(false);
    // The directory was there before.
    expect(existsSync(dirname(status.path))).toBe(true);
  });

  it("removes the directory that it made, unless there is something in it", async () => {
    const empty = server(join(directory(), "made"));
    await empty.open();
    await empty.close();
    expect(existsSync(dirname(empty.path))).toBe(false);
    const full = server(join(directory(), "made"));
    await full.open();
    writeFileSync(join(dirname(full.path), "state.json"), "{}");
    await full.close();
    expect(existsSync(dirname(full.path))).toBe(true);
  });

  it("says what to do when the directory can't be made", async () => {
    const stateDir = directory();
    writeFileSync(join(stateDir, "file"), "");
    await expect(server(join(stateDir, "file", "x")).open()).rejects.toThrow(/--state-dir/);
  });
});
