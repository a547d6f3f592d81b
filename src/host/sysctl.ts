import { readFileSync, writeFileSync } from "node:fs";
import type { ConntrackTable, ConntrackTimeouts, HostSysctls } from "./state.js";

/** The kernel's own values (net/netfilter/nf_conntrack_proto_tcp.c and _udp.c), in seconds. */
export const TIMEOUT_DEFAULTS: Readonly<ConntrackTimeouts> = {
  tcpEstablished: 432_000,
  tcpSynSent: 120,
  tcpSynRecv: 60,
  tcpFinWait: 120,
  tcpClose: 10,
  udp: 30,
  udpStream: 120,
};

const TIMEOUT_NAMES: Record<keyof ConntrackTimeouts, string> = {
  tcpEstablished: "tcp_timeout_established",
  tcpSynSent: "tcp_timeout_syn_sent",
  tcpSynRecv: "tcp_timeout_syn_recv",
  tcpFinWait: "tcp_timeout_fin_wait",
  tcpClose: "tcp_timeout_close",
  udp: "udp_timeout",
  udpStream: "udp_timeout_stream",
};

/**
 * A sysctl of our network namespace ("net.ipv4.ip_forward") as text; undefined where the kernel has none of that name.
 * /proc/sys/net is of the reading process's namespace, whoever mounted /proc.
 */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(sysctlPath(name), "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Sets a sysctl. @throws the file system's error (ENOENT: no such sysctl, EPERM, EROFS: not permitted). */
export function writeSysctl(name: string, value: string): void {
  writeFileSync(sysctlPath(name), value);
}

/** What the planner and the programs need to know; what isn't there has the kernel's default. */
export function readSysctls(): HostSysctls {
  const timeouts = { ...TIMEOUT_DEFAULTS };
  for (const [key, name] of Object.entries(TIMEOUT_NAMES) as [keyof ConntrackTimeouts, string][]) {
    const value = Number(readSysctl(`net.netfilter.nf_conntrack_${name}`) ?? "");
    if (Number.isInteger(value) && value > 0) timeouts[key] = value;
  }
  return {
    forwarding: {
      4: readSysctl("net.ipv4.ip_forward") === "1",
      6: readSysctl("net.ipv6.conf.all.forwarding") === "1",
    },
    timeouts,
  };
}

/** How full conntrack is; undefined where it is not there. */
export function readConntrackTable(): ConntrackTable | undefined {
  const entries = Number(readSysctl("net.netfilter.nf_conntrack_count") ?? "x");
  const max = Number(readSysctl("net.netfilter.nf_conntrack_max") ?? "x");
  return Number.isInteger(entries) && Number.isInteger(max) ? { entries, max } : undefined;
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll(".", "/")}`;
}
