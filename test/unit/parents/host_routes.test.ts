/** The host's routes to containers on parents, in a namespace of the test's own. */
import { expect, test } from "vitest";
import { applyHostRoutes, listHostRoutes, removeHostRoutes } from "../../../src/parents/host_routes.js";
import { removeUntracked, UntrackedTable } from "../../../src/parents/untracked.js";
import { enterNewNamespace, ifindexOf, run } from "../native/support.js";

function scene(): number {
  enterNewNamespace();
  run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
  for (const device of ["eth0", "eth0p"]) run("ip", "link", "set", device, "up");
  run("ip", "address", "add", "198.18.0.2/24", "dev", "eth0");
  return ifindexOf("eth0");
}

const shown = (family: "-4" | "-6") => run("ip", family, "route", "show", "dev", "eth0");

test("come and go as planned, and nobody else's does", async () => {
  const ifindex = scene();
  run("ip", "route", "add", "192.168.9.0/24", "dev", "eth0");
  const [four, six] = ["192.168.0.0/24", "2001:db8:a0::/64"].map((destination) => ({
    destination,
    ifindex,
    device: "eth0",
  })) as [Parameters<typeof applyHostRoutes>[0][0], Parameters<typeof applyHostRoutes>[0][0]];
  const before = [shown("-4"), shown("-6")];
  expect(await applyHostRoutes([four, six])).toEqual({ added: 2, removed: 0 });
  expect(await applyHostRoutes([four, six])).toEqual({ added: 0, removed: 0 });
  expect(shown("-4")).toContain("192.168.0.0/24 proto 250 scope link metric 4250");
  expect(shown("-6")).toContain("2001:db8:a0::/64 proto 250 metric 4250");
  expect(await applyHostRoutes([six])).toEqual({ added: 0, removed: 1 });
  expect(listHostRoutes()).toEqual([six]);
  expect(await removeHostRoutes()).toEqual(["2001:db8:a0::/64 dev eth0"]);
  expect([shown("-4"), shown("-6")]).toEqual(before);
});

test("one that is for a parent's own containers comes after the host's way, and is told from it", async () => {
  const ifindex = scene();
  run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p");
  for (const device of ["eth1", "eth1p"]) run("ip", "link", "set", device, "up");
  const own = { destination: "192.168.0.0/24", ifindex, device: "eth0" };
  const other = { destination: "192.168.0.0/24", ifindex: ifindexOf("eth1"), device: "eth1", through: true };
  expect(await applyHostRoutes([own, other])).toEqual({ added: 2, removed: 0 });
  expect(run("ip", "route", "get", "192.168.0.1")).toContain("dev eth0");
  expect(run("ip", "route", "get", "192.168.0.1", "oif", "eth1")).toContain("dev eth1");
  expect(await applyHostRoutes([own, other])).toEqual({ added: 0, removed: 0 });
  expect(await applyHostRoutes([own])).toEqual({ added: 0, removed: 1 });
  expect(listHostRoutes()).toEqual([own]);
});

test("the rules that keep conntrack out are there while they are needed", async () => {
  const ifindex = scene();
  const table = new UntrackedTable();
  await table.apply([
    { ifindex, name: "eth0", untracked: ["192.168.0.10", "2001:db8:a0::10"], announced: [] },
  ]);
  const listed = run("nft", "list", "table", "inet", "fairway_parents");
  expect(listed).toContain('"eth0" . 192.168.0.10');
  expect(listed).toContain("oifname . ip6 saddr @ipv6 notrack");
  await table.apply([{ ifindex, name: "eth0", untracked: [], announced: [] }]);
  expect(run("nft", "list", "tables")).toBe("");
  expect(await removeUntracked()).toEqual([]);
});
