// What a rule of the user's has to do, in whatever mode and by whatever tool it was written: refuse a client from the first
// packet, and stop what it has open, while others go on and stay fast.

import { expect } from "vitest";
import type { TcpAnswer } from "./answers.js";
import { addresses, type Fairway, fastShare, type Lab, until } from "./lib/index.js";
import { type Live, type StreamAnswer, serveLive, stream } from "./streams.js";

/** What the container `echo` publishes: it echoes, and serves streams at two ports, so that what arrives is told apart. */
export const port = { echo: 7000, download: 7001, upload: 7002 } as const;

/** A container that serves at published ports, and a server outside. */
export async function serve({ engine, internet, disposers }: Lab): Promise<void> {
  const publish = Object.values(port).map((one) => `${one}:${one}`);
  const { namespace } = await engine.run("busybox", { name: "echo", publish });
  for (const place of [namespace, internet])
    await place.agent("serve.mjs", ["--tcp", port.echo], disposers).waitFor(/ready/);
  await serveLive("stream", namespace, port.download, disposers);
}

type From = "client" | "neighbour" | "internet";

/** One connection to the container's published port. */
export const connect = (lab: Lab, from: From, size = 100, timeout = 1000): Promise<TcpAnswer> =>
  lab[from].ask<TcpAnswer>("tcp.mjs", [addresses.host, port.echo, size, timeout]);

/** The client doesn't get through with its first packet, others do, and are fast when their connections are established. */
export async function expectRefused(lab: Lab, fairway: Fairway): Promise<void> {
  expect(await connect(lab, "client", 100, 3000)).toEqual({ error: "TIMEOUT" });
  for (const from of ["neighbour", "internet"] as const) {
    const taken = await fairway.pathTaken("echo", async () =>
      expect(await connect(lab, from, 30_000_000, 20_000)).toMatchObject({ echoed: true }),
    );
    expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
    expect(taken.receive.slow).toBeGreaterThan(0);
  }
}

/** Bytes per second: enough that most of what is counted went the fast path, little enough for a busy machine. */
const rate = 4_000_000;
/** A stream that has brought nothing for so long is stopped; what it brings is told ten times a second. */
const silenceMs = 1_500;
/** The rule is to hold within a second; a busy machine may take its time to say so. */
const patienceMs = 10_000;

/**
 * A rule that is written while the client downloads and uploads stops both, and the neighbour's download goes on; when the
 * rule is gone, they go on too, with not a byte lost.
 * @param write writes the rule, which drops the client's packets
 * @param remove takes it back
 * @returns milliseconds from when it was written to the last byte of either stream
 */
export async function expectStopped(
  lab: Lab,
  write: () => Promise<unknown>,
  remove: () => Promise<unknown>,
): Promise<number> {
  const { client, neighbour, disposers } = lab;
  const { namespace } = await lab.engine.container("echo");
  const uploads = await serveLive("stream", namespace, port.upload, disposers);
  const to = (at: number) => ({ host: addresses.host, port: at });
  const streams = [
    await stream("download", client, to(port.download), rate, undefined, disposers),
    await stream("upload", client, to(port.upload), rate, uploads, disposers),
  ];
  const others = await stream("download", neighbour, to(port.download), rate, undefined, disposers);
  await write();
  const written = performance.now();
  const stopped = Math.max(...(await Promise.all(streams.map(lastMoved)))) - written;
  await others.moves();
  await remove();
  for (const one of [...streams, others]) {
    await one.moves(60_000);
    expect(await one.end()).toEqual({ bytes: expect.any(Number), exact: true });
  }
  await uploads.stop();
  return Math.round(stopped);
}

/** When a stream that is about to be stopped last brought something. */
export async function lastMoved(live: Live<StreamAnswer>): Promise<number> {
  let [received, at] = [live.received, performance.now()];
  return until(
    "the stream is stopped",
    () => {
      if (live.received !== received) [received, at] = [live.received, performance.now()];
      return performance.now() - at > silenceMs && at;
    },
    { timeout: patienceMs + silenceMs, every: 10 },
  );
}
