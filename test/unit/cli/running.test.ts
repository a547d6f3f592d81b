import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { fairway, start } from "./child.js";

const directory = mkdtempSync(join(tmpdir(), "fwx-cli-"));
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await close(server);
});
afterAll(() => rmSync(directory, { recursive: true }));

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** A stand-in that answers with this to everything, on a free port or at a socket. */
function answering(status: number, body: string, socket?: string): Promise<number> {
  const server = createServer((_request, response) => response.writeHead(status).end(body));
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    const listening = () => resolve(socket === undefined ? (server.address() as AddressInfo).port : 0);
    if (socket === undefined) server.listen(0, "127.0.0.1", listening);
    else server.listen(socket, listening);
  });
}

/** Places that exist nowhere: whatever a run reached past its refusals would show there. */
function places(name: string): string[] {
  return ["--state-dir", join(directory, name), "--bpffs", join(directory, name, "bpf", "fairway")];
}

describe("fairway healthcheck", () => {
  it("is 0 when /readyz says ready", async () => {
    const port = await answering(200, "ready\n");
    expect(await fairway(["healthcheck", "--metrics", `127.0.0.1:${port}`])).toEqual({
      code: 0,
      stdout: "ready\n",
      stderr: "",
    });
  });

  it("is 1 with the reason when it is not", async () => {
    const port = await answering(503, "not ready: starting\n");
    expect(await fairway(["healthcheck", "--metrics", `127.0.0.1:${port}`])).toEqual({
      code: 1,
      stdout: "",
      stderr: "fairway: not ready: starting\n",
    });
  });

  it("is 1 when nothing listens", async () => {
    const { code, stderr } = await fairway(["healthcheck", "--metrics", "127.0.0.1:1"]);
    expect([code, stderr]).toEqual([
      1,
      "fairway: not ready: no answer from 127.0.0.1:1 (nothing listens there)\n",
    ]);
  });

  it("asks the control socket when metrics are off", async () => {
    const { code, stderr } = await fairway([
      "healthcheck",
      "--metrics",
      "off",
      "--state-dir",
      join(directory, "none"),
    ]);
    expect([code, stderr]).toEqual([
      1,
      `fairway: not ready: no daemon is running on ${join(directory, "none")}\n`,
    ]);
  });
});

describe("fairway run", () => {
  it("refuses a metrics address that is taken, before anything else happens", async () => {
    const port = await answering(200, "");
    const { code, stdout, stderr } = await fairway([
      "run",
      ...places("taken"),
      "--metrics",
      `127.0.0.1:${port}`,
      "--docker-host",
      "unix:///nonexistent.sock",
    ]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toBe(
      `fairway: metrics address 127.0.0.1:${port} is taken by another program: choose another with --metrics ADDRESS:PORT, or --metrics off\n`,
    );
  });

  it("refuses to be the second one, naming the first", async () => {
    mkdirSync(join(directory, "second"));
    await answering(
      200,
      JSON.stringify({ pid: 4711, state: "ready" }),
      join(directory, "second", "fairway.sock"),
    );
    const { code, stderr } = await fairway(["run", ...places("second"), "--metrics", "127.0.0.1:0"]);
    expect([code, stderr.trimEnd().split("\n").length]).toEqual([1, 1]);
    expect(stderr).toContain(
      `fairway is already running (pid 4711, state directory ${join(directory, "second")})`,
    );
  });

  it("says that there is no engine, and has made nothing", async () => {
    const socket = join(directory, "no-engine.sock");
    const { code, stdout, stderr } = await fairway([
      "run",
      ...places("engineless"),
      "--metrics",
      "127.0.0.1:0",
      "--docker-host",
      `unix://${socket}`,
    ]);
    expect([code, stdout, stderr.trimEnd().split("\n").length]).toEqual([1, "", 1]);
    expect(stderr).toMatch(new RegExp(`^fairway: .*unix://${socket}.*--docker-host`));
    expect(existsSync(join(directory, "engineless", "bpf"))).toBe(false);
    expect(existsSync(join(directory, "engineless", "fairway.sock"))).toBe(false);
  });

  it("refuses an uplink that is not there, and has made nothing", async () => {
    const { code, stderr } = await fairway([
      "run",
      ...places("uplinkless"),
      "--metrics",
      "off",
      "--uplink",
      "fwx-none",
    ]);
    expect([code, stderr.trimEnd().split("\n").length]).toEqual([1, 1]);
    expect(stderr).toMatch(/^fairway: no uplink "fwx-none" on this host/);
    expect(existsSync(join(directory, "uplinkless"))).toBe(false);
  });

  it("ends in order when it is told to before it is ready", async () => {
    // An engine that takes the connection and says nothing.
    const socket = join(directory, "silent.sock");
    const connected = new Promise<void>((resolve) => {
      const server = createServer(() => resolve());
      servers.push(server);
      server.listen(socket);
    });
    const run = start([
      "run",
      ...places("silent"),
      "--metrics",
      "127.0.0.1:0",
      "--docker-host",
      `unix://${socket}`,
    ]);
    await connected;
    run.child.kill("SIGTERM");
    expect(await run.ended).toEqual({
      code: 0,
      stdout: "",
      stderr: "stopped before anything was attached\n",
    });
  });
});
