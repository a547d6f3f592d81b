import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { engineAddress } from "../../../src/docker/address.js";
import { UserError } from "../../../src/errors.js";

const directories: string[] = [];
afterEach(() => {
  for (const d of directories.splice(0)) rmSync(d, { recursive: true });
});

function certificates(names: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), "fwc-certs-"));
  directories.push(directory);
  for (const name of names) writeFileSync(join(directory, name), name);
  return directory;
}

describe("engineAddress", () => {
  it("is the default socket when nothing is said", () => {
    expect(engineAddress(undefined, {})).toMatchObject({ kind: "unix", socketPath: "/var/run/docker.sock" });
    expect(engineAddress(undefined, { DOCKER_HOST: "" })).toMatchObject({ kind: "unix" });
  });

  it("prefers the configuration to DOCKER_HOST", () => {
    const env = { DOCKER_HOST: "unix:///run/b.sock" };
    expect(engineAddress("unix:///run/a.sock", env)).toMatchObject({ socketPath: "/run/a.sock" });
    expect(engineAddress(undefined, env)).toMatchObject({ socketPath: "/run/b.sock" });
  });

  it("knows tcp with and without port, path and IPv6", () => {
    expect(engineAddress("tcp://127.0.0.1:2375", {})).toMatchObject({
      kind: "tcp",
      host: "127.0.0.1",
      port: 2375,
    });
    expect(engineAddress("tcp://engine", {})).toMatchObject({ host: "engine", port: 2375, basePath: "" });
    expect(engineAddress("tcp://[::1]:80/docker/", {})).toMatchObject({
      host: "::1",
      port: 80,
      basePath: "/docker",
    });
  });

  it("takes TLS files from DOCKER_CERT_PATH, the authority's only when it verifies", () => {
    const path = certificates(["ca.pem", "cert.pem", "key.pem"]);
    const unverified = engineAddress("tcp://h", { DOCKER_CERT_PATH: path });
    expect(unverified).toMatchObject({ port: 2376, tls: { verify: false, ca: undefined } });
    const verified = engineAddress("tcp://h", { DOCKER_CERT_PATH: path, DOCKER_TLS_VERIFY: "1" });
    expect(verified).toMatchObject({
      tls: { verify: true, ca: Buffer.from("ca.pem"), key: Buffer.from("key.pem") },
    });
  });

  it("names the certificate that is missing", () => {
    const path = certificates(["cert.pem"]);
    const call = () => engineAddress("tcp://h", { DOCKER_CERT_PATH: path, DOCKER_TLS_VERIFY: "1" });
    expect(call).toThrow(UserError);
    expect(call).toThrow(/ca\.pem \(ENOENT\): set DOCKER_CERT_PATH/);
  });

  it.each([
    "ssh://me@host",
    "npipe:////./pipe/x",
    "fd://3",
    "/run/docker.sock",
    "unix://run.sock",
    "tcp://",
    "nonsense",
  ])("refuses %s on one line", (text) => {
    const call = () => engineAddress(text, {});
    expect(call).toThrow(UserError);
    expect(call).toThrow(/unix:\/\/\/var\/run\/docker\.sock/);
    expect(call).not.toThrow(/\n/);
  });
});
