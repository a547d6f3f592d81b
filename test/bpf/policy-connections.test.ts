/** Lists hold for connections that a container's own packets open or keep open: those are no way past them. */
import { expect, test } from "vitest";
import { type Control, PolicyFlags, SLOT_NONE, SourceVerdict } from "../../src/generated/types.js";
import { trackByKernel } from "./lib/conntrack.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { type FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { syn, ack } = tcpFlag;

/** Puts one address on the host's deny list, as a daemon's change does: open connections are judged anew. */
function deny(on: FamilyDatapath, network: string): void {
  const prefixLength = 32 + (on.family === 4 ? 32 : 128);
  datapath.write(on.mapName("sources"), { prefixLength, list: 0, network }, SourceVerdict.DENIED);
  const control = datapath.read<Control>("control", 0);
  datapath.write("control", 0, { ...control, epoch: control.epoch + 1, policy: PolicyFlags.SOURCES });
}

onBothFamilies("a source that is denied", datapath, (on) => {
  const { address } = on;
  const toPort = {
    protocol: "tcp",
    from: { address: address.client, port: 40000 },
    to: { address: address.host, port: published.tcp },
    toAs: { address: address.web, port: 80 },
  } as const;

  test("stays out of a connection of the fast path's that the container goes on answering", () => {
    on.handshake();
    deny(on, address.client);
    expect(on.fromOutside({ flags: ack }).verdict).toBe("drop");
    expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("redirect");
    expect(on.fromOutside({ flags: ack }).verdict).toBe("drop");
    expect(datapath.reasons("drop")).toEqual({ source_denied: 2 });
  });

  test("stays out of a connection of the kernel's that the container goes on answering", () => {
    trackByKernel(toPort);
    deny(on, address.client);
    expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("redirect");
    expect(on.fromOutside({ flags: ack }).verdict).toBe("drop");
  });

  test.each(["tcp", "udp"] as const)("can't answer %s that the container sends", (protocol) => {
    deny(on, address.internet);
    expect(on.fromWeb({ protocol, flags: syn }).verdict).toBe("redirect");
    expect(on.fromOutside(on.answer({ protocol, flags: syn | ack })).verdict).toBe("drop");
    expect(datapath.reasonEntries().filter(({ key }) => key.slot === SLOT_NONE)).toHaveLength(1);
  });

  test("does not hold up others: an answer that has come past the list opens its direction", () => {
    deny(on, address.client);
    expect(on.fromWeb({ flags: syn }).verdict).toBe("redirect");
    expect(on.flows()).toHaveLength(1);
    expect(on.fromOutside(on.answer({ flags: syn | ack })).verdict).toBe("redirect");
    expect(on.fromWeb({ flags: ack }).verdict).toBe("redirect");
    expect(on.fromOutside(on.answer({ flags: ack })).verdict).toBe("redirect");
    expect(on.flows()).toHaveLength(2);
    expect(datapath.counters(slot.web).receive.slow.packets).toBe(0);
  });
});
