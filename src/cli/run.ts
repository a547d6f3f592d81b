import { release } from "node:os";
import { type Config, formatMetricsAddress } from "../config/schema.js";
import { Daemon } from "../controller/daemon.js";
import type { EngineState } from "../docker/model.js";
import { createLog } from "../log/log.js";
import { createMetrics } from "../metrics/metrics.js";
import { type MetricsServer, serveMetrics } from "../metrics/server.js";
import { scrapeTargets, type TargetGroup } from "../metrics/service_discovery.js";
import { keepBuffersSmall } from "./buffers.js";
import type { Context } from "./context.js";
import { version } from "./package.js";
import { preflight, thisHost } from "./preflight.js";
import { refuseSecondInstance } from "./running.js";
import { type Ending, endingSignal } from "./signals.js";

/**
 * The daemon. What can be refused is refused before anything is attached: the host, a second instance, the metrics
 * address; then the daemon itself checks the engine and the uplinks.
 */
export async function run(config: Config, context: Context): Promise<void> {
  preflight(thisHost(), "run");
  keepBuffersSmall();
  await refuseSecondInstance(config.stateDir);
  const log = createLog({ format: config.logFormat, level: config.logLevel });
  const ending = endingSignal();

  // The daemon tells the metrics what happens, the metrics read from the daemon.
  const daemon = new Daemon(config, {
    log,
    env: context.environment,
    observer: {
      reconciled: (result) => metrics.observer.reconciled(result),
      engineConnected: (up) => metrics.observer.engineConnected(up),
      engineEvent: (type, action) => metrics.observer.engineEvent(type, action),
    },
  });
  const metrics = createMetrics({
    source: daemon,
    version: version(),
    kernel: release(),
    labels: config.metricsLabels,
    cadvisor: config.metricsCadvisor,
    onFailure: (collector, error) => log.warn({ collector, err: error }, "metrics are incomplete"),
  });

  let server: MetricsServer | undefined;
  let attached = false;
  try {
    if (config.metrics !== undefined) {
      server = await serveMetrics({
        address: config.metrics,
        scrape: metrics.scrape,
        contentType: metrics.contentType,
        targets: () => targetsOf(daemon.engineState),
        notReady: () => (daemon.status().state === "ready" ? undefined : daemon.status().state),
      });
    }
    if (await startedOrEnding(daemon, ending)) {
      if (server !== undefined) log.info(`metrics at http://${formatMetricsAddress(server.address)}/metrics`);
      context.say("ready");
      if (!config.once) await ending.signalled;
    }
    attached = daemon.reader !== undefined;
  } finally {
    await server?.close();
    await daemon.stop();
    ending.release();
  }
  context.say(
    attached
      ? "datapath left in place; `fairway cleanup` removes it"
      : "stopped before anything was attached",
  );
}

function targetsOf(engine: EngineState | undefined): TargetGroup[] | undefined {
  return engine === undefined ? undefined : scrapeTargets(engine.containers).targets;
}

/** Starts the daemon. @returns false when a signal came before it was ready */
async function startedOrEnding(daemon: Daemon, ending: Ending): Promise<boolean> {
  const started = daemon.start().then(() => true);
  const ready = await Promise.race([started, ending.signalled.then(() => false)]);
  // Whatever a start that nobody waits for still meets: we are leaving.
  if (!ready) started.catch(() => undefined);
  return ready;
}
