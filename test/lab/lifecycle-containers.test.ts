// What may become of a container while it lives: another gateway, another name, a pause, another process. After each it is served as
// before, on the fast path, and what is not there any more is not reached.

import { expect, it } from "vitest";
import type { LoadAnswer, SeenAs } from "./answers.js";
import {
  addresses,
  agent,
  fairwayCommand,
  fairwayPlaces,
  fastShare,
  type Namespace,
  run,
  until,
} from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const pages = 40;

onEveryEngine(
  "a container's life",
  {
    images: ["busybox", "nginx"],
    before: async ({ internet, disposers }) => {
      await internet.agent("serve.mjs", ["--http", 8000], disposers).waitFor(/ready/);
    },
  },
  (stage) => {
    const docker = (...args: string[]) => stage.lab.engine.docker(args);
    const load = (port: number, from: Namespace = stage.lab.client) =>
      from.ask<LoadAnswer>("http-load.mjs", [`http://${addresses.host}:${port}/page`, pages, "fresh", 2]);

    /** Waits until a client gets all pages from a published port, by the container's endpoint on this network, and fast. */
    async function isServedFast(name: string, port: number, network: string): Promise<void> {
      let last = "";
      await until(
        `${name} is served on ${network}`,
        async () => {
          let answer: LoadAnswer | undefined;
          const taken = await stage.fairway.pathTaken(
            name,
            async () => {
              answer = await load(port);
            },
            network,
          );
          last = JSON.stringify({ answer, taken });
          return answer?.ok === pages && taken.receive.fast > pages && fastShare(taken) > 0.8;
        },
        { timeout: 30_000 },
      ).catch((error: Error) => expect(last, error.message).toBe("served fast"));
    }

    const isRefused = async (port: number) => (await load(port)).ok === 0;

    it("moves to another gateway with connect, and back with disconnect", async () => {
      const { lab } = stage;
      await lab.engine.createNetwork("middle");
      // Before the other one by name: where both could be the gateway, the engine takes it.
      await lab.engine.createNetwork("before");
      const mover = await lab.engine.run("nginx", { name: "mover", network: "middle", publish: ["7100:80"] });
      await isServedFast("mover", 7100, "middle");
      for (let round = 0; round < 2; round++) {
        await docker("network", "connect", "before", "mover");
        await isServedFast("mover", 7100, "before");
        const [route] = await mover.namespace.ip<{ gateway: string }[]>("route", "show", "default");
        expect(route?.gateway).toBe((await lab.engine.container("mover")).gateway("before"));
        const seen = await mover.namespace.ask<SeenAs>("get.mjs", [`http://${addresses.internet}:8000/`]);
        expect(seen.address).toBe(addresses.host);
        await docker("network", "disconnect", "before", "mover");
        await isServedFast("mover", 7100, "middle");
      }
      // One that is no gateway changes nothing for the outside, and goes again.
      await lab.engine.createNetwork("zone", "--internal");
      await docker("network", "connect", "zone", "mover");
      await stage.fairway.knows("mover", "zone");
      await isServedFast("mover", 7100, "middle");
    });

    it("has another name, and its connections go on", async () => {
      const { lab, fairway } = stage;
      const peer = await lab.engine.run("busybox", { name: "old-name", publish: ["7200:7000"] });
      await peer.namespace.agent("serve.mjs", ["--tcp", 7000], lab.disposers).waitFor(/ready/);
      await fairway.knows("old-name");
      const steady = lab.client.agent("steady.mjs", [addresses.host, 7200], lab.disposers);
      await steady.waitFor(/\.\./);
      await docker("rename", "old-name", "new-name");
      await fairway.knows("new-name");
      const named = async () => (await fairway.metrics()).find("fairway_endpoint_receive_packets_total");
      await until("the old name is forgotten", async () =>
        (await named()).every(({ labels }) => labels.container !== "old-name"),
      );
      const had = steady.stdout.length;
      const taken = await fairway.pathTaken("new-name", () =>
        until("the connection goes on", () => steady.stdout.length > had + 20),
      );
      expect(taken.receive.fast, JSON.stringify(taken)).toBeGreaterThan(10);
      expect(steady.stderr).toBe("");
      await steady.stop();
    });

    it("is paused, answers nobody, and goes on where it was", async () => {
      const { lab } = stage;
      await docker("pause", "mover");
      // Its kernel takes connections, its process answers none.
      const silent = await lab.client.exec(
        [process.execPath, agent("get.mjs"), `http://${addresses.host}:7100/page`],
        { mayFail: true },
      );
      expect([silent.code, silent.stderr]).toEqual([1, "time-out\n"]);
      await docker("unpause", "mover");
      await isServedFast("mover", 7100, "middle");
    });

    it("dies and is started anew by its restart policy: the same container in another namespace", async () => {
      const { lab, fairway } = stage;
      const args = ["--restart", "always"];
      const first = await lab.engine.run("nginx", { name: "phoenix", publish: ["7300:80"], args });
      await isServedFast("phoenix", 7300, "bridge");
      for (let round = 0; round < 2; round++) {
        const { pid } = await lab.engine.container("phoenix");
        await run(["kill", "-9", `${pid}`]);
        await until("it runs again", async () => {
          const now = await lab.engine.container("phoenix");
          return now.pid !== 0 && now.pid !== pid;
        });
        await isServedFast("phoenix", 7300, "bridge");
      }
      expect((await lab.engine.container("phoenix")).id).toBe(first.id);
      const counted = (await fairway.metrics()).find("fairway_endpoint_receive_packets_total", {
        container: "phoenix",
        path: "fast",
      });
      expect(counted, "one endpoint, not one per life").toHaveLength(1);
    });

    it("lends its network to another container, which serves at its published ports", async () => {
      const { lab, fairway } = stage;
      await lab.engine.run("busybox", { name: "lender", publish: ["7400:80"] });
      expect(await isRefused(7400)).toBe(true);
      await lab.engine.run("nginx", { name: "lodger", network: "container:lender" });
      await isServedFast("lender", 7400, "bridge");
      const counted = (await fairway.metrics()).find("fairway_endpoint_receive_packets_total", {
        container: "lodger",
      });
      expect(counted).toEqual([]);
      await lab.engine.remove("lodger");
      expect(await isRefused(7400)).toBe(true);
    });

    it("is on the host's network, or on none: there is nothing to do, and nothing to warn of", async () => {
      const { lab, fairway } = stage;
      await lab.engine.run("nginx", { name: "on-host", network: "host" });
      await lab.engine.run("nginx", { name: "on-none", network: "none" });
      await until("the host serves", async () => (await load(80)).ok === pages);
      await lab.engine.run("busybox", { name: "later" });
      await fairway.knows("later");
      const metrics = await fairway.metrics();
      for (const container of ["on-host", "on-none"])
        expect(metrics.find("fairway_endpoint_receive_packets_total", { container }), container).toEqual([]);
      const { stdout } = await fairwayCommand(lab, ["status", ...fairwayPlaces(lab)]);
      expect(stdout).toMatch(/^warnings +none$/m);
    });

    it("goes with the engine where that does not keep it, and is served again when it is back", async () => {
      const { lab, fairway } = stage;
      await lab.engine.stopDockerd();
      expect(await isRefused(7300)).toBe(true);
      await lab.engine.startDockerd();
      await isServedFast("phoenix", 7300, "bridge");
      // Without a restart policy it stays away, and nothing of it is left.
      const named = async () =>
        new Set(
          (await fairway.metrics())
            .find("fairway_endpoint_receive_packets_total")
            .map(({ labels }) => labels.container),
        );
      await until("only those that run are known", async () => {
        const known = await named();
        return known.size === 1 && known.has("phoenix");
      });
    });

    it("is pruned with its network", async () => {
      const { lab } = stage;
      await docker("start", "mover");
      await isServedFast("mover", 7100, "middle");
      await docker("stop", "-t", "1", "mover");
      await docker("container", "prune", "-f");
      await docker("network", "prune", "-f");
      const { stdout } = await docker("network", "ls", "--format", "{{.Name}}");
      expect(stdout.split("\n")).not.toContain("middle");
      await until("nothing of them is known", async () => {
        const { endpoints } = JSON.parse(
          (await fairwayCommand(lab, ["status", "-o", "json", ...fairwayPlaces(lab)])).stdout,
        ) as { endpoints: { container: string }[] };
        return endpoints.length === 1 && endpoints[0]?.container === "phoenix";
      });
      expect(await isRefused(7100)).toBe(true);
      await isServedFast("phoenix", 7300, "bridge");
    });
  },
);
