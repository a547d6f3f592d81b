import type { CollectorKind } from "../collector.js";
import { counter, gauge, histogram } from "../metric.js";

const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** What sets a pass off; several at once are the first of these. */
const TRIGGERS = ["start", "reconnect", "events", "netlink", "firewall", "resync", "retry", "other"] as const;

const duration = histogram({
  name: "fairway_reconcile_duration_seconds",
  unit: "seconds",
  help: "How long a pass took, from listing the engine to the maps written",
});
const phases = counter({
  name: "fairway_reconcile_phase_seconds_total",
  unit: "seconds",
  help: "Time that the passes spent asking the engine, looking at the host and planning, and writing",
  labels: ["phase"],
});
const total = counter({
  name: "fairway_reconciles_total",
  unit: "passes",
  help: "Passes of the control plane, by result",
  labels: ["result"],
});
const triggers = counter({
  name: "fairway_reconcile_triggers_total",
  unit: "passes",
  help: "Passes by what set them off (of several the first of start, reconnect, events, netlink, firewall, resync, retry)",
  labels: ["trigger"],
});
const changes = counter({
  name: "fairway_reconcile_changes_total",
  unit: "changes",
  help: "Map entries and attached programs that passes have added and removed",
  labels: ["change"],
});
const lastSuccess = gauge({
  name: "fairway_reconcile_last_success_timestamp_seconds",
  unit: "seconds",
  help: "When a pass last succeeded",
});
const warnings = gauge({
  name: "fairway_plan_warnings",
  unit: "warnings",
  help: "What is not on the fast path though one could expect it, by kind (fairway status tells more)",
  labels: ["code"],
});

/** The passes from listing the engine to the maps written. */
export const reconcile: CollectorKind = {
  name: "reconcile",
  metrics: [duration, phases, total, triggers, changes, lastSuccess, warnings],
  create: ({ source }) => {
    const counts = BOUNDS.map(() => 0).concat(0);
    let sum = 0;
    const seconds = { engine: 0, host: 0, apply: 0 };
    const results = { success: 0, failure: 0 };
    const changed = { added: 0, removed: 0 };
    const triggered = new Map<string, number>(TRIGGERS.map((trigger) => [trigger, 0]));
    return {
      observer: {
        reconciled(result) {
          const took = result.durationMs / 1000;
          const bucket = BOUNDS.findIndex((bound) => took <= bound);
          const index = bucket === -1 ? BOUNDS.length : bucket;
          counts[index] = (counts[index] ?? 0) + 1;
          sum += took;
          seconds.engine += result.engineMs / 1000;
          seconds.host += result.hostMs / 1000;
          seconds.apply += result.applyMs / 1000;
          results[result.ok ? "success" : "failure"]++;
          changed.added += result.added;
          changed.removed += result.removed;
          const words = result.trigger.split(",");
          const trigger = TRIGGERS.find((one) => words.includes(one)) ?? "other";
          triggered.set(trigger, (triggered.get(trigger) ?? 0) + 1);
        },
      },
      collect(out) {
        const status = source.status();
        out.addHistogram(duration, [], { bounds: BOUNDS, counts, sum });
        for (const [phase, spent] of Object.entries(seconds)) out.add(phases, [phase], spent);
        for (const [result, count] of Object.entries(results)) out.add(total, [result], count);
        for (const [trigger, count] of triggered) out.add(triggers, [trigger], count);
        for (const [change, count] of Object.entries(changed)) out.add(changes, [change], count);
        if (status.reconcile.lastSuccessAt > 0)
          out.add(lastSuccess, [], status.reconcile.lastSuccessAt / 1000);
        for (const { code } of status.warnings) out.add(warnings, [code], 1);
        return undefined;
      },
    };
  },
};
