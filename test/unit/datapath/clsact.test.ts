/** Attaching by clsact, as on kernels without TCX; every kernel has it, so it is tested on this one too. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { expect, test } from "vitest";
import { ClsactAttachments, detachAll } from "../../../src/datapath/links.js";
import { Pins } from "../../../src/datapath/pins.js";
import { type ProgramName, programNames } from "../../../src/generated/index.js";
import { BpfObject, type BpfProgram } from "../../../src/native/index.js";
import { bpffs, closing, enterNewNamespace, ifindexOf, run } from "../native/support.js";

const log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Logger;
const image = readFileSync(new URL("../../../build/fairway.bpf.o", import.meta.url));

/** The built programs, loaded anew: each run of fairway has its own. */
function programs(): Record<ProgramName, BpfProgram> {
  const object = closing(BpfObject.open(image, "fairway"));
  object.load();
  const all = programNames.map((name) => [name, closing(object.program(name))] as const);
  return Object.fromEntries(all) as Record<ProgramName, BpfProgram>;
}

function scene() {
  enterNewNamespace();
  run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
  run("ip", "tuntap", "add", "tun0", "mode", "tun");
  const pins = new Pins(join(bpffs(), "fairway"));
  pins.create();
  return { pins, eth0: ifindexOf("eth0"), tun0: ifindexOf("tun0") };
}

const qdiscs = (device: string) => run("tc", "qdisc", "show", "dev", device);
const filters = (device: string, direction: string) => run("tc", "filter", "show", "dev", device, direction);

test("what a former run attached is known, gets the new programs, and goes when it is not wanted", () => {
  const { pins, eth0, tun0 } = scene();
  const former = new ClsactAttachments(pins, programs());
  const wanted = [
    { program: "uplink_ingress", ifindex: eth0 },
    { program: "uplink_egress", ifindex: eth0 },
    { program: "uplink_ingress_l3", ifindex: tun0 },
    { program: "uplink_egress_l3", ifindex: tun0 },
  ] as const;
  for (const attachment of wanted) expect(former.attach(attachment)).toBe(true);
  former.close();

  const own = programs();
  const now = new ClsactAttachments(pins, own);
  expect(now.list()).toHaveLength(wanted.length);
  expect(now.list()).toEqual(expect.arrayContaining([...wanted]));
  expect(filters("eth0", "ingress")).toContain(` id ${own.uplink_ingress.info.id} `);
  expect(filters("tun0", "egress")).toContain(` id ${own.uplink_egress_l3.info.id} `);

  for (const attachment of wanted.slice(2)) now.detach(attachment);
  expect(now.list()).toHaveLength(2);
  expect(qdiscs("tun0")).not.toContain("clsact");
  expect(filters("eth0", "egress")).toContain("uplink_egress");
});

test("a qdisc of somebody else's, and one that has somebody else's filters by now, stay", () => {
  const { pins, eth0, tun0 } = scene();
  run("tc", "qdisc", "add", "dev", "tun0", "clsact");
  const attachments = new ClsactAttachments(pins, programs());
  attachments.attach({ program: "uplink_egress_l3", ifindex: tun0 });
  attachments.attach({ program: "uplink_egress", ifindex: eth0 });
  run("tc", ..."filter add dev eth0 ingress pref 9 protocol all bpf bytecode".split(" "), "1,6 0 0 0");
  attachments.close();
  expect(detachAll(pins, false, log)).toEqual([`egress-${eth0}`, `egress-${tun0}`]);
  expect([qdiscs("eth0"), qdiscs("tun0")]).toEqual([
    expect.stringContaining("clsact"),
    expect.stringContaining("clsact"),
  ]);
  expect(filters("eth0", "ingress")).toContain("pref 9 bpf");
  expect(filters("eth0", "egress")).toBe("");
});

test("everything is taken off without a trace", () => {
  const { pins, eth0 } = scene();
  const attachments = new ClsactAttachments(pins, programs());
  attachments.attach({ program: "uplink_ingress", ifindex: eth0 });
  attachments.attach({ program: "uplink_egress", ifindex: eth0 });
  // A device that has gone is no reason to keep its mark: the next one with its number is another.
  pins.markQdisc(99_999);
  attachments.list();
  expect(pins.markedQdiscs()).toEqual([eth0]);
  attachments.close();
  expect(detachAll(pins, false, log)).toEqual([`ingress-${eth0}`, `egress-${eth0}`]);
  expect(qdiscs("eth0")).not.toContain("clsact");
  expect(detachAll(pins, false, log)).toEqual([]);
  pins.remove();
  expect(pins.exists()).toBe(false);
});

test("an uplink's and a parent's programs at one device are told apart", () => {
  const { pins, eth0 } = scene();
  const former = new ClsactAttachments(pins, programs());
  const wanted = (["uplink_ingress", "uplink_egress", "parent_ingress", "parent_egress"] as const).map(
    (program) => ({ program, ifindex: eth0 }),
  );
  for (const attachment of wanted) expect(former.attach(attachment)).toBe(true);
  former.close();
  const attachments = new ClsactAttachments(pins, programs());
  expect(attachments.list()).toEqual(expect.arrayContaining(wanted));
  // In this order: the uplink's rewrites what the parent's counts.
  expect(filters("eth0", "ingress")).toMatch(/uplink_ingress[\s\S]*parent_ingress/);
  attachments.detach({ program: "parent_ingress", ifindex: eth0 });
  expect(filters("eth0", "ingress")).toContain("uplink_ingress");
  expect(filters("eth0", "ingress")).not.toContain("parent_ingress");
  attachments.close();
  detachAll(pins, false, log);
  expect(qdiscs("eth0")).not.toContain("clsact");
});
