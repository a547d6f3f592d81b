import type { Command } from "commander";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";
import { addOutputOption, type OutputFormat } from "../output.js";

export function addExplain(program: Command, context: Context): void {
  const command = program
    .command("explain")
    .description(
      "Tell what would become of a packet and why, from the attached programs. Nothing is sent, and nothing is counted.",
    )
    .argument("<src>", "address, container (NAME or NAME@NETWORK) or host; a port may follow: ADDRESS:PORT")
    .argument("<dst>", "the same, as DST[:PORT[/PROTO]]: tcp (default), udp or icmp; without a port a ping")
    .addHelpText(
      "after",
      [
        "",
        "Examples:",
        "  fairway explain 203.0.113.7 host:8080        # somebody outside opens a published port",
        "  fairway explain web 203.0.113.7:443          # a container opens a connection to the outside",
        "  fairway explain web db@backend:5432/tcp      # a container, another of its network",
        "  fairway explain [2001:db8::7]:40000 host:53/udp -o json",
        "",
      ].join("\n"),
    );
  addConfigOptions(command, ["bpffs", "state-dir"]);
  addOutputOption(command).action(
    async (source: string, destination: string, options: { output: OutputFormat }) => {
      const { config } = configOf(command, context);
      const { runExplain } = await import("../explain.js");
      await runExplain(source, destination, config, options.output, context);
    },
  );
}
