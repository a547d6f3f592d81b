/** What BPF_PROG_TEST_RUN can't show of parents: what their programs turn back meets an uplink's programs, where the parent is one. */
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Control, PolicyFlags, SourceVerdict } from "../../src/generated/types.js";
import { type Address, FAMILIES, parseAddress } from "../../src/ip.js";
import { useDatapath } from "./lib/datapath.js";
import { addresses, ip, mac } from "./lib/host.js";
import { attached, sendOutside } from "./lib/live.js";
import { frame } from "./lib/packet.js";
import { OnParent } from "./lib/parent.js";

const datapath = useDatapath();
const { device } = datapath;

/** Sends a frame by uplink0, as a container's device on it does. */
const sendByUplink = (bytes: Uint8Array) =>
  execFileSync("socat", ["-u", "STDIN", "INTERFACE:uplink0"], {
    input: bytes,
    stdio: ["pipe", "ignore", "pipe"],
  });

describe.each(FAMILIES.map((family) => [family, new OnParent(datapath, family)] as const))(
  "IPv%i",
  (family, on) => {
    const { host } = on.address;
    const { one } = on.child;
    let socket: Socket;
    let heard: string[];

    beforeEach(async () => {
      on.put();
      heard = [];
      socket = createSocket(`udp${family}`);
      socket.on("message", (data, { address }) => heard.push(`${data} from ${address}`));
      socket.bind(7000, host);
      await once(socket, "listening");
    });
    afterEach(() => socket.close());

    const said = (text: string) =>
      frame({
        sourceMac: mac.uplink,
        destinationMac: mac.outside,
        source: one,
        sourcePort: 50000,
        destination: host,
        destinationPort: 7000,
        protocol: "udp",
        payload: Buffer.from(text),
      });

    test("a container's packet to the host is not judged by the lists for what comes from outside", async () => {
      const prefixLength = 32 + (family === 4 ? 32 : 128);
      datapath.write(on.mapName("sources"), { prefixLength, list: 0, network: one }, SourceVerdict.DENIED);
      const control = datapath.read<Control>("control", 0);
      datapath.write("control", 0, { ...control, policy: PolicyFlags.SOURCES });
      await attached(
        datapath,
        [
          ["uplink_ingress", device.uplink0, "ingress"],
          ["parent_egress", device.uplink0, "egress"],
        ],
        async () => {
          // Whoever has its address outside is.
          const outside = said("outside");
          Buffer.from((mac.uplink + mac.outside).replaceAll(":", ""), "hex").copy(outside);
          sendOutside(outside);
          await vi.waitFor(() => expect(datapath.reasons("drop")).toEqual({ source_denied: 1 }), {
            timeout: 3000,
          });
          sendByUplink(said("inside"));
          await vi.waitFor(() => expect(heard).toEqual([`inside from ${one}`]), { timeout: 3000 });
        },
      );
      expect(datapath.reasons("drop")).toEqual({ source_denied: 1 });
    });
  },
);

/*
 * ipvlan in its routed modes takes what is for the host's address to be on the parent's link, where the parent has not got it, and has the
 * host look for itself there.
 */
describe("the host that looks for an address of its own by a parent", () => {
  const { host, hostSecond } = addresses[4];
  const request = (sender: Address, target: Address) => {
    const bytes = (address: Address) => Buffer.from(parseAddress(address) ?? []);
    return Buffer.concat([
      Buffer.from(`ffffffffffff${mac.uplink}0806`.replaceAll(":", ""), "hex"),
      Buffer.from([0, 1, 8, 0, 6, 4, 0, 1]),
      Buffer.from(mac.uplink.replaceAll(":", ""), "hex"),
      bytes(sender),
      Buffer.alloc(6),
      bytes(target),
    ]);
  };
  const known = () => execFileSync("ip", ["neigh", "show", "to", host, "dev", "uplink0"]).toString();
  afterEach(() => ip(`neigh del ${host} dev uplink0`));

  test.each([
    ["the same", host],
    ["another", hostSecond],
  ])("under %s is told the parent's MAC", async (_, sender) => {
    ip(`neigh replace ${host} lladdr 02:00:00:00:00:99 dev uplink0 nud stale`);
    // The kernel believes nothing else for a second.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await attached(datapath, [["parent_egress", device.uplink0, "egress"]], async () => {
      sendByUplink(request(sender, host));
      await vi.waitFor(() => expect(known()).toContain(mac.uplink), { timeout: 3000 });
    });
  });

  test("may have announced it: that goes on as it is", () => {
    ip(`neigh replace ${host} lladdr 02:00:00:00:00:99 dev uplink0 nud stale`);
    const { verdict, bytes, before } = datapath.run("parent_egress", "uplink0", request(host, host), {
      arrivedBy: null,
    });
    expect(verdict).toBe("next");
    expect(bytes).toEqual(before);
  });
});
