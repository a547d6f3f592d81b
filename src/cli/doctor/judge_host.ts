import { FAMILIES } from "../../ip.js";
import type { Facts, Finding } from "./facts.js";

/** From which part of conntrack's table on it is worth a word, and from which on new connections soon fail. */
const FILLING = 0.75;
const FULL = 0.95;

/** Kernel, sysctls, firewall, devices, and what is pinned. Pure. */
export function judgeHost(facts: Facts): Finding[] {
  return [
    ...kernel(facts),
    ...forwarding(facts),
    conntrack(facts),
    ...liberal(facts),
    ...firewall(facts),
    uplinks(facts),
    programs(facts),
    datapath(facts),
  ];
}

function kernel({ kernel: { release, btf, tcx, nat } }: Facts): Finding[] {
  const check = "kernel";
  if (!btf)
    return [
      {
        check,
        result: "failure",
        what: `${release} has no BTF (/sys/kernel/btf/vmlinux is missing)`,
        why: "the programs can't be loaded",
        remedy: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, 6.1 or newer",
      },
    ];
  const found: Finding[] = [
    { check, result: "ok", what: `${release}, BTF, ${tcx ? "TCX" : "clsact in place of TCX (Linux 6.6)"}` },
  ];
  if (!nat)
    found.push({
      check: "kernel's NAT functions",
      result: "warning",
      what: `${release} does not offer nf_nat's functions to BPF`,
      why: "new connections can't be made on the fast path: each is the kernel's first and learned then",
      remedy:
        "modprobe nf_nat; where that does not help, boot 6.1 or newer with CONFIG_NF_NAT and CONFIG_DEBUG_INFO_BTF_MODULES",
    });
  return found;
}

const FORWARDING = { 4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding" } as const;

function forwarding({ forwarding, engine }: Facts): Finding[] {
  return FAMILIES.map((family): Finding => {
    const check = `forwarding of IPv${family}`;
    if (forwarding[family]) return { check, result: "ok", what: `${FORWARDING[family]} is 1` };
    const wanted = family === 4 || engine.ipv6;
    if (!wanted) return { check, result: "ok", what: "off, and no network has it" };
    return {
      check,
      result: "failure",
      what: `${FORWARDING[family]} is 0`,
      why: "the kernel drops what containers exchange with the outside: nothing of it is on the fast path either",
      remedy: `sysctl -w ${FORWARDING[family]}=1, and the same in /etc/sysctl.d`,
    };
  });
}

function conntrack({ conntrack }: Facts): Finding {
  const check = "connection tracking";
  if (conntrack === undefined || conntrack.max === 0)
    return { check, result: "ok", what: "not in use yet (nf_conntrack is not loaded)" };
  const { entries, max } = conntrack;
  const share = entries / max;
  const what = `${entries} of ${max} entries (${Math.floor(share * 100)} %)`;
  if (share < FILLING) return { check, result: "ok", what };
  return {
    check,
    result: share < FULL ? "warning" : "failure",
    what,
    why: "every connection has an entry, on the fast path too: when there is no room, new ones fail",
    remedy: `sysctl -w net.netfilter.nf_conntrack_max=${2 * max}, and the same in /etc/sysctl.d`,
  };
}

function liberal({ liberal, pinned }: Facts): Finding[] {
  const check = "connection tracking's strictness";
  if (!pinned.there || liberal === undefined) return [];
  if (liberal) return [{ check, result: "ok", what: "net.netfilter.nf_conntrack_tcp_be_liberal is 1" }];
  return [
    {
      check,
      result: "failure",
      what: "net.netfilter.nf_conntrack_tcp_be_liberal is 0 while fairway is attached",
      why: "the tracker does not see every segment: it takes what comes back to the slow path for invalid, and connections break",
      remedy: "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1, and look for what has set it back",
    },
  ];
}

function firewall({ firewall, trustFirewall, bridged }: Facts): Finding[] {
  const { routingObstacle, bridgingObstacle, dials } = firewall;
  const ignored = trustFirewall === "ignore";
  const judged = (check: string, rule: string | undefined, why: string): Finding => {
    if (rule === undefined) return { check, result: "ok", what: "no rule of yours may concern them" };
    return {
      check,
      result: "warning",
      what: `a rule of yours may concern them${ignored ? ", and doesn't count (trust-firewall: ignore)" : ""}: ${rule}`,
      why: ignored ? "what the rule would refuse may pass on the fast path" : why,
      remedy: ignored
        ? "set trust-firewall to auto, unless that is meant"
        : "nothing, if the rule is meant; else name a device in it that no container's packet passes, or remove it",
    };
  };
  const found = FAMILIES.flatMap((family) => [
    judged(
      `connections of IPv${family}`,
      routingObstacle[family],
      "the kernel decides each new connection, which goes fast once it is established",
    ),
    judged(
      `host's connections to published ports, IPv${family}`,
      dials[family].obstacle,
      "processes of the host reach published ports by the engine's own way",
    ),
  ]);
  const brNetfilter =
    bridged[4] || bridged[6] ? " (net.bridge.bridge-nf-call-iptables or -ip6tables is 1)" : "";
  found.push(
    judged(
      "traffic within networks",
      bridgingObstacle,
      `bridged packets meet it too${brNetfilter}: containers of one network reach each other on the slow path`,
    ),
  );
  return found;
}

function uplinks({ uplinks }: Facts): Finding {
  const check = "uplinks";
  if (uplinks.length > 0) return { check, result: "ok", what: uplinks.join(", ") };
  return {
    check,
    result: "failure",
    what: "no device that leads outside was found",
    why: "nothing between containers and the outside is on the fast path",
    remedy: "name one with --uplink, or give the host a default route",
  };
}

function programs({ programs }: Facts): Finding {
  const check = "other programs";
  if (programs.length === 0) return { check, result: "ok", what: "none at the devices that fairway is at" };
  return {
    check,
    result: "warning",
    what: programs.map(({ device, hook, name }) => `${device}, ${hook}: ${name}`).join("; "),
    why: "those that come before fairway's see every packet, those after it only what takes the slow path",
    remedy:
      "nothing, if they only count; what has to see every packet is to be attached before fairway's programs",
  };
}

function datapath({ daemon, pinned, mode }: Facts): Finding {
  const check = "fairway";
  if (daemon !== undefined) {
    const what = `pid ${daemon.pid}, ${daemon.state}, mode ${daemon.mode}`;
    if (daemon.mode === mode) return { check, result: "ok", what: `${what}, ${daemon.warnings} warnings` };
    return {
      check,
      result: "warning",
      what: `${what}, and this was asked about mode ${mode}`,
      why: "the findings are for another mode than what runs",
      remedy: `fairway doctor --mode ${daemon.mode}`,
    };
  }
  if (!pinned.there) return { check, result: "ok", what: "not running, nothing is attached" };
  if (pinned.other)
    return {
      check,
      result: "warning",
      what: `no daemon runs, and what is pinned at ${pinned.bpffs} is another version's`,
      why: "it goes on forwarding; this version will not go on with it, but take it away at its start",
      remedy: "fairway run, or fairway cleanup to remove it",
    };
  return {
    check,
    result: "warning",
    what: `no daemon runs, and what is pinned at ${pinned.bpffs} goes on forwarding`,
    why: "containers that come and rules that change are not followed",
    remedy: "fairway run goes on with it, fairway cleanup removes it",
  };
}
