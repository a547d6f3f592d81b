// On a kernel whose conntrack functions don't fit each other the programs make no connection: all of them are the kernel's, untouched.

import { afterAll, beforeEach, expect, test } from "vitest";
import { constants } from "../../src/generated/index.js";
import { Datapath } from "./lib/datapath.js";
import { onBothFamilies } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = new Datapath((object) =>
  object.setConstant("makes_connections", constants.makes_connections.encode(0)),
);
beforeEach(() => datapath.reset(), 60_000);
afterAll(() => datapath.close());

onBothFamilies("where programs can't make connections", datapath, (on) => {
  test("a first packet to a published port is the kernel's", () => {
    const run = on.fromOutside({ flags: tcpFlag.syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(on.conntrack()).toEqual([]);
    expect(on.flows()).toEqual([]);
    expect(datapath.reasons()).toEqual({ conntrack_failed: 1 });
  });

  test("so is one to the outside", () => {
    const run = on.fromWeb({ destination: on.address.internet, destinationPort: 443, flags: tcpFlag.syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(on.conntrack()).toEqual([]);
    expect(datapath.reasons()).toEqual({ conntrack_failed: 1 });
  });
});
