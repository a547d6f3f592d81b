// An engine without docker-proxy: containers reach each other's published ports by NAT, also within one network, where the
// answers are bridged frames that the kernel has to translate back.

import { expect, it } from "vitest";
import { addressOf, type TcpAnswer } from "./answers.js";
import { addresses } from "./lib/index.js";
import { onEveryEngine, type Stage } from "./suite.js";

const before = async ({ lab }: Pick<Stage, "lab">): Promise<void> => {
  await lab.engine.createNetwork("app");
  const server = await lab.engine.run("busybox", { name: "server", network: "app", publish: ["7000:7000"] });
  await lab.engine.run("busybox", { name: "caller", network: "app" });
  const serve = server.namespace.agent("serve.mjs", ["--tcp", 7000], lab.disposers);
  await serve.waitFor(/ready/);
};

onEveryEngine(
  "without docker-proxy",
  { images: ["busybox"], userlandProxy: false, before: (lab) => before({ lab }) },
  (stage) => {
    it("a container reaches a port that another of its network publishes, by the host's address", async () => {
      const { lab, fairway } = stage;
      await fairway.knows("caller", "app");
      await fairway.knows("server", "app");
      const caller = await lab.engine.container("caller");
      const answer = await caller.namespace.ask<TcpAnswer>("tcp.mjs", [addresses.host, 7000, 100_000]);
      expect(answer).toMatchObject({ echoed: true });
      expect(addressOf(answer.source)).toBe(caller.address("app"));
    });

    it("a client outside reaches it on the fast path", async () => {
      const { lab, fairway } = stage;
      const taken = await fairway.pathTaken(
        "server",
        async () => {
          const answer = await lab.client.ask<TcpAnswer>("tcp.mjs", [addresses.host, 7000, 100_000]);
          expect(answer).toMatchObject({ echoed: true });
          expect(addressOf(answer.source)).toBe(addresses.client);
        },
        "app",
      );
      expect(taken.receive.fast).toBeGreaterThan(0);
      expect(taken.transmit.fast).toBeGreaterThan(0);
    });
  },
);
