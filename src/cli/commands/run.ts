import type { Command } from "commander";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";

export function addRun(program: Command, context: Context): void {
  const command = program
    .command("run")
    .description("Forward the engine's traffic until told to stop; then the datapath stays in place.")
    .addHelpText("after", "\nExample:\n  fairway run --uplink eth0 --metrics 0.0.0.0:9477\n");
  addConfigOptions(command, [
    "mode",
    "docker-host",
    "uplinks",
    "metrics",
    "metrics-labels",
    "metrics-cadvisor",
    "bpffs",
    "state-dir",
    "flows-max",
    "allow",
    "deny",
    "xdp",
    "host-sockets",
    "trust-firewall",
    "log-format",
    "log-level",
    "once",
  ]).action(async () => {
    const { config } = configOf(command, context);
    const { run } = await import("../run.js");
    await run(config, context);
  });
}
