// What fairway leaves to the kernel, or must not break: every answer is the same as with the engine alone.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addresses, createLab, enginesToTest } from "./lib/index.js";
import { buildIpOptions, type ProbePlace, probes } from "./probes.js";

const publish = ["7000:7000", "7000:7000/udp", "7001:7001", "8000:8000", "33434-33440:33434-33440/udp"];

/** Answers that would be the same if nothing worked prove nothing: these must have worked, with the engine alone too. */
const known: Readonly<Record<string, unknown>> = {
  "a fragmented datagram to a published port": {
    received: 3,
    seen: [`${addresses.client} 4000`],
    errors: [],
  },
  "a fragmented datagram to the outside": { received: 3, seen: [`${addresses.host} 4000`], errors: [] },
  "large ping of the outside": "3 of 3, ttl 62",
  "traceroute to the outside": [expect.any(String), addresses.hostGateway, addresses.internet],
  "a download by a client behind a narrow link": { bytes: 1_000_000, mtu: 1300 },
  "an upload to a server behind a narrow link": { echoed: true, source: addresses.host, mtu: 1300 },
  "TCP to a published port": { echoed: true, source: addresses.client },
};

describe.each(enginesToTest())("as with the engine alone, engine %s", (kind) => {
  let place: ProbePlace;
  const alone = new Map<string, unknown>();

  beforeAll(async () => {
    const lab = await createLab({ kind });
    place = {
      lab,
      target: await lab.engine.run("busybox", { name: "target", publish }),
      other: await lab.engine.run("busybox", { name: "other" }),
      ipOptions: await buildIpOptions(lab),
    };
    const ports = ["--http", 8000, "--tcp", 7000, "--udp", 7000];
    for (const namespace of [place.target.namespace, lab.internet])
      await namespace.agent("serve.mjs", ports, lab.disposers).waitFor(/ready/);
    for (const [name, probe] of Object.entries(probes)) alone.set(name, await probe(place));
    const fairway = await lab.fairway();
    await fairway.knows("target");
    await fairway.knows("other");
  }, 180_000);
  afterAll(() => place?.lab.dispose(), 60_000);

  it.each(Object.entries(probes))("%s", async (name, probe) => {
    if (name in known) expect(alone.get(name), "the engine alone").toEqual(known[name]);
    expect(await probe(place)).toEqual(alone.get(name));
  });
});
