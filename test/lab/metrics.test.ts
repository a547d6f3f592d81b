// A real Prometheus scrapes a real run: the scrape is well-formed, every panel of every dashboard has data, every rule works, no
// alert fires on a host that is well, and /sd leads to containers' own metrics.
//
// FAIRWAY_PICTURES=write draws the dashboards into docs/dashboards, of three minutes' load.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answers, draw } from "./dashboards/draw.js";
import { asked, dashboards } from "./dashboards/panels.js";
import { Prometheus, type Series } from "./dashboards/prometheus.js";
import {
  addresses,
  agent,
  createLab,
  enginesToTest,
  type Fairway,
  type Lab,
  metricsAddress,
  root,
  run,
  sleep,
  until,
} from "./lib/index.js";

const pictures = process.env.FAIRWAY_PICTURES === "write";
const patience = { timeout: 60_000, every: 500 };
const kind = enginesToTest().slice(-1)[0] ?? "29";

const compose = (service: string) => [
  "--label=com.docker.compose.project=shop",
  `--label=com.docker.compose.service=${service}`,
];

/** Two services of a compose project, one of them with a limit; a container with metrics of its own; one that asks. */
async function startContainers({ engine }: Lab): Promise<void> {
  await engine.images("nginx", "busybox");
  await engine.createNetwork("shop", "--label=fairway.matrix=true");
  const web = await engine.run("nginx", {
    name: "shop-web-1",
    network: "shop",
    publish: ["8080:80", "8082:82"],
    args: [...compose("web"), "--label=team=storefront"],
  });
  await engine.run("nginx", {
    name: "shop-api-1",
    network: "shop",
    publish: ["8081:80"],
    args: [...compose("api"), "--label=fairway.limit=2/s"],
  });
  const page = "mkdir /www && echo 'orders_total 7' > /www/metrics && exec httpd -f -p 9100 -h /www";
  await engine.run("busybox", {
    name: "orders",
    args: ["--label=fairway.scrape=9100/metrics"],
    command: ["sh", "-c", page],
  });
  await engine.run("busybox", { name: "odd", args: ["--label=fairway.scrape=169.254.169.254:80/x"] });
  const outside = `http://${addresses.internet}:8000/`;
  const inside = `http://${web.address()}/page`;
  const asks = `while :; do wget -qO /dev/null ${inside}; wget -qO /dev/null ${outside}; sleep 0.1; done`;
  await engine.run("busybox", {
    name: "shop-worker-1",
    network: "shop",
    args: compose("worker"),
    command: ["sh", "-c", asks],
  });
}

/** What goes on meanwhile: clients outside and processes of the host, some of them too many for the limit. */
function startLoad(lab: Lab): void {
  const { client, host, internet, disposers } = lab;
  internet.spawn(["busybox", "httpd", "-f", "-p", "8000", "-h", join(root, "docs")], { disposers });
  const loop = (command: string) => ["sh", "-c", `while :; do ${command}; done`];
  const get = (url: string) => `busybox wget -qO /dev/null ${url}`;
  client.spawn(loop(`${get(`http://${addresses.host}:8080/page`)}; sleep 0.05`), { disposers });
  client.spawn(
    loop(
      `for i in 1 2 3 4; do busybox nc -w 1 ${addresses.host} 8081 </dev/null >/dev/null & done; wait; sleep 0.2`,
    ),
    { disposers },
  );
  host.spawn(loop(`${get("http://127.0.0.1:8080/page")}; sleep 0.2`), { disposers });
}

describe(`metrics, as Prometheus sees them, engine ${kind}`, () => {
  let lab: Lab;
  let fairway: Fairway;
  let prometheus: Prometheus;

  beforeAll(async () => {
    lab = await createLab({ kind });
    await startContainers(lab);
    fairway = await lab.fairway({ args: ["--metrics-labels", "team", "--metrics-cadvisor"] });
    await fairway.knows("shop-worker-1");
    startLoad(lab);
    prometheus = await Prometheus.start(lab);
  }, 120_000);
  afterAll(() => lab?.dispose(), 60_000);

  it("has a scrape that promtool finds nothing wrong with", async () => {
    const { stdout } = await lab.host.exec(["curl", "-sS", `http://${metricsAddress}/metrics`]);
    expect(stdout).toContain("# TYPE fairway_endpoint_receive_packets_total counter");
    const { stderr } = await run(["promtool", "check", "metrics"], { input: stdout, mayFail: true });
    expect(stderr.trim()).toBe("");
  });

  it("leads Prometheus to the containers that have metrics of their own, and nowhere else", async () => {
    let found: Series[] = [];
    await until(
      "the container is scraped",
      async () => {
        found = await prometheus.query('up{job="containers"} == 1');
        return found.length > 0;
      },
      patience,
    );
    expect(found.map(({ metric }) => [metric.container, metric.network])).toEqual([["orders", "bridge"]]);
    expect((await prometheus.query("orders_total")).map(({ values }) => values[0]?.[1])).toEqual([7]);
    const metrics = await fairway.metrics();
    expect(metrics.sum("fairway_scrape_targets")).toBe(1);
    expect(metrics.sum("fairway_scrape_labels_refused")).toBe(1);
  });

  it("names containers by project, with the labels that were asked for and no others", async () => {
    const metrics = await fairway.metrics();
    const [web] = metrics.find("fairway_container_info", { container: "shop-web-1" });
    expect(Object.keys(web?.labels ?? {}).sort()).toEqual([
      "container",
      "container_id",
      "label_team",
      "project",
      "service",
    ]);
    expect(web?.labels).toMatchObject({ project: "shop", service: "web", label_team: "storefront" });
  });

  it("forgets a removed container at the next scrape", async () => {
    await lab.engine.docker(["rm", "-f", "odd"]);
    await until(
      "fairway has seen it",
      async () => !(await fairway.page("/metrics")).includes('container="odd"'),
      patience,
    );
  });

  it("has data for every panel of every dashboard", async () => {
    const asks = dashboards().flatMap(({ uid, panels }) =>
      panels.flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => ({ name: `${uid}: ${title}`, expr: asked(expr, "10s") })),
      ),
    );
    expect(asks.length).toBeGreaterThan(80);
    let empty = asks;
    const still = async () => {
      const answered = await Promise.all(
        empty.map(async ({ expr }) => {
          const series = await prometheus.query(expr);
          return series.some(({ values }) => values.some(([, value]) => Number.isFinite(value)));
        }),
      );
      empty = empty.filter((_, index) => !answered[index]);
      return empty.length === 0;
    };
    await until("every panel has data", still, patience).catch(() => undefined);
    expect(empty.map((one) => JSON.stringify(one))).toEqual([]);
  });

  it("shows who sends whom within the network that asks for it, and at which uplink XDP passes and drops", async () => {
    for (const expr of [
      'fairway_network_pair_bytes_total{network="shop",from="shop-worker-1",to="shop-web-1"} > 1000',
      'fairway_network_pair_packets_total{network="shop",from="shop-web-1",to="shop-worker-1"} > 10',
      'fairway_uplink_xdp_packets_total{device="eth0",verdict="pass"} > 10',
      'fairway_uplink_xdp_packets_total{device="eth0",verdict="drop"} > 0',
    ])
      await until(expr, async () => (await prometheus.query(expr)).length === 1, patience);
    const metrics = await fairway.metrics();
    const networks = metrics.find("fairway_network_pair_packets_total").map(({ labels }) => labels.network);
    expect(new Set(networks)).toEqual(new Set(["shop"]));
  });

  it("shows what was refused, and by which path packets went", async () => {
    await until(
      "the limit refuses",
      async () =>
        (
          await prometheus.query(
            'fairway_endpoint_dropped_packets_total{container="shop-api-1",reason="limited"} > 0',
          )
        ).length > 0,
      patience,
    );
    const fast = 'sum by (container) (fairway_endpoint_receive_packets_total{path="fast"}) > 10';
    await until(
      "packets are fast",
      async () => {
        const found = (await prometheus.query(fast)).map(({ metric }) => metric.container);
        return ["shop-web-1", "shop-worker-1"].every((name) => found.includes(name));
      },
      patience,
    );
  });

  it("has each published port's traffic by itself, and no series of what a port has had none of", async () => {
    const of = async (metric: string) => {
      const metrics = await fairway.metrics();
      const series = metrics.find(`fairway_published_port_${metric}_total`);
      return series.map(({ labels }) => `${labels.container} ${labels.proto} ${labels.published}`).sort();
    };
    const [web, api] = ["shop-web-1 tcp 0.0.0.0:8080", "shop-api-1 tcp 0.0.0.0:8081"];
    for (const metric of ["receive_packets", "receive_bytes", "transmit_packets", "transmit_bytes"])
      expect(await of(metric), metric).toEqual([api, web]);
    expect(await of("connections")).toEqual([api, web]);
    expect(await of("refused_packets")).toEqual([api]);
    expect((await fairway.metrics()).sum("fairway_published_port_info", { published: "0.0.0.0:8082" })).toBe(
      1,
    );
  });

  it("has rules that work, and no alert on a host that is well", async () => {
    let rules = await prometheus.rules();
    await until(
      "every rule was evaluated",
      async () => {
        rules = await prometheus.rules();
        return rules.every(({ health }) => health !== "unknown");
      },
      patience,
    );
    expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
    expect(rules.filter(({ state }) => state === "firing").map(({ name }) => name)).toEqual([]);
    expect(rules.length).toBeGreaterThan(30);
  });

  // Not it.runIf: what is skipped counts as a failure of the suite.
  if (pictures)
    it("draws the dashboards into docs/dashboards", async () => {
      const seconds = 180;
      lab.client.spawn(
        [
          "sh",
          "-c",
          `while :; do ${process.execPath} ${agent("http-load.mjs")} http://${addresses.host}:8080/page 400 keep 4 >/dev/null; sleep 2; done`,
        ],
        { disposers: lab.disposers },
      );
      await sleep(seconds * 1000);
      await mkdir(join(root, "docs/dashboards"), { recursive: true });
      for (const dashboard of dashboards()) {
        const answers: Answers = new Map(
          await Promise.all(
            dashboard.panels.map(
              async (panel) =>
                [
                  panel,
                  await Promise.all(
                    (panel.targets ?? []).map(({ expr }) =>
                      panel.type === "table"
                        ? prometheus.query(asked(expr, "20s"))
                        : prometheus.range(asked(expr, "20s"), seconds, 4),
                    ),
                  ),
                ] as const,
            ),
          ),
        );
        await writeFile(join(root, "docs/dashboards", `${dashboard.uid}.svg`), draw(dashboard, answers));
      }
    }, 400_000);
});
