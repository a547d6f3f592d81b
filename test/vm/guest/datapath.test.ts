// The core of the datapath, in one lab: what a kernel must be able to do for fairway to be of use there.

import { existsSync, readdirSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addressOf, type UdpAnswer } from "../../lab/answers.js";
import { families } from "../../lab/families.js";
import { fairwayCommand, fastShare, type Lab, type Namespace, run, until } from "../../lab/lib/index.js";
import { type Live, type StreamAnswer, stream } from "../../lab/streams.js";
import { ask, expectGood, ip, port } from "../../lab/ways.js";
import { useGuest } from "./guest.js";
import { testUplinks } from "./uplinks.js";

const guest = useGuest();

/** TCX came with Linux 6.6. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const tcx = major > 6 || (major === 6 && minor >= 6);

/** Every qdisc of clsact's and every filter on a host, as tc shows them, with its device. */
async function trafficControl(host: Namespace): Promise<string[]> {
  const devices = (await host.ip<{ ifname: string }[]>("link", "show")).map(({ ifname }) => ifname);
  const { stdout } = await host.exec(["tc", "qdisc", "show"]);
  const shown = stdout.split("\n").filter((line) => line.includes("clsact"));
  for (const device of devices) {
    for (const direction of ["ingress", "egress"]) {
      const filters = await host.exec(["tc", "filter", "show", "dev", device, direction]);
      const lines = filters.stdout.split("\n").filter((line) => line !== "");
      shown.push(...lines.map((line) => `${device} ${direction}: ${line}`));
    }
  }
  return shown;
}

/**
 * Where fairway's programs are attached, sorted: the pins of their links where TCX is, since Debian's bpftool and tc know nothing of it yet; else
 * what tc shows, without the numbers that a kernel gives anew to a program that is replaced.
 */
async function attachments({ bpffs, host }: Lab): Promise<string[]> {
  if (tcx) return readdirSync(join(bpffs, "fairway", "links")).sort();
  return (await trafficControl(host)).map((line) => line.replace(/ (id|tag) \S+|:\[\d+\]/g, "")).sort();
}

const programs = async () =>
  JSON.parse((await run(["bpftool", "-j", "prog", "show"])).stdout) as { name?: string }[];
const ours = async () =>
  (await programs()).filter(({ name }) => /^(uplink|endpoint)_|^flow_sweep/.test(name ?? ""));

it("attaches its programs as the kernel can", async () => {
  const { lab } = guest;
  const { stdout } = await fairwayCommand(lab, [
    "status",
    "-o",
    "json",
    "--state-dir",
    join(lab.dir, "state"),
  ]);
  const { status } = JSON.parse(stdout) as { status: { attach: string } };
  expect(status.attach).toBe(tcx ? "tcx" : "clsact");
  const shown = await trafficControl(lab.host);
  if (tcx) expect(shown).toEqual([]);
  else {
    for (const name of ["uplink_ingress", "uplink_egress", "endpoint_ingres", "endpoint_egress"]) {
      expect(shown.join("\n")).toContain(name);
    }
  }
});

describe.each(families.map((family) => [family.name, family] as const))("%s", (_, family) => {
  it("published port and masquerade over TCP", async () => {
    const { client, host, internet } = family.addresses;
    await expectGood(guest, { peer: guest.lab.client, peerAddress: client, hostAddress: host });
    await expectGood(guest, { peer: guest.lab.internet, peerAddress: internet, hostAddress: host });
  });

  it("published port over UDP", async () => {
    const { lab, fairway } = guest;
    const taken = await fairway.pathTaken("server", async () => {
      const udp = await lab.client.ask<UdpAnswer>("udp.mjs", [family.addresses.host, port.echo, 200, 1, 60]);
      expect(udp).toMatchObject({ sent: 200, received: 200, errors: [] });
      expect(udp.answers.map(addressOf)).toEqual([family.addresses.client]);
    });
    expect(taken.receive.fast + taken.receive.slow).toBeGreaterThanOrEqual(200);
    expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.95);
  });

  it("masquerade over UDP", async () => {
    const { lab, fairway } = guest;
    const asker = (await lab.engine.container("asker")).namespace;
    const taken = await fairway.pathTaken("asker", async () => {
      const udp = await asker.ask<UdpAnswer>("udp.mjs", [family.addresses.internet, port.echo, 200, 1, 60]);
      expect(udp).toMatchObject({ sent: 200, received: 200, errors: [] });
      expect(udp.answers.map(addressOf)).toEqual([family.addresses.host]);
    });
    expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.95);
  });
});

testUplinks(guest);

/** Downloads by a published port, one for each family. */
function downloads({ client, disposers }: Lab): Promise<Live<StreamAnswer>[]> {
  return Promise.all(
    families.map(({ addresses }) =>
      stream("download", client, { host: addresses.host, port: port.stream }, 200_000, undefined, disposers),
    ),
  );
}

it("a daemon that starts anew goes on with what is attached", async () => {
  const { lab } = guest;
  const running = await downloads(lab);
  const before = await attachments(lab);
  expect(before).not.toEqual([]);
  await guest.fairway.stop();
  await Promise.all(running.map((one) => one.moves()));
  guest.fairway = await lab.fairway();
  await Promise.all(running.map((one) => one.moves()));
  expect(await attachments(lab)).toEqual(before);
  for (const one of running) expect(await one.end()).toMatchObject({ exact: true });
});

it("an uplink that is none any more when a daemon starts loses its programs", async () => {
  const { lab } = guest;
  // Debian's bpftool and tc know nothing of TCX yet: there it is the link's pin.
  const attachedAt = async (device: string) => {
    const [link] = await lab.host.ip<{ ifindex: number }[]>("link", "show", "dev", device);
    if (tcx) return existsSync(join(lab.bpffs, "fairway", "links", `uplink_ingress-${link?.ifindex}`));
    const { stdout } = await lab.host.exec(["tc", "filter", "show", "dev", device, "ingress"]);
    return stdout.includes("uplink_ingress");
  };
  await ip(lab.host, "link", "add", "spare", "type", "veth", "peer", "name", "spare1");
  await ip(lab.host, "address", "add", "198.18.9.1/24", "dev", "spare");
  for (const device of ["spare", "spare1"]) await ip(lab.host, "link", "set", device, "up");
  await until("it is an uplink", () => attachedAt("spare"));
  await guest.fairway.stop();
  guest.fairway = await lab.fairway({ args: ["--uplink", "eth0"] });
  expect(await attachedAt("eth0")).toBe(true);
  expect(await attachedAt("spare")).toBe(false);
  await ip(lab.host, "link", "del", "spare");
});

it("cleanup leaves nothing, and connections go on", async () => {
  const { lab } = guest;
  const running = await downloads(lab);
  expect(await ours()).not.toEqual([]);
  await guest.fairway.stop();
  await guest.fairway.cleanup();
  expect(await trafficControl(lab.host)).toEqual([]);
  expect(existsSync(join(lab.bpffs, "fairway"))).toBe(false);
  await until("no program of fairway's in the kernel", async () => (await ours()).length === 0);
  await Promise.all(running.map((one) => one.moves()));
  for (const one of running) expect(await one.end()).toMatchObject({ exact: true });
  const { client, host } = families[0].addresses;
  expect(await ask(lab.client, host)).toEqual({ echoed: true, source: client });
});
