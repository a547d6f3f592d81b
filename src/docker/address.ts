import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { errorCode, errorMessage, UserError } from "../errors.js";

/** Where the engine's API is spoken. */
export type EngineAddress =
  | { kind: "unix"; display: string; socketPath: string; basePath: "" }
  | { kind: "tcp"; display: string; host: string; port: number; basePath: string; tls?: TlsFiles };

/** PEM contents of DOCKER_CERT_PATH's ca.pem, cert.pem and key.pem. */
export interface TlsFiles {
  ca: Buffer | undefined;
  cert: Buffer;
  key: Buffer;
  /** Whether the server's certificate must be one of ca's for the host's name. */
  verify: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_HOST = "unix:///var/run/docker.sock";
const EXAMPLES = "give unix:///var/run/docker.sock or tcp://127.0.0.1:2375";

/**
 * Where the engine is, as Docker's own clients decide it: `configured`, else $DOCKER_HOST, else the default socket; for
 * TCP with TLS when $DOCKER_CERT_PATH or $DOCKER_TLS_VERIFY is set (certificates of ~/.docker where the path is not).
 * @throws UserError for an address that is none, one that can't work here (ssh, npipe, fd), or unreadable certificates.
 */
export function engineAddress(configured: string | undefined, env: Environment): EngineAddress {
  const text = (configured ?? "") || (env.DOCKER_HOST ?? "") || DEFAULT_HOST;
  const scheme = /^([a-z]+):\/\//.exec(text)?.[1];
  switch (scheme) {
    case "unix":
      return unixAddress(text);
    case "tcp":
    case "http":
    case "https":
      return tcpAddress(text, scheme, env);
    case "ssh":
    case "npipe":
    case "fd":
      throw new UserError(`engine address ${quote(text)}: ${scheme}:// can't be used here`, {
        remedy: EXAMPLES,
        exitCode: 2,
      });
    default:
      throw new UserError(`engine address ${quote(text)} is none`, { remedy: EXAMPLES, exitCode: 2 });
  }
}

function unixAddress(text: string): EngineAddress {
  const socketPath = text.slice("unix://".length);
  if (!socketPath.startsWith("/")) {
    throw new UserError(`engine address ${quote(text)}: the socket's path must be absolute`, {
      remedy: EXAMPLES,
      exitCode: 2,
    });
  }
  return { kind: "unix", display: text, socketPath, basePath: "" };
}

function tcpAddress(text: string, scheme: string, env: Environment): EngineAddress {
  let url: URL;
  try {
    // Not a special scheme for URL, so that the port is kept even where it is the scheme's default.
    url = new URL(text.replace(/^[a-z]+:/, "tcp:"));
  } catch {
    throw new UserError(`engine address ${quote(text)} is none`, { remedy: EXAMPLES, exitCode: 2 });
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") {
    throw new UserError(`engine address ${quote(text)} names no host`, { remedy: EXAMPLES, exitCode: 2 });
  }
  const tls = tlsFiles(scheme, env);
  return {
    kind: "tcp",
    display: `tcp://${url.host}${url.pathname === "/" ? "" : url.pathname}`,
    host,
    port: url.port === "" ? (tls === undefined ? 2375 : 2376) : Number(url.port),
    basePath: url.pathname.replace(/\/+$/, ""),
    ...(tls === undefined ? {} : { tls }),
  };
}

function tlsFiles(scheme: string, env: Environment): TlsFiles | undefined {
  const verify = (env.DOCKER_TLS_VERIFY ?? "") !== "";
  const configured = env.DOCKER_CERT_PATH ?? "";
  if (scheme !== "https" && !verify && configured === "") return undefined;
  const directory = configured === "" ? join(homedir(), ".docker") : configured;
  const read = (name: string): Buffer => {
    const path = join(directory, name);
    try {
      return readFileSync(path);
    } catch (error) {
      throw new UserError(`TLS to the engine needs ${path} (${errorCode(error) ?? errorMessage(error)})`, {
        remedy: "set DOCKER_CERT_PATH to the directory of ca.pem, cert.pem and key.pem",
      });
    }
  };
  return {
    ca: verify || scheme === "https" ? read("ca.pem") : undefined,
    cert: read("cert.pem"),
    key: read("key.pem"),
    verify: verify || scheme === "https",
  };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
