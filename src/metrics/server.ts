import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { formatMetricsAddress, type MetricsAddress } from "../config/schema.js";
import { errorCode, errorMessage, UserError } from "../errors.js";
import type { TakePiece } from "./metrics.js";
import { SendBuffers } from "./send_buffers.js";
import type { TargetGroup } from "./service_discovery.js";

export interface MetricsServerOptions {
  address: MetricsAddress;
  /** Gives the text of /metrics, piece by piece, each good until `take` returns. */
  scrape: (take: TakePiece) => Promise<void>;
  contentType: string;
  /** What /sd answers; undefined while the engine has not been seen. */
  targets: () => TargetGroup[] | undefined;
  /** What /readyz answers: undefined when ready, else one word or line that says why not. */
  notReady: () => string | undefined;
}

export interface MetricsServer {
  /** Where it listens; with the port that the kernel chose for port 0. */
  readonly address: MetricsAddress;
  close(): Promise<void>;
}

/**
 * Serves /metrics, /healthz (the process answers), /readyz (200 once the datapath is as the engine has it, else 503) and /sd
 * (Prometheus' http_sd; 503 before the engine has been seen, so that Prometheus keeps the targets that it had).
 * @throws UserError when the address can't be had
 */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      // What has begun as an answer can't become another: it is cut off.
      if (response.headersSent) response.destroy();
      else send(response, 500, `${errorMessage(error)}\n`);
    });
  });
  // A scrape is one small request: who dawdles is not Prometheus.
  server.headersTimeout = 5_000;
  server.requestTimeout = 10_000;
  server.maxConnections = 256;
  await listen(server, options.address);
  const { port } = server.address() as AddressInfo;
  return {
    address: { host: options.address.host, port },
    close: () => close(server),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: MetricsServerOptions,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, "only GET\n");
  }
  switch (request.url?.split("?", 1)[0]) {
    case "/metrics":
      return scraped(response, options);
    case "/sd": {
      const targets = options.targets();
      if (targets === undefined) return send(response, 503, "the engine has not been seen yet\n");
      return send(response, 200, JSON.stringify(targets), "application/json");
    }
    case "/healthz":
      return send(response, 200, "ok\n");
    case "/readyz": {
      const why = options.notReady();
      return why === undefined ? send(response, 200, "ready\n") : send(response, 503, `not ready: ${why}\n`);
    }
    case "/":
      return send(response, 200, "fairway\n/metrics\n/healthz\n/readyz\n/sd\n");
    default:
      return send(response, 404, "nothing here; try /metrics, /healthz, /readyz or /sd\n");
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers(type), "content-length": bytes.length });
  response.end(bytes);
}

function headers(type: string): Record<string, string> {
  return { "content-type": type, "x-content-type-options": "nosniff" };
}

/** Sends each piece as it comes, small ones together: all of a large host's text is nowhere at any time. */
async function scraped(
  response: ServerResponse,
  { scrape, contentType }: Pick<MetricsServerOptions, "scrape" | "contentType">,
): Promise<void> {
  const sending = new SendBuffers((bytes, sent) => {
    if (!response.headersSent) response.writeHead(200, headers(contentType));
    response.write(bytes, sent);
  });
  await scrape((piece) => {
    // Else who asked has gone.
    if (response.destroyed) return undefined;
    sending.add(piece);
    return sending.room();
  });
  if (!response.destroyed) sending.flush();
  response.end();
}

function listen(server: Server, address: MetricsAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(error, address)));
    server.listen({ host: address.host, port: address.port }, () => {
      server.removeAllListeners("error");
      // Such as a process out of file descriptors: that connection is lost, the server goes on.
      server.on("error", () => undefined);
      resolve();
    });
  });
}

function cannotListen(error: Error, address: MetricsAddress): UserError {
  const where = formatMetricsAddress(address);
  const why: Record<string, string> = {
    EADDRINUSE: "is taken by another program",
    EADDRNOTAVAIL: "is not an address of this host",
    ENOTFOUND: "is not an address of this host",
    EACCES: "needs more rights than this process has",
  };
  return new UserError(
    `metrics address ${where} ${why[errorCode(error) ?? ""] ?? `: ${errorMessage(error)}`}`,
    {
      remedy: "choose another with --metrics ADDRESS:PORT, or --metrics off",
      cause: error,
    },
  );
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
