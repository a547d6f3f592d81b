/** What a container's labels say about who may reach its published ports. Pure. */
import { formatNetwork, type Network, parseNetwork } from "../networks.js";
import { quoted } from "../text.js";
import { ALLOW, DENY, type Labels, LIMIT } from "./labels.js";
import type { ConnectionLimit } from "./policy_types.js";

const LIMIT_MOST = 1_000_000;
const SECONDS = { s: 1, m: 60 } as const;

export interface LabelPolicy {
  /** Undefined: there is no such list; empty: nobody. */
  allow: Network[] | undefined;
  deny: Network[];
  limit: ConnectionLimit | undefined;
}

/**
 * Reads the labels.
 *
 * What is wrong never widens access: an allow list with a slip allows nobody, since who was meant is unknown; a deny list keeps its good
 * entries; a limit that can't be read is none.
 * @returns undefined as policy where the labels ask for none; every problem in one line
 */
export function readPolicyLabels(labels: Labels): {
  policy: LabelPolicy | undefined;
  problems: string[];
} {
  const problems: string[] = [];
  const allowed = labels[ALLOW] === undefined ? undefined : readList(labels[ALLOW]);
  const denied = labels[DENY] === undefined ? undefined : readList(labels[DENY]);
  const limited = labels[LIMIT] === undefined ? undefined : readLimit(labels[LIMIT]);
  if (allowed?.problem !== undefined) problems.push(`label ${ALLOW}: ${allowed.problem}: nobody is allowed`);
  if (denied?.problem !== undefined) {
    const rest = denied.networks.length > 0 ? "the other entries hold" : "nothing is denied by it";
    problems.push(`label ${DENY}: ${denied.problem}: ${rest}`);
  }
  if (limited !== undefined && "problem" in limited) {
    problems.push(`label ${LIMIT}: ${limited.problem}: nothing is limited`);
  }
  const policy: LabelPolicy = {
    allow: allowed === undefined ? undefined : allowed.problem === undefined ? allowed.networks : [],
    deny: denied?.networks ?? [],
    limit: limited === undefined || "problem" in limited ? undefined : limited,
  };
  const twice = policy.allow?.find((network) => policy.deny.some((other) => isSame(network, other)));
  if (twice !== undefined) {
    problems.push(`labels ${ALLOW} and ${DENY} both have ${formatNetwork(twice)}: it is denied`);
    policy.allow = policy.allow?.filter((network) => !policy.deny.some((other) => isSame(network, other)));
  }
  const asks = policy.allow !== undefined || policy.deny.length > 0 || policy.limit !== undefined;
  return { policy: asks ? policy : undefined, problems };
}

function readList(text: string): { networks: Network[]; problem: string | undefined } {
  const networks: Network[] = [];
  let problem: string | undefined;
  for (const entry of text.split(",")) {
    const read = parseNetwork(entry);
    if ("problem" in read) problem ??= read.problem;
    else networks.push(read);
  }
  return { networks, problem };
}

function readLimit(text: string): ConnectionLimit | { problem: string } {
  const match = /^\s*(\d{1,9})\/([sm])\s*(?:,\s*burst=(\d{1,9})\s*)?$/.exec(text);
  const count = Number(match?.[1]);
  const burst = match?.[3] === undefined ? count : Number(match[3]);
  if (match === null || !isInRange(count) || !isInRange(burst)) {
    return {
      problem: `${quoted(text)} is not a rate of 1 to ${LIMIT_MOST} (100/s, 100/m, 100/s,burst=200)`,
    };
  }
  return { rate: Math.ceil((count * 1000) / SECONDS[match[2] as keyof typeof SECONDS]), burst };
}

function isInRange(count: number): boolean {
  return count >= 1 && count <= LIMIT_MOST;
}

function isSame(a: Network, b: Network): boolean {
  return a.address === b.address && a.prefixLength === b.prefixLength;
}
