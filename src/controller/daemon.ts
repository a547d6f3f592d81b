import { execFile } from "node:child_process";
import { Datapath } from "../datapath/datapath.js";
import type { DatapathReader } from "../datapath/reader.js";
import { engineAddress } from "../docker/address.js";
import type { EngineNetwork, EngineState } from "../docker/model.js";
import { errorMessage, UserError } from "../errors.js";
import { HostLists } from "../host/host_lists.js";
import { hostState } from "../host/snapshot.js";
import type { FirewallState, HostState } from "../host/state.js";
import { readSysctls } from "../host/sysctl.js";
import { checkUplinks } from "../host/uplinks.js";
import { ParentKeeper } from "../parents/keeper.js";
import { likelyEndpointDevices } from "../plan/endpoint_devices.js";
import { Planner } from "../plan/planner.js";
import { asIfItWroteRules } from "../plan/slow_path.js";
import type { Plan, PlannedUplink } from "../plan/types.js";
import { chooseUplinks } from "../plan/uplinks.js";
import { SlowPathKeeper } from "../slowpath/keeper.js";
import { Backoff } from "./backoff.js";
import { EngineSide } from "./engine_side.js";
import { FirewallWatch } from "./firewall_watch.js";
import { HostWatch } from "./host_watch.js";
import { StatusServer } from "./status_server.js";
import { Trigger } from "./trigger.js";
import type {
  DaemonConfig,
  DaemonDeps,
  DaemonStatus,
  EngineStatus,
  MetricsSource,
  ReconcileResult,
} from "./types.js";

export type {
  DaemonConfig,
  DaemonDeps,
  DaemonObserver,
  DaemonStatus,
  EngineStatus,
  MetricsSource,
  ReconcileResult,
} from "./types.js";

const RESYNC_MS = 60_000;
const SWEEP_MS = 1_000;
/** What passes are set off by after which mode replace's rules are looked at. */
const RULES_MAY_HAVE_CHANGED: ReadonlySet<string> = new Set(["start", "firewall", "resync", "retry"]);

/** Keeps the datapath as the engine has it: the whole of `fairway run` but for the command line and the metrics. */
export class Daemon implements MetricsSource {
  readonly #startedAt = Date.now();
  readonly #server: StatusServer;
  readonly #trigger: Trigger;
  readonly #retry = new Backoff(200, 10_000);
  readonly #closers: (() => void | Promise<void>)[] = [];
  #state: DaemonStatus["state"] = "starting";
  #stopping: Promise<void> | undefined;
  #engine: EngineSide | undefined;
  #datapath: Datapath | undefined;
  readonly #hostLists = new HostLists();
  readonly #planner: Planner;
  #hostWatch: HostWatch | undefined;
  #firewallWatch: FirewallWatch | undefined;
  readonly #parents: ParentKeeper;
  /** Mode replace's. */
  readonly #slowPath: SlowPathKeeper | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #firstPass: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  #engineState: EngineState | undefined;
  #plan: Plan | undefined;
  #reconciles = { count: 0, failures: 0, lastSuccessAt: 0, last: undefined as ReconcileResult | undefined };
  #warned = new Set<string>();
  /** What the datapath was last applied with: the firewall's rules, other than the engine's, and the uplinks. */
  #appliedWith: Record<"firewall rules" | "uplinks", string> | undefined;

  constructor(
    readonly config: DaemonConfig,
    readonly deps: DaemonDeps,
  ) {
    this.#server = new StatusServer(config.stateDir, {
      "/status": () => this.status(),
      "/endpoints": () => this.reader?.endpoints() ?? [],
      "/ports": () => this.reader?.ports() ?? [],
      "/hostPorts": () => this.reader?.hostPorts() ?? [],
      "/reasons": () => this.reader?.reasons() ?? [],
      "/maps": () => this.reader?.maps() ?? [],
    });
    this.#planner = new Planner(config);
    this.#trigger = new Trigger((reasons) => this.#pass(reasons));
    this.#parents = new ParentKeeper(deps.log);
    if (config.mode === "replace") this.#slowPath = new SlowPathKeeper(config.stateDir, deps.log);
  }

  get reader(): DatapathReader | undefined {
    return this.#datapath?.reader;
  }

  get engineState(): EngineState | undefined {
    return this.#engineState;
  }

  /**
   * Loads (or adopts) the datapath, connects to the engine and resolves after the first reconcile: ready.
   * @throws UserError for everything that the user can fix; then nothing is left attached that was not there before.
   */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { config, deps } = this;
    const address = engineAddress(config.dockerHost, deps.env ?? process.env);
    checkUplinks(config.uplinks);
    await this.#server.open();
    this.#closers.push(() => this.#server.close());

    // Asked before anything is loaded: without an engine there is nothing to do, and nothing is to be left.
    const engine = new EngineSide(
      address,
      {
        changed: (reason, urgent) => this.#trigger.fire(reason, urgent),
        news: () => this.#trigger.prompt("events"),
      },
      deps,
    );
    this.#engine = engine;
    this.#closers.push(() => engine.close());
    await engine.negotiate();

    await loadModules();
    this.#datapath = Datapath.open({
      bpffs: config.bpffs,
      stateDir: config.stateDir,
      flowsMax: config.flowsMax,
      timeouts: readSysctls().timeouts,
      log: deps.log,
    });
    this.#closers.push(() => this.#datapath?.close());

    const first = new Promise<void>((resolve, reject) => {
      this.#firstPass = { resolve, reject };
    });
    // Looked at below; should the start fail before, nobody is left waiting for it.
    first.catch(() => undefined);
    this.#watchHost();
    await engine.watch();
    this.#repeat(RESYNC_MS, () => {
      this.#firewallWatch?.forget();
      this.#hostLists.forget();
      this.#engine?.routine();
      this.#trigger.fire("resync");
    });
    this.#repeat(SWEEP_MS, () => this.#sweep());
    await first;
  }

  /** Stops watching. The pinned datapath stays and goes on forwarding. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#state = "stopping";
    this.#engine?.abort();
    clearTimeout(this.#retryTimer);
    this.#firstPass?.reject(new Error("stopped before the first pass"));
    await this.#trigger.close();
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  #watchHost(): void {
    const watch = new HostWatch(
      {
        // Its packets must not meet the next owner of its address: not even for the length of a debounce.
        gone: (ifindexes) => this.#forget(ifindexes),
        changed: (urgent) => this.#trigger.fire("netlink", urgent),
        voided: (why) => {
          const epoch = this.#datapath?.bumpEpoch();
          this.deps.log.info({ epoch, why }, "the host's routing changed: every flow finds its way anew");
        },
      },
      this.#hostLists,
    );
    this.#hostWatch = watch;
    this.#closers.push(() => watch.close());
    const firewall = new FirewallWatch(() => {
      this.#datapath?.forgetLearned();
      this.#trigger.fire("firewall", true);
    });
    this.#firewallWatch = firewall;
    this.#closers.push(() => firewall.close());
  }

  #repeat(ms: number, work: () => void): void {
    const timer = setInterval(work, ms);
    this.#closers.push(() => clearInterval(timer));
  }

  #forget(ifindexes: ReadonlySet<number>): void {
    try {
      const endpoints = this.#datapath?.forgetDevices(ifindexes) ?? 0;
      if (endpoints > 0) this.deps.log.debug({ ifindexes: [...ifindexes], endpoints }, "devices gone");
    } catch (error) {
      this.deps.log.error({ err: error }, "endpoints of devices that are gone could not be removed");
    }
  }

  #sweep(): void {
    try {
      this.#datapath?.sweep();
    } catch (error) {
      this.deps.log.error({ err: error }, "flow table could not be swept");
    }
  }

  /** One reconcile; never rejects. */
  async #pass(reasons: string[]): Promise<void> {
    const trigger = reasons.join(",");
    const started = performance.now();
    const result: ReconcileResult = {
      ok: false,
      durationMs: 0,
      engineMs: 0,
      hostMs: 0,
      applyMs: 0,
      trigger,
      added: 0,
      removed: 0,
    };
    let failure: unknown;
    try {
      await this.#reconcile(result, reasons);
      result.ok = true;
    } catch (error) {
      failure = error;
      result.error = errorMessage(error);
    }
    result.durationMs = performance.now() - started;
    this.#account(result, failure);
  }

  async #reconcile(result: ReconcileResult, reasons: readonly string[]): Promise<void> {
    const started = performance.now();
    const isNow = this.#engine?.connected ?? false;
    const seen = await this.#lookAtEngine();
    const engine = this.#slowPath === undefined ? seen : asIfItWroteRules(seen);
    const looked = performance.now();
    result.engineMs = looked - started;
    const host = await this.#lookAtHost(engine);
    const planned = this.#planner.plan(engine, host);
    const decided = performance.now();
    result.hostMs = decided - looked;
    // Before the fast path: what it may make of a connection, the rules have to allow.
    await this.#slowPath?.apply(
      engine,
      host.links,
      isNow,
      reasons.some((reason) => RULES_MAY_HAVE_CHANGED.has(reason)),
    );
    const applied = await this.#datapath?.apply(planned);
    const parents = await this.#parents.apply(planned);
    result.applyMs = performance.now() - decided;
    result.added = (applied?.added ?? 0) + parents.added;
    result.removed = (applied?.removed ?? 0) + parents.removed;
    this.#engine?.hold(seen);
    this.#engineState = engine;
    this.#plan = {
      ...planned,
      warnings: [...planned.warnings, ...(applied?.warnings ?? []), ...parents.warnings],
    };
    this.#voidFor(host.foreignRules, planned.uplinks);
    this.#hostWatch?.know(host, planned, bridgesOf(engine.networks));
    this.#warn(this.#plan);
    this.#retryIfUnsettled(planned);
  }

  /** While the engine is gone, what it last said holds: only the host is looked at anew. */
  #lookAtEngine(): Promise<EngineState> {
    if (this.#engine === undefined) throw new Error("the engine is not watched");
    // While the containers are inspected the rules are read, and programs attached where they are likely to be wanted.
    return this.#engine.look((networks) => {
      const host = this.#hostLists.look(new Set());
      void this.#lookAtFirewall(networks, host).catch(() => undefined);
      // After a reconnect most are attached, and whom a label leaves to the engine is known.
      if (this.#plan === undefined) this.#datapath?.attachAhead(likelyEndpointDevices(networks, host.links));
    });
  }

  async #lookAtHost(engine: EngineState): Promise<HostState> {
    this.#hostWatch?.poll();
    const host = hostState(sandboxKeys(engine), this.#hostLists);
    const firewall = await this.#lookAtFirewall(engine.networks, host);
    const ignored = this.config.trustFirewall === "ignore";
    // What doesn't count on the fast path voids nothing of it when it changes.
    return {
      ...host,
      ...firewall,
      ...(ignored && { foreignRules: "" }),
      ...this.#slowPath?.nat(engine, firewall),
    };
  }

  async #lookAtFirewall(
    networks: readonly EngineNetwork[],
    host: Pick<HostState, "links" | "addresses" | "defaultRoutes">,
  ): Promise<FirewallState> {
    const bridges = bridgesOf(networks);
    const uplinks = chooseUplinks(host, bridges, { uplinks: this.config.uplinks });
    const firewall = await this.#firewallWatch?.look(
      {
        bridges,
        hostBridges: new Set(host.links.flatMap((l) => (l.kind === "bridge" ? l.name : []))),
        snatAddresses: new Set(networks.flatMap((n) => [n.hostIpv4 ?? [], n.hostIpv6 ?? []].flat())),
      },
      new Set(uplinks.map((u) => u.name)),
    );
    if (firewall === undefined) throw new Error("the firewall is not watched");
    return firewall;
  }

  /** What was open before rules of the user's, or the ways outside, changed is looked up again in conntrack. */
  #voidFor(foreignRules: string, uplinks: PlannedUplink[]): void {
    const before = this.#appliedWith;
    const now = { "firewall rules": foreignRules, uplinks: JSON.stringify(uplinks) };
    this.#appliedWith = now;
    if (before === undefined) return;
    const changed = (Object.keys(now) as (keyof typeof now)[]).filter((what) => now[what] !== before[what]);
    if (changed.length === 0) return;
    const epoch = this.#datapath?.bumpEpoch();
    this.deps.log.info(
      { epoch },
      `the host's ${changed.join(" and ")} changed: every flow finds its way anew`,
    );
  }

  #account(result: ReconcileResult, failure: unknown): void {
    const { log, observer } = this.deps;
    if (this.#state === "stopping") return;
    this.#reconciles.count++;
    this.#reconciles.last = result;
    const times = {
      trigger: result.trigger,
      ms: tenths(result.durationMs),
      engineMs: tenths(result.engineMs),
      hostMs: tenths(result.hostMs),
      applyMs: tenths(result.applyMs),
    };
    if (result.ok) {
      this.#reconciles.lastSuccessAt = Date.now();
      const { added, removed } = result;
      if (added + removed > 0) log.info({ ...times, added, removed }, "reconciled");
      else log.debug(times, "reconciled, nothing to do");
      if (this.#state === "starting") this.#state = "ready";
      this.#firstPass?.resolve();
      this.#firstPass = undefined;
    } else {
      this.#reconciles.failures++;
      log.error({ ...times, error: result.error }, "reconcile failed; the datapath stays as it was");
      // What the kernel refuses at the start it will refuse again; an engine that hiccups may not.
      if (failure instanceof UserError || (failure instanceof Error && failure.name === "NativeError")) {
        this.#firstPass?.reject(failure);
        this.#firstPass = undefined;
      }
      this.#retryLater();
    }
    observer?.reconciled?.(result);
  }

  #retryIfUnsettled(planned: Plan): void {
    if (this.#slowPath?.unsettled || planned.warnings.some((w) => w.transient)) {
      // Should a change be the kernel's that it does not tell of.
      this.#hostLists.forget();
      this.#retryLater();
    } else this.#retry.reset();
  }

  #retryLater(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#trigger.fire("retry"), this.#retry.next());
  }

  /** Each warning is logged when it comes, and again when it has been away. */
  #warn(planned: Plan): void {
    const now = new Set<string>();
    for (const { code, message, transient } of planned.warnings) {
      now.add(message);
      if (!this.#warned.has(message)) this.deps.log[transient ? "debug" : "warn"]({ code }, message);
    }
    this.#warned = now;
  }

  status(): DaemonStatus {
    const flows = this.reader?.flows();
    return {
      state: this.#state,
      pid: process.pid,
      startedAt: this.#startedAt,
      mode: this.config.mode,
      attach: this.#datapath?.attachMode ?? "tcx",
      bpffs: this.config.bpffs,
      adopted: this.#datapath?.adopted ?? false,
      engine: this.#engine?.status() ?? NOT_ASKED,
      uplinks: (this.#plan?.uplinks ?? []).map((u) => ({
        name: u.name,
        ifindex: u.ifindex,
        mtu: u.mtu,
        addresses: [...u.addresses.map((a) => a.address), ...(u.ipv6 === undefined ? [] : [u.ipv6])],
      })),
      trustFirewall: this.config.trustFirewall ?? "auto",
      hostSockets: this.#datapath?.hostSocketsAttached ? "attached" : "not attached",
      counts: {
        endpoints: this.#plan?.endpoints.length ?? 0,
        ports: this.#plan?.ports.length ?? 0,
        hostPorts: this.#plan?.hostPorts.length ?? 0,
        flows: flows?.entries ?? 0,
        flowsMax: flows?.maxEntries ?? 2 * this.config.flowsMax,
      },
      reconcile: { ...this.#reconciles },
      leftToEngine: this.#plan?.leftToEngine ?? [],
      warnings: this.#plan?.warnings ?? [],
    };
  }
}

/** Of an engine that has not been asked for yet. */
const NOT_ASKED: EngineStatus = {
  connected: false,
  address: "",
  version: undefined,
  apiVersion: undefined,
  disconnects: 0,
  error: undefined,
};

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Only of containers that have something on a bridge. */
function sandboxKeys(engine: EngineState): Set<string> {
  const bridged = new Set(engine.networks.filter((n) => n.driver === "bridge").map((n) => n.id));
  return new Set(
    engine.containers
      .filter((c) => c.running && c.endpoints.some((e) => bridged.has(e.networkId)))
      .map((c) => c.sandboxKey),
  );
}

function bridgesOf(networks: readonly EngineNetwork[]): Set<string> {
  return new Set(networks.flatMap((n) => (n.bridgeName === undefined ? [] : [n.bridgeName])));
}

/** Best effort: where they are built in there is nothing to load, and what is missing shows when the programs load. */
function loadModules(): Promise<void> {
  return new Promise((resolve) => {
    execFile("modprobe", ["-a", "-q", "nf_conntrack", "nf_nat"], { timeout: 10_000 }, () => resolve());
  });
}
