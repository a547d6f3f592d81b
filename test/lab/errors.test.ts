// Bad input: one line that says what is wrong and what to do, exit status 1 or 2, and nothing attached.

import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, chown, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Fairway, fairwayCommand, type Lab, runArguments } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

/** Arguments of `fairway run` in the lab with one option given another value, or left out. */
function withOption(lab: Lab, option: string, value?: string): string[] {
  const args = runArguments(lab);
  const at = args.indexOf(option);
  args.splice(at, 2, ...(value === undefined ? [] : [option, value]));
  return args;
}

const liberal = "net.netfilter.nf_conntrack_tcp_be_liberal";

onEveryEngine("bad input", { images: [], oneEngine: true, fairway: false }, (stage) => {
  /** What `fairway` says, and the proof that it has left the host alone. */
  async function refused(
    args: readonly string[],
    status: number,
    env: Record<string, string> = {},
    wrapper: readonly string[] = [],
  ): Promise<string> {
    const { lab } = stage;
    const before = await lab.host.sysctl(liberal).catch(() => "none");
    const { code, stdout, stderr } = await fairwayCommand(lab, args, {
      mayFail: true,
      timeout: 20_000,
      env,
      wrapper,
    });
    expect({ code, stdout }, stderr).toEqual({ code: status, stdout: "" });
    const complaint = stderr.split("\n").filter((line) => line.startsWith("fairway: "));
    expect(complaint, stderr).toHaveLength(1);
    expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m); // No stack trace.
    expect(existsSync(join(lab.bpffs, "fairway", "links")), "links pinned").toBe(false);
    expect(await lab.host.sysctl(liberal).catch(() => "none")).toBe(before);
    return complaint[0] ?? "";
  }

  it("an unknown flag: names the nearest", async () => {
    const { lab } = stage;
    expect(await refused([...runArguments(lab), "--uplnk", "eth0"], 2)).toMatch(/--uplnk.*--uplink/);
  });

  it("an unknown command: names the nearest", async () => {
    expect(await refused(["statsu"], 2)).toMatch(/statsu.*status/);
  });

  it("an unknown key in the configuration file: its line and the nearest key", async () => {
    const { lab } = stage;
    const file = join(lab.dir, "fairway.yaml");
    await writeFile(file, "mode: accelerate\nuplink: [eth0]\n");
    expect(await refused([...runArguments(lab), "--config", file], 2)).toMatch(/uplink.*uplinks/);
  });

  it("a configuration file that isn't there", async () => {
    const { lab } = stage;
    expect(await refused([...runArguments(lab), "--config", join(lab.dir, "none.yaml")], 2)).toContain(
      "none.yaml",
    );
  });

  it("an unknown variable of the environment", async () => {
    const { lab } = stage;
    expect(await refused(runArguments(lab), 2, { FAIRWAY_UPLINK: "eth0" })).toMatch(
      /FAIRWAY_UPLINK.*FAIRWAY_UPLINKS/,
    );
  });

  it("an uplink that doesn't exist: names those that do", async () => {
    const { lab } = stage;
    expect(await refused([...runArguments(lab), "--uplink", "eth7"], 1)).toMatch(/eth7.*eth0/);
  });

  it("an engine socket that isn't there", async () => {
    const { lab } = stage;
    const socket = join(lab.dir, "nobody.sock");
    expect(await refused(withOption(lab, "--docker-host", `unix://${socket}`), 1)).toMatch(
      new RegExp(`${socket}.*(docker|engine)`, "i"),
    );
  });

  it("an engine socket that it may not open", async () => {
    const { lab } = stage;
    const socket = join(lab.dir, "closed.sock");
    const server = createServer().listen(socket);
    await once(server, "listening");
    await chown(socket, 65534, 65534);
    await chmod(socket, 0o600);
    // Root may open everything, but for this capability.
    const dropped = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    const args = withOption(lab, "--docker-host", `unix://${socket}`);
    const complaint = await refused(args, 1, {}, dropped);
    expect(complaint).toContain(socket);
    expect(complaint).toMatch(/permi/i);
    server.close();
  });

  it("a port of /metrics that is taken: names it", async () => {
    const { lab } = stage;
    const taken = lab.host.agent("serve.mjs", ["--http", 9477], lab.disposers);
    await taken.waitFor(/ready/);
    expect(await refused(runArguments(lab), 1)).toMatch(/127\.0\.0\.1:9477.*--metrics/);
    await taken.stop();
  });

  it("a second instance: names the first", async () => {
    const { lab } = stage;
    const first: Fairway = await lab.fairway();
    const args = withOption(lab, "--metrics", "127.0.0.1:9478");
    const { code, stderr } = await fairwayCommand(lab, args, { mayFail: true, timeout: 20_000 });
    expect(code).toBe(1);
    expect(stderr).toMatch(/already|running/);
    expect(first.process.running).toBe(true);
    expect(await first.page("/readyz")).toBeDefined();
    await first.stop();
    await first.cleanup();
  });
});
