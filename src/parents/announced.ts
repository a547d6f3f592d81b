/**
 * Announced containers' IPv6 addresses among those that the parent listens to by multicast: who looks for a neighbour asks a group that
 * the address tells, and a NIC passes on only groups that somebody has joined. An entry of the kernel's for a proxied neighbour joins
 * it, and does no more as long as `proxy_ndp` is off: the answer is the program's at the parent (bpf/lib/nd.h).
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import { type Address, familyOf } from "../ip.js";
import type { PlannedParent } from "../plan/types.js";
import { ROUTE_PROTOCOL } from "./host_routes.js";

const TIMEOUT_MS = 10_000;

/** A neighbour that a device listens for. */
export interface Listened {
  address: Address;
  device: string;
}

const neighbours = z.array(
  z.object({ dst: z.string(), dev: z.string(), protocol: z.union([z.string(), z.number()]).optional() }),
);

/** Those that are ours by their protocol number, as routes are (`ip -6 neigh show proxy`). */
export async function listListened(): Promise<Listened[]> {
  const text = await ip("-json", "-6", "neigh", "show", "proxy");
  const listed = neighbours.parse(JSON.parse(text.trim() === "" ? "[]" : text));
  return listed
    .filter(({ protocol }) => String(protocol) === `${ROUTE_PROTOCOL}`)
    .map(({ dst, dev }) => ({ address: dst, device: dev }));
}

/** What the plan wants of it. Pure. */
export function wantedListened(parents: readonly Pick<PlannedParent, "name" | "announced">[]): Listened[] {
  return parents.flatMap(({ name, announced }) =>
    announced
      .filter((address) => familyOf(address) === 6)
      .map((address): Listened => ({ address, device: name })),
  );
}

/**
 * Makes them as planned.
 * @throws Error with ip's words where it can't
 */
export async function applyListened(wanted: readonly Listened[]): Promise<void> {
  const key = ({ address, device }: Listened) => `${address} ${device}`;
  const there = await listListened();
  const [planned, present] = [new Set(wanted.map(key)), new Set(there.map(key))];
  for (const one of there) if (!planned.has(key(one))) await change("del", one);
  for (const one of wanted) if (!present.has(key(one))) await change("add", one);
}

/** Takes them all away. Returns what there was. */
export async function removeListened(): Promise<string[]> {
  const there = await listListened();
  if (there.length > 0) await applyListened([]);
  return there.map(({ address, device }) => `${address} dev ${device}`);
}

async function change(verb: "add" | "del", { address, device }: Listened): Promise<void> {
  const protocol = verb === "add" ? ["protocol", `${ROUTE_PROTOCOL}`] : [];
  await ip("-6", "neigh", verb, "proxy", address, "dev", device, ...protocol);
}

async function ip(...args: string[]): Promise<string> {
  return (await promisify(execFile)("ip", args, { timeout: TIMEOUT_MS })).stdout;
}
