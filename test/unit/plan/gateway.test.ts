import { describe, expect, it } from "vitest";
import type { EngineEndpoint, EngineNetwork } from "../../../src/docker/model.js";
import { gatewayEndpoints } from "../../../src/plan/gateway.js";

const networks = new Map<string, EngineNetwork>(
  ["a", "b", "c", "inner"].map((name) => [
    name,
    {
      id: name,
      name,
      driver: "bridge",
      internal: name === "inner",
      subnets4: [],
      subnets6: [],
      ipv6: true,
      icc: true,
      masquerade: true,
      labels: {},
    },
  ]),
);

function on(networkId: string, families: string, gatewayPriority = 0): EngineEndpoint {
  return {
    networkId,
    networkName: networkId,
    endpointId: "",
    gatewayPriority,
    ...(families.includes("4") ? { gateway4: "172.17.0.1" } : {}),
    ...(families.includes("6") ? { gateway6: "2001:db8::1" } : {}),
  };
}

/** The networks of the two gateways. */
function gateways(...endpoints: EngineEndpoint[]): (string | undefined)[] {
  const found = gatewayEndpoints(endpoints, networks);
  return [found[4]?.networkId, found[6]?.networkId];
}

describe("gatewayEndpoints", () => {
  it("takes the first network by name, the highest priority first", () => {
    expect(gateways(on("b", "46"), on("a", "46"))).toEqual(["a", "a"]);
    expect(gateways(on("b", "46", 1), on("a", "46"))).toEqual(["b", "b"]);
    expect(gateways(on("b", "4"), on("a", "4"))).toEqual(["a", undefined]);
  });

  it("takes one with both families wherever it comes, as engines of every version do", () => {
    expect(gateways(on("b", "46"), on("a", "4"))).toEqual(["b", "b"]);
    expect(gateways(on("b", "46"), on("a", "4", 9))).toEqual(["b", "b"]);
    expect(gateways(on("b", "46"), on("a", "6", 9))).toEqual(["b", "b"]);
  });

  it("takes each family's first where none has both", () => {
    expect(gateways(on("c", "6"), on("b", "4"), on("a", "4"))).toEqual(["a", "c"]);
    expect(gateways(on("c", "6", 1), on("a", "6"), on("b", "4"))).toEqual(["b", "c"]);
  });

  it("takes none that is internal, or of a network that is not known", () => {
    expect(gateways(on("inner", "46"), on("c", "4"))).toEqual(["c", undefined]);
    expect(gateways(on("inner", "46"), on("a", "6"))).toEqual([undefined, "a"]);
    expect(gateways(on("inner", "46"), on("nowhere", "46"))).toEqual([undefined, undefined]);
  });
});
