import { readFileSync } from "node:fs";

/** "0-2,5": [0, 1, 2, 5] */
export function parseCpuList(list: string): number[] {
  return list
    .trim()
    .split(",")
    .filter((range) => range !== "")
    .flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/**
 * One CPU for the client and one for the server: where the scheduler puts them decides the figures else.
 * @returns undefined where there is only one
 */
export function pinning(): { client: number; server: number } | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  const [client, server] = parseCpuList(list);
  return client === undefined || server === undefined ? undefined : { client, server };
}
