/** What parents listen for, in a namespace of the test's own; and what they announce. */
import { expect, test } from "vitest";
import { applyListened, removeListened, wantedListened } from "../../../src/parents/announced.js";
import { announcement } from "../../../src/parents/announcement.js";
import { enterNewNamespace, run } from "../native/support.js";

test("a parent joins the groups of its announced containers, and leaves them; nobody else's are touched", async () => {
  enterNewNamespace();
  run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
  run("ip", "link", "set", "eth0", "up");
  run("ip", "-6", "neigh", "add", "proxy", "2001:db8::99", "dev", "eth0");
  const groups = () => run("ip", "-6", "maddress", "show", "dev", "eth0");
  const [one, two] = ["2001:db8::a", "2001:db8::b"].map((address) => ({ address, device: "eth0" })) as [
    Parameters<typeof applyListened>[0][0],
    Parameters<typeof applyListened>[0][0],
  ];
  await applyListened([one, two]);
  await applyListened([one, two]);
  expect(groups()).toMatch(/ff02::1:ff00:a\b/);
  expect(groups()).toMatch(/ff02::1:ff00:b\b/);
  await applyListened([two]);
  expect(groups()).not.toMatch(/ff02::1:ff00:a\b/);
  expect(await removeListened()).toEqual(["2001:db8::b dev eth0"]);
  expect(groups()).not.toMatch(/ff02::1:ff00:b\b/);
  expect(run("ip", "-6", "neigh", "show", "proxy")).toContain("2001:db8::99");
});

test("ARP is heard by all: only IPv6 needs it", () => {
  const parents = [{ name: "eth0", announced: ["198.18.0.70", "2001:db8::70"] }];
  expect(wantedListened(parents)).toEqual([{ address: "2001:db8::70", device: "eth0" }]);
});

test("an IPv4 address is announced by a gratuitous request", () => {
  const mac = Uint8Array.from([2, 0, 0, 0, 0, 1]);
  expect(announcement("198.18.0.70", mac).toString("hex")).toBe(
    "ffffffffffff0200000000010806000108000604000102000000" + "0001c6120046000000000000c6120046",
  );
});

test("an IPv6 address by an unsolicited advertisement to all nodes", () => {
  const mac = Uint8Array.from([2, 0, 0, 0, 0, 1]);
  const frame = announcement("2001:db8::70", mac);
  expect(frame.subarray(0, 14).toString("hex")).toBe("33330000000102000000000186dd");
  expect(frame.subarray(54, 56).toString("hex")).toBe("8800");
  expect(frame.subarray(58).toString("hex")).toBe(
    "2000000020010db8000000000000000000000070" + "0201020000000001",
  );
  // By hand: the ones' complement sum of pseudo header and message, checksum included, is all ones.
  const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, 0, 0, 32, 0, 0, 0, 58])]);
  const words = Buffer.concat([pseudo, frame.subarray(54)]);
  let sum = 0;
  for (let at = 0; at < words.length; at += 2) sum += words.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  expect(sum).toBe(0xffff);
});
