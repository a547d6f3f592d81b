import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { promisify } from "node:util";
import type { Config } from "../../config/schema.js";
import { Pins } from "../../datapath/pins.js";
import { StateFile } from "../../datapath/state_file.js";
import { engineAddress } from "../../docker/address.js";
import { EngineClient } from "../../docker/client.js";
import { Inventory } from "../../docker/inventory.js";
import type { EngineState } from "../../docker/model.js";
import { errorMessage } from "../../errors.js";
import { layoutHash } from "../../generated/index.js";
import { lookAtFirewall } from "../../host/firewall.js";
import { hostState } from "../../host/snapshot.js";
import { readSysctl } from "../../host/sysctl.js";
import { kernelBtfAvailable, type NetLink, supportsTcx } from "../../native/index.js";
import { chooseUplinks } from "../../plan/uplinks.js";
import type { Context } from "../context.js";
import { daemonStatus } from "../running.js";
import { engineAt, engineProcesses } from "./engines.js";
import type { Facts } from "./facts.js";
import { parentFacts } from "./parents.js";
import { foreignPrograms } from "./programs.js";

const run = promisify(execFile);
/** The kernel's functions by which the programs make connections. */
const NAT_FUNCTIONS = ["bpf_skb_ct_alloc", "bpf_ct_set_nat_info", "bpf_ct_insert_entry"];
const ENGINE_MS = 20_000;

/** Reads everything that is judged; changes nothing. */
export async function look(config: Config, environment: Context["environment"]): Promise<Facts> {
  const address = engineAddress(config.dockerHost, environment);
  const processes = engineProcesses();
  const process = engineAt(address.display, processes);
  const asked = await askEngine(address);
  const bridges = new Set((asked.state?.networks ?? []).flatMap(({ bridgeName }) => bridgeName ?? []));
  const host = hostState([]);
  const uplinks = chooseUplinks(host, bridges, { uplinks: config.uplinks });
  const firewall = await lookAtFirewall(
    {
      bridges,
      hostBridges: new Set(host.links.flatMap(({ kind, name }) => (kind === "bridge" ? name : []))),
      snatAddresses: new Set(
        (asked.state?.networks ?? []).flatMap(({ hostIpv4, hostIpv6 }) =>
          [hostIpv4 ?? [], hostIpv6 ?? []].flat(),
        ),
      ),
    },
    new Set(uplinks.map(({ name }) => name)),
  );
  const daemon = await daemonStatus(config.stateDir);
  const pins = new Pins(config.bpffs);
  const saved = new StateFile(config.stateDir).read();
  const endpoints = host.links.filter(
    ({ master }) => master !== undefined && isOneOf(master, host.links, bridges),
  );
  const liberal = readSysctl("net.netfilter.nf_conntrack_tcp_be_liberal");
  return {
    mode: config.mode,
    trustFirewall: config.trustFirewall,
    engine: {
      address: address.display,
      ...(asked.state !== undefined && { version: asked.state.version }),
      ...(asked.error !== undefined && { error: asked.error }),
      ...(process !== undefined && { process }),
      others: processes.filter((one) => one !== process),
      ipv6: asked.state?.networks.some((network) => network.driver === "bridge" && network.ipv6) ?? false,
    },
    kernel: {
      release: release(),
      btf: kernelBtfAvailable(),
      tcx: supportsTcx(),
      nat: await hasNatFunctions(),
    },
    forwarding: host.sysctls.forwarding,
    bridged: {
      4: readSysctl("net.bridge.bridge-nf-call-iptables") === "1",
      6: readSysctl("net.bridge.bridge-nf-call-ip6tables") === "1",
    },
    liberal: liberal === undefined ? undefined : liberal === "1",
    conntrack: host.conntrack,
    firewall,
    uplinks: uplinks.map(({ name }) => name),
    programs: await foreignPrograms([...uplinks, ...endpoints], pins),
    parents: await parentFacts(asked.state, host),
    daemon: daemon && {
      pid: daemon.pid,
      mode: daemon.mode,
      state: daemon.state,
      warnings: daemon.warnings.length,
    },
    pinned: {
      there: existsSync(pins.maps) && pins.list(pins.maps).length > 0,
      bpffs: config.bpffs,
      other: saved.layout !== undefined && saved.layout !== layoutHash,
    },
  };
}

function isOneOf(ifindex: number, links: readonly NetLink[], names: ReadonlySet<string>): boolean {
  return links.some((link) => link.ifindex === ifindex && names.has(link.name));
}

/** What the engine has, or why it can't be asked. */
async function askEngine(
  address: ReturnType<typeof engineAddress>,
): Promise<{ state?: EngineState; error?: string }> {
  const client = new EngineClient(address);
  try {
    const signal = AbortSignal.timeout(ENGINE_MS);
    const version = await client.negotiate(signal);
    return { state: await new Inventory(client, () => undefined, signal).look(version) };
  } catch (error) {
    return { error: errorMessage(error) };
  } finally {
    client.close();
  }
}

/** Modules are loaded first, as `fairway run` does; built in, there is nothing to load. */
async function hasNatFunctions(): Promise<boolean> {
  await run("modprobe", ["-a", "-q", "nf_conntrack", "nf_nat"], { timeout: 10_000 }).catch(() => undefined);
  const symbols = readFileSync("/proc/kallsyms", "latin1");
  return NAT_FUNCTIONS.every((name) => new RegExp(`\\s${name}(\\s|$)`, "m").test(symbols));
}
