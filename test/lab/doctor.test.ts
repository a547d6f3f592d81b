// fairway doctor beside a real engine: in both modes, with what it says to do done to the letter, and with the engine stopped.

import { expect, it } from "vitest";
import { cableToLan } from "./cables.js";
import { type Fairway, fairwayCommand, fairwayPlaces, type Lab } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

interface Report {
  readonly mode: string;
  readonly findings: readonly {
    check: string;
    result: string;
    what: string;
    why?: string;
    remedy?: string;
  }[];
}

async function doctor({ lab }: { readonly lab: Lab }, ...args: string[]) {
  const command = ["doctor", "--docker-host", lab.engine.url, ...fairwayPlaces(lab), "-o", "json", ...args];
  const { code, stdout, stderr } = await fairwayCommand(lab, command, { mayFail: true });
  const { mode, findings } = JSON.parse(stdout) as Report;
  const failed = findings.filter(({ result }) => result === "failure");
  expect(stderr.includes(`${failed.length} of ${findings.length} checks failed`)).toBe(failed.length > 0);
  expect(code).toBe(failed.length > 0 ? 1 : 0);
  return { mode, findings, notOk: findings.filter(({ result }) => result !== "ok") };
}

const told = (remedy = "") => remedy.slice(remedy.indexOf("\n") + 1);

onEveryEngine("fairway doctor", { images: ["busybox"], oneEngine: true, fairway: false }, (stage) => {
  let fairway: Fairway;

  it("finds nothing wrong beside a stock engine, before fairway runs and while it does", async () => {
    await stage.lab.engine.run("busybox", { name: "one" });
    expect((await doctor(stage)).notOk).toEqual([]);
    fairway = await stage.lab.fairway();
    const { findings, notOk } = await doctor(stage);
    expect(notOk).toEqual([]);
    expect(findings).toContainEqual({ check: "uplinks", result: "ok", what: "eth0" });
    const running = findings.find(({ check }) => check === "fairway");
    expect(running?.what).toMatch(/^pid \d+, ready, mode accelerate, 0 warnings$/);
  });

  it("finds a rule of the user's, a program of somebody else's and a sysctl that was set back", async () => {
    const { lab } = stage;
    const rule = ["DOCKER-USER", "-s", "198.18.7.7/32", "-j", "DROP"];
    await lab.host.exec(["iptables", "-I", ...rule]);
    await lab.host.exec(["tc", "qdisc", "add", "dev", "eth0", "clsact"]);
    // Classic BPF that matches nothing.
    const filter = ["protocol", "all", "prio", "7", "bpf", "bytecode", "1,6 0 0 0"];
    await lab.host.exec(["tc", "filter", "add", "dev", "eth0", "ingress", ...filter]);
    await lab.host.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 0);
    const { notOk } = await doctor(stage);
    // Whether bridged packets meet such a rule is the host's matter (br_netfilter).
    expect(notOk.filter(({ check }) => check !== "traffic within networks")).toMatchObject([
      { check: "connection tracking's strictness", result: "failure" },
      { check: "connections of IPv4", result: "warning", what: expect.stringContaining(rule.join(" ")) },
      { check: "other programs", result: "warning", what: "eth0, tc ingress: bpf" },
    ]);
    await lab.host.exec(["tc", "qdisc", "del", "dev", "eth0", "clsact"]);
    await lab.host.exec(["iptables", "-D", ...rule]);
    await lab.host.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1);
    expect((await doctor(stage)).notOk).toEqual([]);
  });

  it("finds why containers on macvlan hear nothing: their parent is down, or gone; and hints where it can't know", async () => {
    const { lab } = stage;
    await cableToLan(lab, "eth7");
    const options = ["-d", "macvlan", "-o", "parent=eth7", "--subnet", "10.7.0.0/24"];
    await lab.engine.createNetwork("lan", ...options);
    await lab.engine.run("busybox", { name: "deaf", network: "lan" });
    const check = "parent eth7";
    const hint = { check, result: "hint", what: expect.stringContaining("veth") };
    expect((await doctor(stage)).notOk).toMatchObject([hint]);
    await lab.host.exec(["ip", "link", "set", "eth7", "down"]);
    const { notOk } = await doctor(stage);
    expect(notOk).toMatchObject([{ check, result: "warning", what: "it is down" }, hint]);
    // Done to the letter.
    await lab.host.exec((notOk[0]?.remedy ?? "").split(" "));
    expect((await doctor(stage)).notOk).toMatchObject([hint]);
    await lab.host.exec(["ip", "link", "del", "eth7"]);
    expect((await doctor(stage)).notOk).toMatchObject([
      { check, result: "warning", what: expect.stringContaining("no such device") },
    ]);
    await lab.engine.remove("deaf");
    await lab.engine.docker(["network", "rm", "lan"]);
    expect((await doctor(stage)).notOk).toEqual([]);
  });

  it("says what mode replace wants of the engine; done to the letter, nothing is wrong and fairway runs", async () => {
    const { lab } = stage;
    await fairway.stop();
    await fairway.cleanup();
    const { mode, notOk } = await doctor(stage, "--mode", "replace");
    expect(mode).toBe("replace");
    expect(notOk).toMatchObject([{ check: "engine settings", result: "failure" }]);
    await lab.engine.stopDockerd();
    await lab.engine.startDockerd({}, told(notOk[0]?.remedy));
    await lab.host.exec(["nft", "flush", "ruleset"]);
    expect((await doctor(stage, "--mode", "replace")).notOk).toEqual([]);
    // And the other way round.
    const { notOk: forOther } = await doctor(stage);
    expect(forOther).toMatchObject([{ check: "engine settings", result: "warning" }]);
    expect(JSON.parse(told(forOther[0]?.remedy))).not.toHaveProperty("iptables");
    fairway = await lab.fairway({ args: ["--mode", "replace"] });
    expect((await doctor(stage, "--mode", "replace")).notOk).toEqual([]);
  });

  it("says that the engine is stopped, and that no daemon runs", async () => {
    const { lab } = stage;
    await lab.engine.stopDockerd();
    expect((await doctor(stage, "--mode", "replace")).notOk).toMatchObject([
      { check: "engine", result: "failure", what: expect.stringMatching(/no Docker engine/) },
    ]);
    await fairway.stop();
    const { notOk } = await doctor(stage, "--mode", "replace");
    expect(notOk.at(-1)).toMatchObject({
      check: "fairway",
      result: "warning",
      what: expect.stringMatching(/no daemon/),
    });
    await fairway.cleanup();
    await lab.engine.startDockerd();
  });
});
