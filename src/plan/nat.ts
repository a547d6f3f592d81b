import type { EngineNetwork } from "../docker/model.js";
import type { Family } from "../ip.js";

/** Whether the network's gateway translates addresses; "routed" and "isolated" (27+) don't. */
export function isNat(network: EngineNetwork, family: Family): boolean {
  const mode = family === 4 ? network.gatewayModeIpv4 : network.gatewayModeIpv6;
  return [undefined, "nat", "nat-unprotected"].includes(mode);
}
