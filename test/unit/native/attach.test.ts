import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  BpfLink,
  type BpfMap,
  BpfObject,
  type BpfProgram,
  clsactFilters,
  detachClsact,
  removeClsact,
  supportsTcx,
  tcxPrograms,
} from "../../../src/native/index.js";
import {
  bpffs,
  childEnvironment,
  closing,
  compile,
  enterNewNamespace,
  ifindexOf,
  nativeError,
  newCgroup,
  run,
  u32,
} from "./support.js";

let image: Buffer;
beforeAll(() => {
  image = compile("sample");
});

let object: BpfObject;
let trace: BpfMap;
let lo: number;
beforeEach(() => {
  enterNewNamespace();
  lo = ifindexOf("lo");
  object = closing(BpfObject.open(image, "sample"));
  object.load();
  trace = closing(object.map("trace"));
});

function program(name: string): BpfProgram {
  return closing(object.program(name));
}

/** Sends one packet over lo and returns the numbers of the programs that it met, in order. */
function traced(): number[] {
  for (let index = 0; index < 16; index++) trace.set(u32(index), u32(0));
  // One datagram to a port where nobody listens; the ICMP answer is dropped before it meets the programs.
  run("ip", "route", "replace", "198.18.0.1", "dev", "lo");
  run("bash", "-c", "echo > /dev/udp/198.18.0.1/9");
  const count = trace.get(u32(0))?.readUInt32LE() ?? 0;
  return Array.from({ length: count }, (_, i) => trace.get(u32(i + 1))?.readUInt32LE() ?? -1);
}

describe("tcx", () => {
  test("is supported, by what the kernel says", () => {
    expect(supportsTcx()).toBe(true);
  });

  test("runs the programs in the order asked for", () => {
    const [one, two, three] = [program("tcx_one"), program("tcx_two"), program("tcx_three")];
    closing(one.attachTcx({ ifindex: lo, direction: "ingress" }));
    expect(traced()).toEqual([1]);
    const second = closing(two.attachTcx({ ifindex: lo, direction: "ingress" }));
    expect(traced()).toEqual([1, 2]);
    const third = closing(three.attachTcx({ ifindex: lo, direction: "ingress", position: "first" }));
    expect(traced()).toEqual([3, 1, 2]);
    second.close();
    third.close();
    closing(three.attachTcx({ ifindex: lo, direction: "ingress", position: { after: one.info.id } }));
    closing(two.attachTcx({ ifindex: lo, direction: "ingress", position: { before: three.info.id } }));
    expect(traced()).toEqual([1, 2, 3]);
  });

  test("egress and ingress are different hooks", () => {
    closing(program("tcx_one").attachTcx({ ifindex: lo, direction: "egress" }));
    closing(program("tcx_two").attachTcx({ ifindex: lo, direction: "ingress" }));
    expect(traced()).toEqual([1, 2]);
  });

  test("tells which programs are there, in their order", () => {
    const [one, two, three] = [program("tcx_one"), program("tcx_two"), program("tcx_three")];
    const ids = (direction: "ingress" | "egress") => tcxPrograms({ ifindex: lo, direction });
    expect(ids("egress")).toEqual([]);
    closing(one.attachTcx({ ifindex: lo, direction: "egress" }));
    const second = closing(two.attachTcx({ ifindex: lo, direction: "egress" }));
    closing(three.attachTcx({ ifindex: lo, direction: "egress", position: "first" }));
    expect(ids("egress")).toEqual([three, one, two].map((p) => p.info.id));
    expect(ids("ingress")).toEqual([]);
    second.close();
    expect(ids("egress")).toEqual([three, one].map((p) => p.info.id));
    expect(nativeError(() => tcxPrograms({ ifindex: 99_999, direction: "egress" })).code).toBe("ENODEV");
  });

  test("tells what it is, and detaches", () => {
    const one = program("tcx_one");
    const link = closing(one.attachTcx({ ifindex: lo, direction: "egress" }));
    expect(link.info).toMatchObject({
      type: "tcx",
      programId: one.info.id,
      ifindex: lo,
      attachType: "tcx_egress",
    });
    link.detach();
    expect(link.info.ifindex).toBe(0);
    expect(traced()).toEqual([]);
    link.close();
    link.close();
    expect(nativeError(() => link.info).code).toBe("EBADF");
  });

  test("a pinned link outlives its handle and is updated in place", () => {
    const path = `${bpffs()}/link`;
    const link = closing(program("tcx_one").attachTcx({ ifindex: lo, direction: "ingress" }));
    closing(program("tcx_three").attachTcx({ ifindex: lo, direction: "ingress" }));
    link.pin(path);
    link.close();
    expect(traced()).toEqual([1, 3]);
    const again = closing(BpfLink.openPinned(path));
    again.update(program("tcx_two"));
    expect(again.info.programId).toBe(program("tcx_two").info.id);
    expect(traced()).toEqual([2, 3]);
    again.detach();
    expect(traced()).toEqual([3]);
    expect(nativeError(() => again.update(program("tcx_one"))).code).toBe("ENOLINK");
  });

  test("a link whose device is gone is defunct: ifindex 0", () => {
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
    const link = closing(program("tcx_one").attachTcx({ ifindex: ifindexOf("fwn0"), direction: "ingress" }));
    expect(link.info.ifindex).toBe(ifindexOf("fwn0"));
    run("ip", "link", "delete", "fwn0");
    expect(link.info).toMatchObject({ type: "tcx", ifindex: 0 });
  });

  test("names what is wrong", () => {
    const one = program("tcx_one");
    const attach = () => one.attachTcx({ ifindex: lo, direction: "ingress" });
    closing(attach());
    const twice = nativeError(attach);
    expect(twice).toMatchObject({ code: "EEXIST", operation: "attach tcx", object: "tcx_one" });
    expect(twice.message).toMatch(/at lo, ifindex 1, ingress/);
    expect(nativeError(() => one.attachTcx({ ifindex: 99999, direction: "ingress" })).code).toBe("ENODEV");
    const absent = { ifindex: lo, direction: "egress", position: { before: 0x7fffffff } } as const;
    expect(nativeError(() => one.attachTcx(absent))).toMatchObject({ code: "ENOENT" });
    expect(nativeError(() => program("xdp_pass").attachTcx({ ifindex: lo, direction: "ingress" })).code).toBe(
      "EINVAL",
    );
  });
});

describe("clsact", () => {
  const filter = { direction: "ingress", priority: 7, handle: 3 } as const;

  test("makes the qdisc, replaces its own filter and removes it", () => {
    const classifier = program("classifier");
    const other = program("tcx_one");
    expect(classifier.attachClsact({ ifindex: lo, ...filter })).toBe(true);
    expect(traced()).toEqual([4]);
    expect(other.attachClsact({ ifindex: lo, ...filter })).toBe(false);
    expect(traced()).toEqual([1]);
    classifier.attachClsact({ ifindex: lo, ...filter, priority: 8 });
    expect(traced()).toEqual([1, 4]);
    expect(detachClsact({ ifindex: lo, ...filter })).toBe(true);
    expect(traced()).toEqual([4]);
    expect(detachClsact({ ifindex: lo, ...filter })).toBe(false);
    expect(detachClsact({ ifindex: lo, ...filter, direction: "egress" })).toBe(false);
    expect(run("tc", "filter", "show", "dev", "lo", "ingress")).toMatch(/pref 8 .*classifier.*direct-action/);
  });

  test("tells every filter of a direction, and removes the qdisc with all of them", () => {
    const classifier = program("classifier");
    classifier.attachClsact({ ifindex: lo, ...filter });
    // Another's, of another kind: classic bytecode.
    run("tc", ..."filter add dev lo ingress pref 9 protocol all bpf bytecode".split(" "), "1,6 0 0 0");
    expect(clsactFilters({ ifindex: lo, direction: "ingress" })).toEqual([
      { kind: "bpf", priority: 7, handle: 3, programId: classifier.info.id },
      { kind: "bpf", priority: 9, handle: 1 },
    ]);
    expect(clsactFilters({ ifindex: lo, direction: "egress" })).toEqual([]);
    expect(removeClsact(lo)).toBe(true);
    expect(run("tc", "qdisc", "show", "dev", "lo")).not.toContain("clsact");
    expect(removeClsact(lo)).toBe(false);
  });

  test("there is nothing to detach without a qdisc or a device", () => {
    expect(clsactFilters({ ifindex: lo, direction: "ingress" })).toEqual([]);
    expect(clsactFilters({ ifindex: 99999, direction: "ingress" })).toEqual([]);
    expect(removeClsact(99999)).toBe(false);
    expect(detachClsact({ ifindex: lo, ...filter })).toBe(false);
    expect(detachClsact({ ifindex: 99999, ...filter })).toBe(false);
  });

  test("names what is wrong", () => {
    const error = nativeError(() => program("classifier").attachClsact({ ifindex: 99999, ...filter }));
    expect(error.code).toBe("ENODEV");
    expect(error.message).toMatch(/classifier.*ifindex 99999/);
  });
});

describe("xdp", () => {
  test("native on a veth, generic on lo, and the mode is told", () => {
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
    const veth = ifindexOf("fwn0");
    const xdp = program("xdp_pass");
    const native = xdp.attachXdp({ ifindex: veth, mode: "auto" });
    closing(native.link);
    expect(native.mode).toBe("native");
    expect(native.link.info).toMatchObject({ type: "xdp", ifindex: veth, programId: xdp.info.id });
    expect(run("ip", "link", "show", "fwn0")).toMatch(/ xdp /);

    const generic = xdp.attachXdp({ ifindex: lo, mode: "auto" });
    closing(generic.link);
    expect(generic.mode).toBe("generic");
    expect(run("ip", "link", "show", "lo")).toMatch(/ xdpgeneric /);
    expect(traced()).toEqual([5]);
  });

  test("asked for native where there is none fails; a second program is EBUSY", () => {
    const xdp = program("xdp_pass");
    expect(nativeError(() => xdp.attachXdp({ ifindex: lo, mode: "native" })).code).toBe("EOPNOTSUPP");
    const { link, mode } = xdp.attachXdp({ ifindex: lo, mode: "generic" });
    closing(link);
    expect(mode).toBe("generic");
    expect(nativeError(() => xdp.attachXdp({ ifindex: lo, mode: "generic" }))).toMatchObject({
      code: "EBUSY",
      operation: "attach xdp",
    });
    // So says the kernel, of XDP links alone, when there is no such device.
    expect(nativeError(() => xdp.attachXdp({ ifindex: 99999, mode: "auto" })).code).toBe("EINVAL");
  });
});

describe("cgroup", () => {
  /** How a connect() from within the cgroup to a port of lo, where nobody listens, fails. */
  function connect(cgroup: string, port: number): string {
    const script = `echo $$ > ${cgroup}/cgroup.procs && exec 3<>/dev/tcp/127.0.0.1/${port}`;
    return spawnSync("bash", ["-c", script], { encoding: "utf8", env: childEnvironment }).stderr;
  }

  test.each(["inet4_connect", "cgroup_inet4_connect"])("attaches as %s", (type) => {
    const cgroup = newCgroup();
    expect(connect(cgroup, 9)).toMatch(/Connection refused/);
    const link = closing(program("refuse").attachCgroup({ path: cgroup, type }));
    expect(link.info).toMatchObject({ type: "cgroup", attachType: "cgroup_inet4_connect" });
    expect(connect(cgroup, 9)).toMatch(/Operation not permitted/);
    expect(connect(cgroup, 10)).toMatch(/Connection refused/);
    link.detach();
    expect(connect(cgroup, 9)).toMatch(/Connection refused/);
  });

  test("names what is wrong", () => {
    const refuse = program("refuse");
    const type = "inet4_connect";
    expect(nativeError(() => refuse.attachCgroup({ path: "/nonexistent", type }))).toMatchObject({
      code: "ENOENT",
      operation: "attach cgroup",
      object: "refuse",
    });
    expect(nativeError(() => refuse.attachCgroup({ path: "/tmp", type })).code).toBe("EBADF");
    const cgroup = newCgroup();
    expect(nativeError(() => refuse.attachCgroup({ path: cgroup, type: "disconnect" })).message).toMatch(
      /no such attach type: disconnect/,
    );
    expect(nativeError(() => refuse.attachCgroup({ path: cgroup, type: "inet6_connect" })).code).toBe(
      "EINVAL",
    );
  });
});

test("an unpinned link is gone with its handle; what is no link does not open as one", () => {
  const directory = bpffs();
  trace.pin(`${directory}/map`);
  expect(nativeError(() => BpfLink.openPinned(`${directory}/map`)).message).toMatch(/another kind of object/);
  writeFileSync("/tmp/fwn-plain", "");
  expect(nativeError(() => BpfLink.openPinned("/tmp/fwn-plain")).object).toBe("/tmp/fwn-plain");
  run("rm", "/tmp/fwn-plain");
  expect(existsSync(`${directory}/link`)).toBe(false);
  program("tcx_one").attachTcx({ ifindex: lo, direction: "ingress" }).close();
  expect(traced()).toEqual([]);
});
