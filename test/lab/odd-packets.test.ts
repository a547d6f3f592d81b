// Fragments, ICMP, options, extension headers, protocols without ports, narrow links: the slow path's, and the answers are the
// same as with the engine alone, in both families.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { families } from "./families.js";
import { addresses, addresses6, agent, createLab, enginesToTest, type Lab, run } from "./lib/index.js";
import {
  forgetMtus,
  ipv4Probes,
  ipv6Probes,
  narrowDatagramProbes,
  narrowHost,
  narrowHostProbes,
  narrowNetworkProbes,
  narrowRouter,
  narrowRouterProbes,
  type OddPlace,
  oddProbes,
} from "./odd-probes.js";

const publish = [
  ...["7000:7000", "7000:7000/udp", "7001:7001", "7443:7443/udp"],
  "33434-33440:33434-33440/udp",
];

/** Every question by family and name, in the order of asking; those of one stage don't disturb each other. */
const stages = {
  plain: families.flatMap((family) =>
    Object.entries({ ...oddProbes, ...(family.name === "IPv4" ? ipv4Probes : ipv6Probes) }).map(
      ([name, probe]) => ({ name: `${family.name}: ${name}`, family, probe }),
    ),
  ),
  narrowNetwork: named(narrowNetworkProbes, "into a narrow network"),
  narrowDatagrams: named(narrowDatagramProbes, "through a narrow router"),
  narrowRouter: named(narrowRouterProbes, "through a narrow router"),
  narrowHost: named(narrowHostProbes, "by a narrow route of the host's"),
};

function named(probes: typeof oddProbes, where: string) {
  return families.flatMap((family) =>
    Object.entries(probes).map(([name, probe]) => ({
      name: `${family.name}: ${name} ${where}`,
      family,
      probe,
    })),
  );
}

const ttlOf = (ttl: number) => expect.stringMatching(new RegExp(`(ttl|hlim) ${ttl},`));

/** Answers that would be the same if nothing worked prove nothing: these must have worked, with the engine alone too. */
const known: Readonly<Record<string, unknown>> = Object.fromEntries(
  families.flatMap(({ name, addresses }) => {
    const { client, host, hostGateway, internet } = addresses;
    const bulk = { echoed: true, source: expect.any(String) };
    const large = { sent: 12, echoed: 12, wrong: 0, pushed: 12, stray: 0 };
    return Object.entries({
      "large datagrams at a published port, answered as large": { ...large, sources: [client] },
      "large datagrams to the outside, answered as large": { ...large, sources: [host] },
      "large ping of the outside": "3 of 3, ttl 62",
      "traceroute to the outside": [expect.any(String), hostGateway, internet],
      "traceroute by ICMP to the outside": [expect.any(String), expect.stringContaining(hostGateway)],
      "TTLs that end after one, two and three hops, on a flow to a published port": [
        expect.any(String),
        expect.stringContaining(`${host} > ${client}: ICMP`),
      ],
      "TTLs that end after one, two and three hops, on a flow to the outside": [
        expect.any(String),
        expect.stringContaining(hostGateway),
      ],
      "the TTL at a published port": [62, 62, 15].map(ttlOf),
      "the TTL outside": [62, 62, 15].map(ttlOf),
      "fragments out of order to a published port": [expect.stringContaining(`> ${client}.5105`)],
      "fragments out of order to the outside": [expect.stringContaining(".5106")],
      "SCTP to the outside, and its answer": {
        outside: [expect.stringMatching(/INIT\]/)],
        inside: [expect.stringMatching(/INIT ACK\]/)],
      },
      "a protocol without ports to the outside": [expect.stringContaining(`${host} > ${internet}: ESP`)],
      "datagrams to a published port into a narrow network": { arrived: true, lost: true, sender: 1300 },
      "datagrams to a published port through a narrow router": { arrived: true, lost: true, client: 1300 },
      "TCP both ways at a published port through a narrow router": {
        ...bulk,
        client: 1300,
        container: 1300,
      },
      "TCP both ways to the outside through a narrow router": { ...bulk, container: 1300, server: 1300 },
      "TCP both ways at a published port by a narrow route of the host's": { ...bulk, container: 1300 },
      "TCP both ways to the outside by a narrow route of the host's": { ...bulk, container: 1300 },
    }).map(([question, answer]) => [`${name}: ${question}`, answer]);
  }),
);

/** Asks questions, four at a time; an error is an answer. */
async function ask(
  place: OddPlace,
  questions: (typeof stages)["plain"],
  answers: Map<string, unknown>,
): Promise<void> {
  const left = questions.values();
  const worker = async () => {
    for (const { name, family, probe } of left)
      answers.set(name, await probe(place, family).catch((error: unknown) => ({ error: String(error) })));
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

async function askAll(place: OddPlace): Promise<ReadonlyMap<string, unknown>> {
  const answers = new Map<string, unknown>();
  const gateways = [addresses.hostGateway, addresses6.hostGateway];
  await ask(place, stages.plain, answers);
  await ask(place, stages.narrowNetwork, answers);
  await narrowRouter(place, () => ask(place, stages.narrowDatagrams, answers));
  await forgetMtus(place);
  await narrowRouter(place, () => ask(place, stages.narrowRouter, answers));
  await forgetMtus(place);
  await narrowHost(place, gateways, () => ask(place, stages.narrowHost, answers));
  await forgetMtus(place);
  return answers;
}

async function compile(lab: Lab, name: string): Promise<string> {
  const out = join(lab.dir, name);
  await run(["cc", "-O1", "-Wall", "-o", out, agent(`${name}.c`)]);
  return out;
}

describe.each(enginesToTest())("odd packets as with the engine alone, engine %s", (kind) => {
  let place: OddPlace;
  let alone: ReadonlyMap<string, unknown>;
  let together: ReadonlyMap<string, unknown>;

  beforeAll(async () => {
    const lab = await createLab({ kind, ipv6: true });
    const { engine, disposers } = lab;
    const narrow = ["--ipv6", "--subnet", "fd00:d0c:1::/64", "-o", "com.docker.network.driver.mtu=1300"];
    await engine.createNetwork("narrow", ...narrow);
    place = {
      lab,
      target: await engine.run("busybox", { name: "target", publish }),
      other: await engine.run("busybox", { name: "other" }),
      narrow: await engine.run("busybox", { name: "narrow", network: "narrow", publish: ["7200:7000/udp"] }),
      programs: {
        "raw-send": await compile(lab, "raw-send"),
        "ip-options": await compile(lab, "ip-options"),
      },
    };
    for (const { namespace } of [place.target, place.narrow, { namespace: lab.internet }]) {
      const serve = namespace.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], disposers);
      const quic = namespace.agent("quic.mjs", ["serve", 7443], disposers);
      await Promise.all([serve.waitFor(/ready/), quic.waitFor(/ready/)]);
    }
    alone = await askAll(place);
    const fairway = await lab.fairway();
    for (const name of ["target", "other", "narrow"]) await fairway.knows(name);
    together = await askAll(place);
  }, 180_000);
  afterAll(() => place?.lab.dispose(), 60_000);

  it.each(Object.values(stages).flatMap((questions) => questions.map(({ name }) => name)))("%s", (name) => {
    if (name in known) expect(alone.get(name), "the engine alone").toEqual(known[name]);
    expect(together.get(name)).toEqual(alone.get(name));
  });
});
