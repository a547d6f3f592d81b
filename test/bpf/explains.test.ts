// Programs that are loaded to tell what would become of a packet do with it what the others do, and leave conntrack as it is.

import { afterAll, beforeEach, expect, test } from "vitest";
import { setConstants } from "../../src/datapath/object.js";
import { FlowOrigin } from "../../src/generated/types.js";
import { assured, seenReply, timeouts } from "./lib/conntrack.js";
import { Datapath } from "./lib/datapath.js";
import { onBothFamilies } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = new Datapath((object) => setConstants(object, { explains: 1 }));
beforeEach(() => datapath.reset(), 60_000);
afterAll(() => datapath.close());
const { syn, ack, fin } = tcpFlag;

onBothFamilies("a packet that is explained", datapath, (on) => {
  const seconds = () => on.conntrack()[0]?.timeout ?? -1;
  const status = () => (on.conntrack()[0]?.status ?? 0) & (seenReply | assured);

  test.each([
    ["to a published port", () => on.fromOutside({ flags: syn })],
    ["to the outside", () => on.fromWeb({ flags: syn })],
  ])("%s is sent on, and its connection is gone after a second", async (_, send) => {
    const run = send();
    expect(run.verdict).toBe("redirect");
    expect(run.bytes).not.toEqual(run.before);
    expect(on.flows().map(({ flow }) => flow.origin)).toEqual([FlowOrigin.MADE, FlowOrigin.MADE]);
    expect(seconds()).toBeLessThanOrEqual(1);
    expect(on.conntrack()).toHaveLength(1);
    await expect.poll(() => on.conntrack(), { timeout: 10_000 }).toEqual([]);
  });

  test("of a connection that is there changes neither its state nor its time", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: syn | ack }));
    on.fromOutside({ flags: ack });
    on.fromOutside({ flags: fin | ack });
    expect(status()).toBe(0);
    expect(seconds()).toBeLessThanOrEqual(1);
    expect(timeouts.synReceived).toBeGreaterThan(1);
  });
});
