// A host that firewalld closes: see hardened.ts.

import { expect } from "vitest";
import { type Hardened, people, sameAsAlone } from "./hardened.js";
import { firewalld, type Tool } from "./hardened-hosts.js";
import { addresses } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const options = { images: ["busybox"], oneEngine: true, fairway: false } as const;
let told: Hardened | undefined;
const firewall = (): Hardened => {
  if (told === undefined) throw new Error("the firewall is not there yet");
  return told;
};

onEveryEngine(
  "a host with firewalld",
  {
    ...options,
    before: async (lab) => {
      const { firewallCmd, bus } = await firewalld(lab);
      await lab.engine.stopDockerd();
      await lab.engine.startDockerd(bus);
      await people(lab);
      expect((await firewallCmd("--get-zones")).stdout).toContain("docker");
      // Or it could not write the rule again before the engine has made the chain again.
      await firewallCmd("--permanent", "--direct", "--add-chain", "ipv4", "filter", "DOCKER-USER");
      const rule = ["ipv4", "filter", "DOCKER-USER", "0", "-s", addresses.client, "-j", "DROP"];
      const both = (tell: Tool, what: string) =>
        Promise.all([tell("--direct", what, ...rule), tell("--permanent", "--direct", what, ...rule)]);
      told = {
        deny: () => both(firewallCmd, "--add-rule"),
        allow: () => both(firewallCmd, "--remove-rule"),
        reload: () => firewallCmd("--reload"),
      };
    },
  },
  (stage) => sameAsAlone(stage, firewall),
);
