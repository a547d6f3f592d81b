import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The package's directory: two above both src/cli and dist/cli. */
export const packageRoot = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** The version of package.json. */
export function version(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}
