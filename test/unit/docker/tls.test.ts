import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engineAddress } from "../../../src/docker/address.js";
import { EngineClient } from "../../../src/docker/client.js";

/** Keys and certificates made for this test alone, good for localhost until 2126. */
const directory = fileURLToPath(new URL("./fixtures/tls/", import.meta.url));
const read = (name: string) => readFileSync(`${directory}${name}`);

/** One where its certificate says it is, one where it does not. */
const servers = new Map(["127.0.0.1", "127.0.0.2"].map((address) => [address, engine()]));

function engine(): Server {
  const options = {
    cert: read("server-cert.pem"),
    key: read("server-key.pem"),
    ca: read("ca.pem"),
    requestCert: true,
    rejectUnauthorized: true,
  };
  return createServer(options, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    response.end(JSON.stringify({ Version: subject.CN, ApiVersion: "1.47" }));
  });
}

beforeAll(async () => {
  for (const [address, server] of servers) {
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
  }
});
afterAll(() => {
  for (const server of servers.values()) {
    server.closeAllConnections();
    server.close();
  }
});

async function version(host: string, env: Record<string, string>): Promise<string> {
  const bound = servers.get(host === "localhost" ? "127.0.0.1" : host)?.address();
  const port = (bound as AddressInfo | undefined)?.port;
  const client = new EngineClient(engineAddress(`tcp://${host}:${port}`, env));
  try {
    return (await client.negotiate()).version;
  } finally {
    client.close();
  }
}

describe("TLS to the engine", () => {
  it("shows the client's certificate and checks the engine's", async () => {
    const env = { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: `${directory}client` };
    expect(await version("localhost", env)).toBe("client");
    expect(await version("127.0.0.1", env)).toBe("client");
  });

  it("refuses an engine whose name is not in its certificate, when it verifies", async () => {
    const env = { DOCKER_CERT_PATH: `${directory}client` };
    await expect(version("127.0.0.2", { ...env, DOCKER_TLS_VERIFY: "1" })).rejects.toThrow(/altnames/);
    expect(await version("127.0.0.2", env)).toBe("client");
  });

  it("is not spoken without certificates", async () => {
    await expect(version("127.0.0.1", {})).rejects.toThrow(/can't be used/);
  });
});
