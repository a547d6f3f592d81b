import { spawn } from "node:child_process";
import { errorCode, UserError } from "./errors.js";

const TIMEOUT_MS = 30_000;
const OUTPUT_MAX = 64 * 1024 * 1024;

/**
 * Runs nft and returns what it printed.
 * @param who what its errors say: who can't do without it, and what was refused
 * @throws UserError where nft is missing (with the code ENOENT) or refuses
 */
export function nft(
  who: { needs: string; refused: string },
  args: readonly string[],
  input = "",
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("nft", args, { timeout: TIMEOUT_MS, stdio: "pipe" });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.length > OUTPUT_MAX) child.kill();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-4096);
    });
    child.on("error", (error) => {
      if (errorCode(error) !== "ENOENT") return reject(error);
      reject(
        Object.assign(new UserError(who.needs, { remedy: "install nftables" }), {
          code: "ENOENT",
        }),
      );
    });
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(stdout);
      const why = stderr.split("\n")[0] || (signal === null ? `exit code ${code}` : `ended by ${signal}`);
      reject(new UserError(`${who.refused}: ${why}`));
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}
