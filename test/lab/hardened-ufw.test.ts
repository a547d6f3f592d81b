// A host that ufw closes: see hardened.ts.

import { appendFile } from "node:fs/promises";
import { type Hardened, people, sameAsAlone } from "./hardened.js";
import { ufw } from "./hardened-hosts.js";
import { addresses } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const options = { images: ["busybox"], oneEngine: true, fairway: false } as const;
let told: Hardened | undefined;
const firewall = (): Hardened => {
  if (told === undefined) throw new Error("the firewall is not there yet");
  return told;
};

onEveryEngine(
  "a host with ufw",
  {
    ...options,
    before: async (lab) => {
      const { ufw: tool, afterRules } = await ufw(lab);
      await people(lab);
      // As its users have it: by itself published ports go past what ufw routes.
      await appendFile(
        afterRules,
        "*filter\n:ufw-user-forward - [0:0]\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j ufw-user-forward\nCOMMIT\n",
      );
      await tool("allow", "ssh");
      await tool("--force", "enable");
      const deny = ["deny", "from", addresses.client];
      told = {
        deny: () => tool("route", ...deny),
        allow: () => tool("route", "delete", ...deny),
        reload: () => tool("reload"),
      };
    },
  },
  (stage) => sameAsAlone(stage, firewall),
);
