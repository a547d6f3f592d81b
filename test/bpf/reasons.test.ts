/** Every reason that a program can give, given once. What leads to each in detail is in the file of its behaviour. */
import { afterAll, describe, expect, test } from "vitest";
import { EndpointIpFlags, ReasonName } from "../../src/generated/types.js";
import { withoutLru } from "./lib/btf.js";
import { trackByKernel } from "./lib/conntrack.js";
import { Datapath, type Run, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies, secondsBefore } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { etherType, moreFragments, protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack } = tcpFlag;

/**
 * Given elsewhere: by the policy (policy.test.ts, xdp.test.ts), where it takes a device (live.test.ts), and between networks on parents
 * (parents-routed.test.ts).
 */
const elsewhere = [
  ...["bad_header", "martian", "source_denied", "port_denied", "limited", "rewrite_failed"],
  "unreachable",
];
/** flow_table_full takes a table that can be full. */
const ofFullTable = "flow_table_full";

/** What leads to each reason but those, and the packet. */
function provocations(on: FamilyDatapath): Record<string, () => Run> {
  const { address } = on;
  const filtered = (): void => on.changeWeb({ flags: EndpointIpFlags.MASQUERADE | EndpointIpFlags.FILTERED });
  const toDb = { destinationMac: mac.db, destination: address.db };
  return {
    not_ip: () => on.fromWeb({ etherType: etherType.arp }),
    malformed: () => on.fromWeb({ dataOffset: 4 }),
    ip_options: () =>
      on.fromWeb(
        on.family === 4
          ? { ipOptions: Buffer.from("94040000", "hex") }
          : { extensions: [protocolNumber.destinationOptions] },
      ),
    fragment: () => on.fromWeb({ fragment: moreFragments }),
    not_tcp_udp: () => on.fromWeb({ protocol: "icmp" }),
    ttl_expired: () => on.fromWeb({ flags: syn, ttl: 1 }),
    no_flow: () => on.fromWeb({ flags: ack }),
    to_host: () => on.fromWeb({ flags: syn, destination: address.host }),
    not_unicast: () =>
      on.fromWeb({ protocol: "udp", destination: on.family === 4 ? "224.0.0.251" : "ff0e::fb" }),
    foreign_source: () => on.fromWeb({ flags: syn, source: address.stranger }),
    unknown_mac: () => on.fromWeb({ ...toDb, destinationMac: mac.outside }),
    bridge_policy: () => {
      datapath.putEndpoint(slot.web, { flags: 0 });
      return on.fromWeb(toDb);
    },
    no_masquerade: () => {
      on.changeWeb({ flags: 0 });
      return on.fromWeb({ flags: syn });
    },
    no_route: () => {
      datapath.remove("uplinks", device.uplink0);
      return on.fromWeb({ flags: syn });
    },
    too_big: () => {
      on.handshake();
      return on.fromOutside({ flags: ack, payload: Buffer.alloc(1500) });
    },
    conntrack_state: () => {
      trackByKernel({
        protocol: "tcp",
        from: { address: address.web, port: 50000 },
        to: { address: address.internet, port: 443 },
        fromAs: { address: address.host, port: 61000 },
        state: "finWait",
      });
      return on.fromWeb({ flags: ack });
    },
    conntrack_failed: () => {
      // The tuple of the answer is taken.
      on.fromWeb(on.reply({ flags: syn }));
      return on.fromOutside({ flags: syn });
    },
    stale_flow: () => {
      on.fromOutside({ flags: syn });
      datapath.clearSlot(slot.web);
      return on.fromOutside({ flags: ack });
    },
    anchor: () => {
      on.handshake();
      for (const { key, flow } of on.flows()) on.changeFlow(key, { created: secondsBefore(flow.created, 2) });
      return on.fromOutside({ flags: ack });
    },
    endpoint_unknown: () => {
      datapath.remove("endpoint_devices", device.web0);
      return on.fromWeb({ flags: syn });
    },
    no_neighbour: () => on.fromWeb({ flags: syn, destination: address.unheard }),
    asymmetric_route: () => {
      datapath.putUplink("uplink1");
      return on.fromOutside({ flags: syn, source: address.behindUplink1 });
    },
    filtered: () => {
      filtered();
      return on.fromWeb({ flags: syn });
    },
    from_host: () => on.toWeb({}, { arrivedBy: null }),
    tcp_control: () => {
      filtered();
      trackByKernel({
        protocol: "tcp",
        from: { address: address.client, port: 40000 },
        to: { address: address.host, port: 8080 },
        toAs: { address: address.web, port: 80 },
      });
      on.toWeb({});
      return on.fromOutside({ flags: syn });
    },
  };
}

onBothFamilies("a packet that is not fast says why", datapath, (on) => {
  const given = provocations(on);

  test.each(Object.keys(given))("%s", (reason) => {
    const run = given[reason]?.();
    expect(run?.verdict).toBe("next");
    expect(run?.bytes).toEqual(run?.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
    expect(datapath.reasons("drop")).toEqual({});
  });
});

describe("a flow table that takes no more entries", () => {
  const full = new Datapath((object) => {
    object.setMaxEntries("flows_ipv4", 1);
    object.setMaxEntries("flows_ipv6", 1);
  }, withoutLru());
  afterAll(() => full.close());

  test.each([4, 6] as const)("IPv%i: flow_table_full, and the connection is the kernel's", (family) => {
    const on = new FamilyDatapath(full, family);
    for (const open of [() => on.fromOutside({ flags: syn }), () => on.fromWeb({ flags: syn })]) {
      full.reset();
      const run = open();
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(full.reasons()).toEqual({ [ofFullTable]: 1 });
      expect(full.flowTableCounters(family)).toEqual({ inserted: 1, deleted: 0 });
      // With the rewrite that the kernel will do.
      expect(on.conntrack()).toHaveLength(1);
    }
  });
});

test("no reason is missing here", () => {
  const known = Object.values(ReasonName).filter((name) => name !== "none" && name !== "max");
  const given = Object.keys(provocations(new FamilyDatapath(datapath, 4)));
  expect([...given, ofFullTable, ...elsewhere].sort()).toEqual(known.sort());
});
