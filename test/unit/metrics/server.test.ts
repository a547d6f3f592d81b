import { request } from "node:http";
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../../src/errors.js";
import { type MetricsServer, serveMetrics } from "../../../src/metrics/server.js";
import type { TargetGroup } from "../../../src/metrics/service_discovery.js";

const servers: MetricsServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function serve(
  options: Partial<Parameters<typeof serveMetrics>[0]> = {},
  address = { host: "127.0.0.1", port: 0 },
) {
  const server = await serveMetrics({
    address,
    scrape: async (take) => {
      for (const piece of ["metric ", "1\n"]) take(Buffer.from(piece));
    },
    targets: () => [],
    contentType: "text/plain; version=0.0.4",
    notReady: () => undefined,
    ...options,
  });
  servers.push(server);
  return server;
}

function get(server: MetricsServer, path: string, method = "GET") {
  return new Promise<{ status: number; type: string | undefined; body: string }>((resolve, reject) => {
    request({ ...server.address, path, method, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => {
        body += text;
      });
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers["content-type"], body }),
      );
    })
      .on("error", reject)
      .end();
  });
}

describe("serveMetrics", () => {
  it("serves the scrape with its content type", async () => {
    const server = await serve();
    expect(await get(server, "/metrics")).toEqual({
      status: 200,
      type: "text/plain; version=0.0.4",
      body: "metric 1\n",
    });
    expect((await get(server, "/metrics?name[]=x")).status).toBe(200);
    expect(await get(server, "/metrics", "HEAD")).toMatchObject({ status: 200, body: "" });
  });

  it("serves a long scrape whole, as it is written, and survives a client that goes", async () => {
    const pieces = Array.from({ length: 200 }, (_, i) => Buffer.alloc(100_000, `${i % 10}`));
    let scrapes = 0;
    const server = await serve({
      scrape: async (take) => {
        for (const piece of pieces) {
          take(piece);
          await setImmediate();
        }
        scrapes++;
      },
    });
    const { body } = await get(server, "/metrics");
    expect(body === Buffer.concat(pieces).toString()).toBe(true);
    await new Promise<void>((resolve) => {
      const gone = request({ ...server.address, path: "/metrics", agent: false }, (response) =>
        response.once("data", () => gone.destroy()),
      );
      gone
        .on("close", resolve)
        .on("error", () => undefined)
        .end();
    });
    await vi.waitFor(() => expect(scrapes).toBe(2), { timeout: 10_000 });
    expect((await get(server, "/healthz")).status).toBe(200);
  });

  it("cuts off a scrape that fails half-way: what has arrived is not taken for all of it", async () => {
    const server = await serve({
      scrape: async (take) => {
        for (let i = 0; i < 10; i++) take(Buffer.alloc(100_000, "x"));
        await setImmediate();
        throw new Error("broken");
      },
    });
    await expect(get(server, "/metrics")).rejects.toThrow(/aborted|hang up|reset/);
    expect((await get(server, "/healthz")).status).toBe(200);
  });

  it("is healthy at once and ready when told so", async () => {
    let why: string | undefined = "starting";
    const server = await serve({ notReady: () => why });
    expect(await get(server, "/healthz")).toMatchObject({ status: 200, body: "ok\n" });
    expect(await get(server, "/readyz")).toMatchObject({ status: 503, body: "not ready: starting\n" });
    why = undefined;
    expect(await get(server, "/readyz")).toMatchObject({ status: 200, body: "ready\n" });
  });

  it("serves Prometheus the containers that want to be scraped, and tells it to keep what it has while nothing is known", async () => {
    let targets: TargetGroup[] | undefined;
    const server = await serve({ targets: () => targets });
    expect((await get(server, "/sd")).status).toBe(503);
    targets = [{ targets: ["172.17.0.2:80"], labels: { __metrics_path__: "/metrics" } }];
    const { status, type, body } = await get(server, "/sd");
    expect({ status, type }).toEqual({ status: 200, type: "application/json" });
    expect(JSON.parse(body)).toEqual(targets);
  });

  it("refuses other paths and methods", async () => {
    const server = await serve();
    expect((await get(server, "/etc/passwd")).status).toBe(404);
    expect((await get(server, "/metrics", "POST")).status).toBe(405);
  });

  it("answers 500 for a scrape that fails and goes on", async () => {
    const server = await serve({ scrape: () => Promise.reject(new Error("broken")) });
    expect(await get(server, "/metrics")).toMatchObject({ status: 500, body: "broken\n" });
    expect((await get(server, "/healthz")).status).toBe(200);
  });

  it("says in one line that its address is taken, and what to do", async () => {
    const { address } = await serve();
    const second = serve({}, address);
    await expect(second).rejects.toThrow(UserError);
    await expect(second).rejects.toThrow(
      `metrics address 127.0.0.1:${address.port} is taken by another program: choose another with --metrics ADDRESS:PORT, or --metrics off`,
    );
  });

  it("says that an address is not this host's", async () => {
    await expect(serve({}, { host: "198.18.255.254", port: 0 })).rejects.toThrow(
      /is not an address of this host/,
    );
  });
});
