// Ways outside: what is at the other end of one, and what is asked of it: both directions work, and are fast.

import { expect } from "vitest";
import { addressOf, type TcpAnswer } from "./answers.js";
import { bulk } from "./bulk.js";
import { type Lab, type Namespace, run, until } from "./lib/index.js";
import { joinByVeth } from "./lib/namespace.js";
import { serveLive } from "./streams.js";
import type { Stage } from "./suite.js";

/** What the servers serve on. */
export const port = { echo: 7000, stream: 7001 } as const;

/** `ip` in a namespace. */
export const ip = (at: Namespace, ...args: string[]) => run(["ip", "-n", at.name, ...args]);

/** A container that serves by published ports, one that asks, and a server at each place where it may ask. */
export async function people(lab: Lab): Promise<void> {
  const publish = [
    `${port.echo}:${port.echo}`,
    `${port.echo}:${port.echo}/udp`,
    `${port.stream}:${port.stream}`,
  ];
  const server = await lab.engine.run("busybox", { name: "server", publish });
  await lab.engine.run("busybox", { name: "asker" });
  for (const at of [server.namespace, lab.client, lab.internet]) {
    await at.agent("serve.mjs", ["--tcp", port.echo, "--udp", port.echo], lab.disposers).waitFor(/ready/);
    await serveLive("stream", at, port.stream, lab.disposers);
  }
}

/** Who the server says it was, and that everything came back. */
export async function ask(from: Namespace, to: string) {
  const { source, ...rest } = await from.ask<TcpAnswer>("tcp.mjs", [to, port.echo, 50_000, 4000]);
  return { ...rest, source: addressOf(source) };
}

/** One way outside: who is at its other end, and under which addresses the two see each other. */
export interface Way {
  readonly peer: Namespace;
  readonly peerAddress: string;
  readonly hostAddress: string;
}

/** Both directions of a way work, and are fast in bulk unless told that they can't be; soon, when it is new. */
export async function expectGood(
  { lab, fairway }: Pick<Stage, "lab" | "fairway">,
  { peer, peerAddress, hostAddress }: Way,
  fast = true,
): Promise<void> {
  const asker = (await lab.engine.container("asker")).namespace;
  await until("it works", async () => (await ask(peer, hostAddress)).echoed === true);
  expect(await ask(peer, hostAddress)).toEqual({ echoed: true, source: peerAddress });
  expect(await ask(asker, peerAddress)).toEqual({ echoed: true, source: hostAddress });
  const transfer = (direction: "download" | "upload") =>
    bulk(fairway, {
      from: direction === "download" ? peer : asker,
      to: { host: direction === "download" ? hostAddress : peerAddress, port: port.stream },
      containers: [direction === "download" ? "server" : "asker"],
      direction,
      ms: 1000,
      disposers: lab.disposers,
    });
  const [download, upload] = await Promise.all([transfer("download"), transfer("upload")]);
  for (const { answer, shares } of [download, upload]) {
    expect(answer).toEqual({ bytes: expect.any(Number), exact: true });
    for (const [name, { share, taken }] of Object.entries(fast ? shares : {})) {
      const said = `${name}: ${JSON.stringify(taken)}`;
      expect(taken.receive.fast, said).toBeGreaterThan(50);
      expect(taken.transmit.fast, said).toBeGreaterThan(50);
      expect(share, said).toBeGreaterThan(0.95);
    }
  }
}

/** A second link between client and host, as a plain veth: what the others are made of, too. */
export async function cable({ client, host }: Lab, device: string, subnet: string): Promise<Way> {
  await joinByVeth(client, device, host, device);
  await ip(client, "address", "add", `${subnet}.1/24`, "dev", device);
  await ip(host, "address", "add", `${subnet}.2/24`, "dev", device);
  return { peer: client, peerAddress: `${subnet}.1`, hostAddress: `${subnet}.2` };
}
