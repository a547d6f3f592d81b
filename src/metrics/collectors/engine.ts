import type { CollectorKind } from "../collector.js";
import { counter, gauge } from "../metric.js";

/** The event types that have a series of their own; an engine may send any text. */
const eventTypes = ["container", "network", "daemon"];

const connected = gauge({
  name: "fairway_docker_connected",
  unit: "none",
  help: "1 while the engine's event stream is up, else 0",
});
const disconnects = counter({
  name: "fairway_docker_disconnects_total",
  unit: "events",
  help: "How often the engine's event stream was lost",
});
const connects = counter({
  name: "fairway_docker_connects_total",
  unit: "events",
  help: "How often the engine's event stream came up, the first time included",
});
const events = counter({
  name: "fairway_docker_events_total",
  unit: "events",
  help: "Events received from the engine, by type (container, network, daemon, other)",
  labels: ["type"],
});
const lastEvent = gauge({
  name: "fairway_docker_last_event_timestamp_seconds",
  unit: "seconds",
  help: "When the engine last sent an event",
});
const info = gauge({
  name: "fairway_docker_info",
  unit: "none",
  help: "The engine's version and the API version agreed on; always 1",
  labels: ["version", "api_version"],
});

/** The connection to the engine. */
export const engine: CollectorKind = {
  name: "engine",
  metrics: [connected, disconnects, connects, events, lastEvent, info],
  create: ({ source }) => {
    const seen = new Map([...eventTypes, "other"].map((type) => [type, 0]));
    let timesConnected = 0;
    let lastEventAt = 0;
    return {
      observer: {
        engineEvent(type) {
          const known = eventTypes.includes(type) ? type : "other";
          seen.set(known, (seen.get(known) ?? 0) + 1);
          lastEventAt = Date.now();
        },
        engineConnected(up) {
          if (up) timesConnected++;
        },
      },
      collect(out) {
        const { engine: status } = source.status();
        out.add(connected, [], status.connected ? 1 : 0);
        out.add(disconnects, [], status.disconnects);
        out.add(connects, [], timesConnected);
        for (const [type, count] of seen) out.add(events, [type], count);
        if (lastEventAt > 0) out.add(lastEvent, [], lastEventAt / 1000);
        if (status.version !== undefined) out.add(info, [status.version, status.apiVersion ?? ""], 1);
        return undefined;
      },
    };
  },
};
