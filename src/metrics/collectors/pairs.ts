import type { CollectorKind } from "../collector.js";
import { counter } from "../metric.js";
import { inSteps } from "../pace.js";

const labels = ["network", "from", "to"] as const;
const packets = counter({
  name: "fairway_network_pair_packets_total",
  unit: "packets",
  help: "Unicast IP packets that one container sent another within a network with fairway.matrix=true, over both paths (as on a wire: a GSO packet counts as its segments)",
  labels,
});
const bytes = counter({
  name: "fairway_network_pair_bytes_total",
  unit: "bytes",
  help: "Bytes of these packets, from the IP header on; each segment of a GSO packet with headers of its own",
  labels,
});
const uncounted = counter({
  name: "fairway_network_pair_uncounted_packets_total",
  unit: "packets",
  help: "Packets within networks with fairway.matrix=true that are in no pair: there were as many pairs as are counted",
});

/** Who sends whom how much, within the networks that ask for it. */
export const pairs: CollectorKind = {
  name: "pairs",
  metrics: [packets, bytes, uncounted],
  create: ({ source }) => ({
    *collect(out) {
      yield* inSteps(source.reader?.pairSteps() ?? [], 200, (reading) => {
        const values = [reading.network, reading.from, reading.to] as const;
        out.add(packets, values, reading.packets);
        out.add(bytes, values, reading.bytes);
      });
      if (source.reader !== undefined) out.add(uncounted, [], source.reader.pairsUncounted());
    },
  }),
};
