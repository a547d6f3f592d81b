// A real Prometheus (Debian's) on the lab's host, scraping fairway and the containers that /sd names.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Lab, metricsAddress, root, until } from "../lib/index.js";

const address = "127.0.0.1:9090";

/** One series of an answer: its labels and its values by time (seconds). */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, number])[];
}

interface Answer<T> {
  status: string;
  error?: string;
  data: T;
}

interface Result {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}

export interface RuleState {
  name: string;
  type: "alerting" | "recording";
  health: string;
  lastError?: string;
  /** Of alerts: inactive, pending, firing. */
  state?: string;
}

export class Prometheus {
  private constructor(private readonly lab: Lab) {}

  /** Starts one and waits until it answers. It scrapes each second, with grafana's rules loaded. */
  static async start(lab: Lab): Promise<Prometheus> {
    const directory = join(lab.dir, "prometheus");
    await mkdir(directory);
    const config = join(directory, "prometheus.yml");
    await writeFile(
      config,
      `global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 2s }
rule_files: [${root}/grafana/rules/records.yml, ${root}/grafana/rules/alerts.yml]
scrape_configs:
  - job_name: fairway
    static_configs: [{ targets: ["${metricsAddress}"] }]
  - job_name: containers
    http_sd_configs: [{ url: "http://${metricsAddress}/sd", refresh_interval: 1s }]
`,
    );
    const data = join(directory, "data");
    const flags = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${data}`,
      `--web.listen-address=${address}`,
    ];
    lab.host.spawn(["prometheus", ...flags, "--log.level=warn"], { disposers: lab.disposers });
    const prometheus = new Prometheus(lab);
    await until("Prometheus answers", () =>
      prometheus.#get("/api/v1/status/buildinfo").then(Boolean, () => false),
    );
    return prometheus;
  }

  async #get<T>(path: string): Promise<T> {
    const { stdout } = await this.lab.host.exec(["curl", "-sS", "-m", "10", `http://${address}${path}`]);
    const answer = JSON.parse(stdout) as Answer<T>;
    if (answer.status !== "success") throw new Error(answer.error ?? stdout);
    return answer.data;
  }

  /** An expression now. */
  async query(expr: string): Promise<Series[]> {
    const { result } = await this.#get<{ result: Result[] }>(
      `/api/v1/query?query=${encodeURIComponent(expr)}`,
    );
    return result.map(series);
  }

  /** An expression over the last `seconds`, a value each `step` seconds. */
  async range(expr: string, seconds: number, step: number): Promise<Series[]> {
    const end = Math.floor(Date.now() / 1000);
    const query = `query=${encodeURIComponent(expr)}&start=${end - seconds}&end=${end}&step=${step}`;
    const { result } = await this.#get<{ result: Result[] }>(`/api/v1/query_range?${query}`);
    return result.map(series);
  }

  async rules(): Promise<RuleState[]> {
    const { groups } = await this.#get<{ groups: { rules: RuleState[] }[] }>("/api/v1/rules");
    return groups.flatMap(({ rules }) => rules);
  }
}

function series({ metric, value, values }: Result): Series {
  const all = values ?? (value === undefined ? [] : [value]);
  return { metric, values: all.map(([time, text]) => [time, Number(text)] as const) };
}
