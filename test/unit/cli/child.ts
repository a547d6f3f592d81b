import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../../dist/program/main.js", import.meta.url));

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built command line to its end as a user does: as a process of its own. */
export function fairway(args: string[], environment: Record<string, string> = {}): Promise<Ended> {
  return start(args, environment).ended;
}

/** Starts the built command line. Nothing of this host's configuration is read. */
export function start(
  args: string[],
  environment: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\``);
  const inherited = Object.entries(process.env).filter(([name]) => !/^(FAIRWAY|DOCKER)_/.test(name));
  const child = spawn(process.execPath, [main, ...args], {
    env: { FAIRWAY_CONFIG: "/dev/null", ...Object.fromEntries(inherited), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 20_000,
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}
