import { ANY, compareAddresses, familyOf, isUnicast, type PerFamily, withPort } from "../ip.js";
import { isNat } from "./nat.js";
import type { GatewayOf, PlannedPort, PlanWarning } from "./types.js";

/**
 * Published ports, each led to its container's gateway endpoint of the same family. Left to the engine's own ways: loopback
 * host addresses, SCTP, networks whose gateway does not translate, IPv6 host addresses of containers without IPv6 (docker-proxy
 * goes there by IPv4), and all of a family in which the engine has no rules.
 * @param engineNat as FirewallState
 */
export function planPorts(
  gateways: GatewayOf[],
  engineNat: PerFamily<boolean>,
  warnings: PlanWarning[],
): PlannedPort[] {
  const byKey = new Map<string, PlannedPort>();
  for (const { container, network, endpoint } of gateways) {
    for (const published of container.ports) {
      const { hostIp, hostPort, proto } = published;
      if (proto === "sctp") continue;
      const family = familyOf(hostIp);
      const ip = endpoint.ip[family];
      if (ip === undefined || !ip.gateway || !isNat(network, family) || !engineNat[family]) continue;
      if (hostIp !== ANY[family] && !isUnicast(hostIp)) continue;
      const planned: PlannedPort = {
        proto,
        address: hostIp,
        port: hostPort,
        endpointId: endpoint.endpointId,
        containerAddress: ip.address,
        containerPort: published.containerPort,
      };
      const key = `${proto} ${hostIp} ${hostPort}`;
      const other = byKey.get(key);
      if (other === undefined) {
        byKey.set(key, planned);
      } else if (other.endpointId !== planned.endpointId || other.containerPort !== planned.containerPort) {
        warnings.push({
          code: "port_conflict",
          message: `${withPort(hostIp, hostPort)}/${proto} is published twice; the first one keeps it`,
          transient: true,
        });
      }
    }
  }
  return sorted([...byKey.values()]);
}

/** Adds ports that are published by other means; an address and port that are taken, "any address" included, stay with who has them. */
export function withPorts(
  ports: PlannedPort[],
  more: readonly PlannedPort[],
  warnings: PlanWarning[],
): PlannedPort[] {
  const key = ({ proto, address, port }: PlannedPort) => `${proto} ${address} ${port}`;
  const taken = new Set(ports.map(key));
  const added: PlannedPort[] = [];
  for (const port of more) {
    const any = { ...port, address: ANY[familyOf(port.address)] };
    if (taken.has(key(port)) || taken.has(key(any))) {
      const message = `${withPort(port.address, port.port)}/${port.proto} is published twice; the first one keeps it`;
      warnings.push({ code: "port_conflict", message, transient: false });
      continue;
    }
    taken.add(key(port));
    added.push(port);
  }
  return sorted([...ports, ...added]);
}

function sorted(ports: PlannedPort[]): PlannedPort[] {
  return ports.sort(
    (a, b) =>
      (a.proto < b.proto ? -1 : a.proto > b.proto ? 1 : 0) ||
      compareAddresses(a.address, b.address) ||
      a.port - b.port,
  );
}
