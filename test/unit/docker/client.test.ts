import { setMaxListeners } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { engineAddress } from "../../../src/docker/address.js";
import { EngineClient, type EngineEvent, parseEvent } from "../../../src/docker/client.js";
import { EngineHttp } from "../../../src/docker/http.js";
import { UserError } from "../../../src/errors.js";
import { fixture, fixtureNames } from "./fixtures.js";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** An engine at a socket of its own. */
async function engine(
  listener: RequestListener,
): Promise<{ client: EngineClient; path: string; server: Server }> {
  const directory = mkdtempSync(join(tmpdir(), "fwc-engine-"));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "docker.sock");
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { client: clientOf(`unix://${path}`), path, server };
}

function clientOf(address: string): EngineClient {
  const client = new EngineClient(engineAddress(address, {}));
  closers.push(() => client.close());
  return client;
}

const version = (ApiVersion: string, MinAPIVersion = "1.24") =>
  JSON.stringify({ Version: "x", ApiVersion, MinAPIVersion });

/** What a call throws, checked to be one line for the user. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as UserError;
  expect(message).not.toContain("\n");
  return message;
}

describe("negotiate", () => {
  it("speaks the engine's version, and asks by it from then on", async () => {
    const asked: string[] = [];
    const { client } = await engine((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end(request.url === "/version" ? version("1.47") : "[]");
    });
    expect(await client.negotiate()).toEqual({ version: "x", apiVersion: "1.47" });
    const { signal } = new AbortController();
    expect(await client.networks(signal)).toEqual([]);
    expect(await client.network("n/1", signal)).toEqual([]);
    await client.container("ab", signal);
    expect(asked).toEqual([
      "GET /version",
      "GET /v1.47/networks",
      "GET /v1.47/networks/n%2F1",
      "GET /v1.47/containers/ab/json",
    ]);
  });

  it("stays at the newest that it knows", async () => {
    const { client } = await engine((_request, response) => response.end(version("1.56", "1.44")));
    expect(await client.negotiate()).toMatchObject({ apiVersion: "1.52" });
  });

  it("refuses an engine that is too old", async () => {
    const { client } = await engine((_request, response) => response.end(version("1.40")));
    expect(await refusal(client.negotiate())).toMatch(/needs 1\.41 .*upgrade Docker/);
  });

  it("says so when there is no socket", async () => {
    const message = await refusal(clientOf("unix:///nonexistent/docker.sock").negotiate());
    expect(message).toMatch(/^no Docker engine at unix:\/\/\/nonexistent\/docker\.sock: start it/);
  });

  it("says so when nobody listens", async () => {
    const message = await refusal(clientOf("tcp://127.0.0.1:1").negotiate());
    expect(message).toMatch(/^no Docker engine answers at tcp:\/\/127\.0\.0\.1:1: start it/);
  });

  it.skipIf(process.getuid?.() !== 0)("says so when the socket is not permitted", async () => {
    const { client, path } = await engine((_request, response) => response.end(version("1.47")));
    chmodSync(path, 0o600);
    process.seteuid?.(65534);
    try {
      // The directory is root's alone, so that it is refused on the way.
      expect(await refusal(client.negotiate())).toMatch(/^no permission .*run as root/);
    } finally {
      process.seteuid?.(0);
    }
  });

  it.each([
    ["HTML", "<html></html>"],
    ["another API", '{"name":"etcd"}'],
    ["a version that is none", version("../../x")],
  ])("refuses %s", async (_what, body) => {
    const { client } = await engine((_request, response) => response.end(body));
    expect(await refusal(client.negotiate())).toMatch(/docker\.sock/);
  });

  it("gives the engine's own words for an error", async () => {
    const { client } = await engine((_request, response) => {
      response.writeHead(503).end('{"message":"starting\\nup"}');
    });
    expect(await refusal(client.negotiate())).toContain("engine answered 503 to /version: starting up");
  });
});

describe("requests", () => {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);

  it("end with an error when the engine hangs up in the middle", async () => {
    const { client } = await engine((_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("[{");
      setTimeout(() => response.destroy(), 10);
    });
    await expect(client.networks(signal)).rejects.toThrow();
  });

  it("are given up when the answer does not come", async () => {
    const { client } = await engine(() => undefined);
    await expect(client.container("ab", signal)).rejects.toThrow(/did not answer .* within 3000 ms/);
  });

  it("are given up when nobody wants them any more", async () => {
    const { client } = await engine(() => undefined);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    await expect(client.networks(abort.signal)).rejects.toThrow(/aborted/);
  });

  it("take no answer without end", async () => {
    const { client } = await engine((_request, response) => {
      const chunk = "x".repeat(1 << 20);
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    });
    await expect(client.container("ab", signal)).rejects.toThrow(/larger than 16777216 bytes/);
  });

  it("go over a few connections, however many there are", async () => {
    const connections = new Set<unknown>();
    const { client } = await engine((request, response) => {
      connections.add(request.socket);
      response.end(JSON.stringify(request.url));
    });
    const ids = Array.from({ length: 200 }, (_, at) => `${at}`);
    const answers = await Promise.all(ids.map((id) => client.container(id, signal)));
    expect(answers).toEqual(ids.map((id) => `/containers/${id}/json`));
    expect(connections.size).toBeLessThan(30);
  });

  it("are made again where the engine has closed a connection that was idle", async () => {
    const { client, server } = await engine((_request, response) => response.end("[]"));
    await client.networks(signal);
    server.closeAllConnections();
    // Nobody has been told of it yet.
    expect(await client.networks(signal)).toEqual([]);
  });

  it("are not made again where it hangs up on the first of a connection", async () => {
    let asked = 0;
    const { client } = await engine((request) => {
      asked++;
      request.socket.destroy();
    });
    await expect(client.networks(signal)).rejects.toThrow(/hung up|ECONNRESET/);
    expect(asked).toBe(1);
  });

  it("that are given up leave the others alone, and wait for no answer", async () => {
    const { client } = await engine((request, response) => {
      if (!request.url?.includes("stuck")) response.end("1");
    });
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const stuck = Array.from({ length: 40 }, () => client.container("stuck", abort.signal).catch(String));
    const others = Promise.all(Array.from({ length: 40 }, () => client.container("ab", signal)));
    abort.abort();
    expect(await others).toEqual(Array.from({ length: 40 }, () => 1));
    expect(new Set(await Promise.all(stuck))).toEqual(new Set(["Error: aborted"]));
  });

  it("leave no connection open that is asked nothing for long", async () => {
    const { path, server } = await engine((_request, response) => response.end("[]"));
    const http = new EngineHttp(engineAddress(`unix://${path}`, {}), 4, 20);
    const asked = Array.from({ length: 8 }, () =>
      http.json("/networks", { timeoutMs: 10_000, maxBytes: 100 }),
    );
    await Promise.all(asked);
    const open = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
    await vi.waitFor(async () => expect(await open()).toBe(0), { timeout: 10_000 });
    expect(await http.json("/networks", { timeoutMs: 10_000, maxBytes: 100 })).toEqual([]);
    http.close();
  });

  it("end when the client is closed, those that wait for a connection too", async () => {
    const { client } = await engine(() => undefined);
    const asked = Array.from({ length: 40 }, () => client.container("ab", signal).catch(() => "ended"));
    client.close();
    expect(new Set(await Promise.all(asked))).toEqual(new Set(["ended"]));
  });
});

describe("events", () => {
  it("come as they are sent, and the end is told", async () => {
    let asked = "";
    const { client } = await engine((request, response) => {
      asked = request.url ?? "";
      response.writeHead(200);
      response.flushHeaders();
      response.write('{"Type":"container","Action":"start","Actor":{"ID":"abc"}}\n{"Type":"network","Act');
      setTimeout(
        () => response.write('ion":"connect","Actor":{"ID":"n","Attributes":{"container":"def"}}}\n'),
        10,
      );
      setTimeout(() => response.write("nonsense\n"), 20);
      setTimeout(() => response.end(), 30);
    });
    const events: (EngineEvent | undefined)[] = [];
    const { ended } = await client.events((event) => events.push(event), new AbortController().signal);
    expect(await ended).toMatch(/closed/);
    expect(events).toEqual([
      { type: "container", action: "start", containerId: "abc" },
      { type: "network", action: "connect", containerId: "def" },
      undefined,
    ]);
    const query = new URL(asked, "http://engine").searchParams;
    expect(JSON.parse(query.get("filters") ?? "")).toEqual({ type: ["container", "network", "daemon"] });
    expect(Math.abs(Number(query.get("since")) - Date.now() / 1000)).toBeLessThan(5);
  });

  it("end when they are no longer wanted", async () => {
    const { client } = await engine((_request, response) => response.flushHeaders());
    const abort = new AbortController();
    const { ended } = await client.events(() => undefined, abort.signal);
    abort.abort();
    expect(await ended).toBeTypeOf("string");
  });

  it("are refused as the engine refuses them", async () => {
    const { client } = await engine((_request, response) => response.writeHead(500).end());
    await expect(client.events(() => undefined, new AbortController().signal)).rejects.toThrow(/500/);
  });
});

describe("parseEvent", () => {
  it.each(fixtureNames)("reads what %s sent", (name) => {
    const parsed = fixture(name).events.map((event) => parseEvent(JSON.stringify(event)));
    expect(parsed).not.toContain("unreadable");
    const actions = parsed.map((e) => (typeof e === "string" ? e : `${e.type} ${e.action}`));
    expect(actions).toEqual(expect.arrayContaining(["container start", "network connect", "network create"]));
    for (const event of parsed) {
      if (typeof event !== "string" && (event.type === "container" || event.action === "connect")) {
        expect(event.containerId).toMatch(/^[0-9a-f]{64}$/);
      }
    }
  });

  it("does not mind what changes nothing", () => {
    for (const Action of [
      "exec_start: sh -c x",
      "exec_die",
      "health_status: healthy",
      "top",
      "resize",
      "attach",
    ]) {
      expect(parseEvent(JSON.stringify({ Type: "container", Action, Actor: { ID: "x" } }))).toBe(
        "irrelevant",
      );
    }
    expect(parseEvent('{"Type":"image","Action":"pull"}')).toBe("irrelevant");
  });

  it("knows nonsense", () => {
    for (const line of ["", "{", "[]", "null", '{"Type":7,"Action":"x"}', '{"Type":"container"}']) {
      expect(parseEvent(line)).toBe("unreadable");
    }
  });
});
