import { container } from "./container.js";
import { datapath } from "./datapath.js";
import { drops } from "./drops.js";
import { build } from "./frame.js";
import { host } from "./host.js";
import { network } from "./network.js";
import { ports } from "./ports.js";

/** The files of grafana/dashboards by name: what Grafana is to be provisioned with. */
export function dashboardFiles(): Map<string, string> {
  const pages = [host, network, container, ports, datapath, drops];
  return new Map(pages.map((page) => [`${page.uid}.json`, `${JSON.stringify(build(page), undefined, 2)}\n`]));
}
