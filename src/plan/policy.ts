/**
 * Who may reach the host and its published ports from outside: the configuration's lists, and the labels of containers. Pure.
 */
import type { EngineState } from "../docker/model.js";
import type { HostState } from "../host/state.js";
import type { NetLink } from "../native/index.js";
import type { Network } from "../networks.js";
import { readPolicyLabels } from "./policy_labels.js";
import type {
  PlannedPolicy,
  PlannedPortPolicy,
  PlannedXdp,
  PolicyOptions,
  SourceList,
} from "./policy_types.js";
import type { PlannedUplink, PlanWarning } from "./types.js";

const NO_LIST: readonly Network[] = [];
/** How many devices may be stacked on each other. */
const STACK_MOST = 4;
const STACKED_KINDS = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];

/**
 * Policies are those of every published port that the engine tells of, whether or not its container is on the fast path:
 * docker-proxy's and the kernel's are judged by the same entries.
 */
export function planPolicy(
  engine: EngineState,
  host: Pick<HostState, "links">,
  uplinks: readonly PlannedUplink[],
  options: PolicyOptions,
  warnings: PlanWarning[],
): PlannedPolicy {
  const { allow = NO_LIST, deny = NO_LIST, xdp = "auto" } = options;
  const ports = planPortPolicies(engine, warnings);
  const wanted =
    xdp === "on" || (xdp === "auto" && (allow.length > 0 || deny.length > 0 || ports.length > 0));
  return {
    sources: { allow, deny },
    ports,
    xdp: wanted ? planXdp(engine, host.links, uplinks) : [],
  };
}

function planPortPolicies(engine: EngineState, warnings: PlanWarning[]): PlannedPortPolicy[] {
  const byKey = new Map<string, PlannedPortPolicy>();
  for (const container of engine.containers) {
    if (!container.running) continue;
    const { policy, problems } = readPolicyLabels(container.labels);
    for (const problem of problems) {
      const name = JSON.stringify(container.name.slice(0, 80)).slice(1, -1);
      warnings.push({ code: "policy_label", message: `container ${name}: ${problem}`, transient: false });
    }
    if (policy === undefined) continue;
    const list: SourceList = { allow: policy.allow ?? NO_LIST, deny: policy.deny };
    for (const { proto, hostIp, hostPort } of container.ports) {
      const key = `${container.id} ${proto} ${hostIp} ${hostPort}`;
      byKey.set(key, {
        containerId: container.id,
        proto,
        address: hostIp,
        port: hostPort,
        list,
        unlistedRefused: policy.allow !== undefined,
        // Of SCTP it can't be told which packet opens an association.
        limit: proto === "sctp" ? undefined : policy.limit,
      });
    }
  }
  return [...byKey.keys()].sort().flatMap((key) => byKey.get(key) ?? []);
}

function planXdp(
  engine: EngineState,
  links: readonly NetLink[],
  uplinks: readonly PlannedUplink[],
): PlannedXdp[] {
  const lower = new Map(
    links.flatMap((l) =>
      STACKED_KINDS.includes(l.kind ?? "") && l.link !== undefined && l.linkNetnsid === undefined
        ? [[l.ifindex, l.link] as const]
        : [],
    ),
  );
  const below = (ifindex: number): number[] => {
    const found: number[] = [];
    for (let at = lower.get(ifindex); at !== undefined && found.length < STACK_MOST; at = lower.get(at))
      found.push(at);
    return found;
  };
  // Those of containers are in other namespaces, where we don't see them.
  const hidden = engine.networks.some((n) => STACKED_KINDS.includes(n.driver));
  const vrf = links.some((l) => l.kind === "vrf");
  return uplinks
    .filter((uplink) => !uplink.l3)
    .map(({ ifindex, name, mtu }) => ({
      ifindex,
      name,
      mtu,
      above: uplinks.filter((other) => below(other.ifindex).includes(ifindex)).map((other) => other.ifindex),
      ownSources: hidden || vrf || [...lower.values()].includes(ifindex),
    }));
}
