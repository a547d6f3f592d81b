import type { CollectorKind } from "../collector.js";
import { gauge } from "../metric.js";

const info = gauge({
  name: "fairway_build_info",
  unit: "none",
  help: "fairway's version, the kernel's and the mode; always 1",
  labels: ["version", "kernel", "mode"],
});
const attach = gauge({
  name: "fairway_datapath_info",
  unit: "none",
  help: "How the programs are attached (tcx, clsact), and whether the last start went on with a datapath that it found; always 1",
  labels: ["attach", "adopted"],
});

/** What is running here. */
export const buildInfo: CollectorKind = {
  name: "build_info",
  metrics: [info, attach],
  create: ({ source, version, kernel }) => ({
    collect(out) {
      const { mode, attach: how, adopted } = source.status();
      out.add(info, [version, kernel, mode], 1);
      if (source.reader !== undefined) out.add(attach, [how, String(adopted)], 1);
      return undefined;
    },
  }),
};
