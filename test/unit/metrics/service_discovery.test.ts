import { describe, expect, it } from "vitest";
import { parseScrapeLabel, SCRAPE_LABEL, scrapeTargets } from "../../../src/metrics/service_discovery.js";
import { container } from "./source.js";

const labelled = (label: string, change: Parameters<typeof container>[0] = {}) =>
  container({ labels: { [SCRAPE_LABEL]: label }, ...change });
const endpoint = (networkName: string, change: object) => ({
  networkId: networkName,
  networkName,
  endpointId: "e".repeat(64),
  gatewayPriority: 0,
  ...change,
});

describe("/sd", () => {
  it("has a target for each running container with the label, and for no other", () => {
    const { targets, refused } = scrapeTargets([
      labelled("9100"),
      labelled("8080/metrics/all", {
        name: "app",
        labels: {
          [SCRAPE_LABEL]: "8080/metrics/all",
          "com.docker.compose.project": "shop",
          "com.docker.compose.service": "api",
        },
      }),
      container({ name: "without" }),
      labelled("9100", { name: "stopped", running: false }),
    ]);
    expect(targets).toEqual([
      {
        targets: ["172.17.0.2:9100"],
        labels: { __metrics_path__: "/metrics", container: "web", network: "bridge" },
      },
      {
        targets: ["172.17.0.2:8080"],
        labels: {
          __metrics_path__: "/metrics/all",
          container: "app",
          network: "bridge",
          project: "shop",
          service: "api",
        },
      },
    ]);
    expect(refused).toEqual([]);
  });

  it("goes to the address of the container's gateway endpoint, IPv6 where there is no other", () => {
    const of = (...endpoints: ReturnType<typeof endpoint>[]) =>
      scrapeTargets([labelled("80", { endpoints })]).targets.map(({ targets }) => targets[0]);
    expect(of(endpoint("b", { address4: "10.0.0.2" }), endpoint("a", { address4: "10.1.0.2" }))).toEqual([
      "10.1.0.2:80",
    ]);
    expect(
      of(
        endpoint("b", { address4: "10.0.0.2", gatewayPriority: 1 }),
        endpoint("a", { address4: "10.1.0.2" }),
      ),
    ).toEqual(["10.0.0.2:80"]);
    expect(of(endpoint("six", { address6: "2001:db8::2" }))).toEqual(["[2001:db8::2]:80"]);
  });

  it("refuses labels that are anything but a port and a plain path, and containers without an address", () => {
    for (const label of [
      "",
      "0",
      "65536",
      "080",
      "80 ",
      "80/a b",
      "80/a?b=c",
      "80/#x",
      "80/%2e%2e",
      "169.254.169.254:80",
      "80@evil.example:81",
      "80/\n__address__: evil",
      "80/é",
      `80/${"a".repeat(300)}`,
    ])
      expect(parseScrapeLabel(label), label).toBeUndefined();
    const hostile = scrapeTargets([
      labelled("evil\u001b[2J:80"),
      labelled("80", { name: "hosts-own", endpoints: [], networkMode: "host" }),
    ]);
    expect(hostile.targets).toEqual([]);
    expect(hostile.refused).toEqual([
      'container web: fairway.scrape is PORT or PORT/path, not "evil\ufffd[2J:80"',
      "container hosts-own: it has no address on a network of its own",
    ]);
  });

  it("does not let a container's labels name another address or job", () => {
    const { targets } = scrapeTargets([
      labelled("80", {
        labels: {
          [SCRAPE_LABEL]: "80",
          "com.docker.compose.project": 'x"},"targets":["evil:1"]\u0000',
          __address__: "evil:1",
          job: "fairway",
        },
      }),
    ]);
    expect(JSON.parse(JSON.stringify(targets))).toEqual([
      {
        targets: ["172.17.0.2:80"],
        labels: {
          __metrics_path__: "/metrics",
          container: "web",
          network: "bridge",
          project: 'x"},"targets":["evil:1"]\ufffd',
        },
      },
    ]);
  });
});
