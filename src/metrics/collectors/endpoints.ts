import type { EndpointReading, PathCounters } from "../../datapath/reader.js";
import type { CollectorKind } from "../collector.js";
import type { Exposition } from "../exposition.js";
import { type EngineNames, KeptLabels } from "../kept_labels.js";
import { counter, gauge } from "../metric.js";
import { inSteps } from "../pace.js";

const labels = ["container", "project", "network", "path"] as const;

const onWire = "as on a wire: a GSO packet counts as its segments";
const traffic = {
  receive: {
    packets: counter({
      name: "fairway_endpoint_receive_packets_total",
      unit: "packets",
      help: `Packets to the container (${onWire})`,
      labels,
    }),
    bytes: counter({
      name: "fairway_endpoint_receive_bytes_total",
      unit: "bytes",
      help: "Bytes to the container, from the IP header on; each segment of a GSO packet with headers of its own",
      labels,
    }),
  },
  transmit: {
    packets: counter({
      name: "fairway_endpoint_transmit_packets_total",
      unit: "packets",
      help: `Packets from the container (${onWire})`,
      labels,
    }),
    bytes: counter({
      name: "fairway_endpoint_transmit_bytes_total",
      unit: "bytes",
      help: "Bytes from the container, from the IP header on; each segment of a GSO packet with headers of its own",
      labels,
    }),
  },
};
const info = gauge({
  name: "fairway_endpoint_info",
  unit: "none",
  help: "An endpoint's ids, its network's driver, its devices and addresses; always 1",
  labels: [
    "container",
    "project",
    "network",
    "driver",
    "driver_mode",
    "container_id",
    "endpoint_id",
    "device",
    "bridge",
    "addresses",
  ],
});
const masqueraded = gauge({
  name: "fairway_endpoint_masqueraded",
  unit: "none",
  help: "1 when the endpoint's connections to the outside are masqueraded on the fast path",
  labels: ["container", "project", "network"],
});

/** Packets and bytes of every endpoint, by direction (seen from the container) and path. */
export const endpoints: CollectorKind = {
  name: "endpoints",
  metrics: [
    traffic.receive.packets,
    traffic.receive.bytes,
    traffic.transmit.packets,
    traffic.transmit.bytes,
    info,
    masqueraded,
  ],
  create: ({ source }) => {
    const kept = new KeptLabels(labelsOf);
    return {
      *collect(out) {
        kept.begin(source.engineState);
        yield* inSteps(source.reader?.endpointSteps() ?? [], 250, (endpoint) => {
          const of = kept.next(endpoint);
          addTraffic(out, "receive", of, endpoint.receive);
          addTraffic(out, "transmit", of, endpoint.transmit);
          out.add(info, of.info, 1);
          out.add(masqueraded, of.endpoint, endpoint.masquerade ? 1 : 0);
        });
      },
    };
  },
};

function addTraffic(
  out: Exposition,
  direction: "receive" | "transmit",
  of: ReturnType<typeof labelsOf>,
  { fast, slow }: PathCounters,
): void {
  const { packets, bytes } = traffic[direction];
  out.add(packets, of.fast, fast.packets);
  out.add(bytes, of.fast, fast.bytes);
  out.add(packets, of.slow, slow.packets);
  out.add(bytes, of.slow, slow.bytes);
}

function labelsOf(reading: EndpointReading, { projectOf, networkOf }: EngineNames) {
  const { container, network, containerId, endpointId, device, bridge, addresses } = reading;
  const endpoint = [container, projectOf(containerId), network] as const;
  const { driver = "", mode = "" } = networkOf(network) ?? {};
  return {
    endpoint,
    fast: [...endpoint, "fast"],
    slow: [...endpoint, "slow"],
    info: [...endpoint, driver, mode, containerId, endpointId, device, bridge, addresses.join(",")],
  } as const;
}
