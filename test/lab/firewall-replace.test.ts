// Mode replace: rules of the user's hold beside fairway's own table, whatever tool they were written with.

import { expect, it } from "vitest";
import { connect, expectRefused, expectStopped, serve } from "./firewall-holds.js";
import { addresses, type Lab, until } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const nft = (lab: Lab, command: string) => lab.host.exec(["nft", command]);
const iptables = (lab: Lab, ...args: string[]) => lab.host.exec(["iptables", ...args]);

/** A table of the user's own, as in /etc/nftables.conf. */
const table = `table inet mine {
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr ${addresses.client} drop
  }
}`;
const refused = ["FORWARD", "-s", addresses.client, "-j", "DROP"];

onEveryEngine(
  "rules of the user's in mode replace",
  {
    images: ["busybox"],
    userlandProxy: false,
    daemonJson: { iptables: false, ip6tables: false },
    before: async (lab) => {
      await serve(lab);
      await nft(lab, table);
    },
    args: ["--mode", "replace"],
  },
  (stage) => {
    it("hold from the first packet: the client is refused, others are served, and fast once established", async () => {
      const { lab, fairway } = stage;
      await fairway.knows("echo");
      await expectRefused(lab, fairway);
      expect(fairway.log).toContain(
        "a rule of yours may concern them (nftables: table inet mine, chain forward)",
      );
    });

    it("are gone when they are removed, and hold when iptables writes them", async () => {
      const { lab } = stage;
      await nft(lab, "delete table inet mine");
      await until("it is served", async () => (await connect(lab, "client")).echoed === true);
      await iptables(lab, "-I", ...refused);
      await until("it is refused", async () => (await connect(lab, "client")).error === "TIMEOUT");
      expect(await connect(lab, "neighbour")).toMatchObject({ echoed: true });
      await iptables(lab, "-D", ...refused);
      await until("it is served", async () => (await connect(lab, "client")).echoed === true);
    });

    it("stop within a second what is open when they are added, and let it go on when they are removed", async () => {
      const { lab, kind } = stage;
      const ms = await expectStopped(
        lab,
        () => nft(lab, table),
        () => nft(lab, "delete table inet mine"),
      );
      console.info(`engine ${kind}, mode replace: a rule of nft's stopped an open transfer after ${ms} ms`);
    });
  },
);
