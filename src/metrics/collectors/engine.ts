import { Counter, Gauge, type Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** The event types that have a series of their own; an engine may send any text. */
const eventTypes = ["container", "network", "daemon"];

export interface EngineCollector extends Collector {
  /** To be told of every event, as DaemonObserver.engineEvent. */
  event(type: string): void;
}

/** The connection to the engine. */
export function engine(registry: Registry, { source }: CollectorContext): EngineCollector {
  const registers = [registry];
  const connected = new SingleGauge(
    registry,
    "fairway_docker_connected",
    "1 while the engine's event stream is up, else 0",
  );
  const disconnects = new Counter({
    name: "fairway_docker_disconnects_total",
    help: "How often the engine's event stream was lost",
    registers,
  });
  const events = new Counter({
    name: "fairway_docker_events_total",
    help: "Events received from the engine, by type",
    labelNames: ["type"] as const,
    registers,
  });
  const info = new Gauge({
    name: "fairway_docker_info",
    help: "The engine's version and the API version agreed on; always 1",
    labelNames: ["version", "api_version"] as const,
    registers,
  });

  return {
    name: "engine",
    event(type) {
      events.inc({ type: eventTypes.includes(type) ? type : "other" });
    },
    update() {
      const { engine: status } = source.status();
      connected.set(status.connected ? 1 : 0);
      disconnects.inc(status.disconnects);
      if (status.version !== undefined) {
        info.set({ version: status.version, api_version: status.apiVersion ?? "" }, 1);
      }
    },
    reset() {
      connected.clear();
      disconnects.reset();
      info.reset();
    },
  };
}
