/**
 * Whether anybody but the engine has rules that see the packets between two containers of one network. Where
 * net.bridge.bridge-nf-call-iptables is on, those packets meet the rules of iptables and nftables as routed ones do (and
 * br_netfilter is what engines before 28 load, so that it mostly is on). The engine's own rules let them pass, so they may
 * be bridged past them; a rule that a user wrote may not. Pure.
 */

/** Chains that a bridged packet passes, by table of iptables. */
const PASSED: Readonly<Record<string, readonly string[]>> = {
  raw: ["PREROUTING"],
  mangle: ["PREROUTING", "FORWARD", "POSTROUTING"],
  nat: ["PREROUTING", "POSTROUTING"],
  filter: ["FORWARD"],
  security: ["FORWARD"],
};

/** The rules that engines from 20.10 to 29 write outside their own chains, as iptables-save prints them. */
const ENGINES_OWN: Readonly<Record<string, readonly RegExp[]>> = {
  raw: [
    /^-A PREROUTING -d \S+ ! -i \S+ -j DROP$/,
    /^-A PREROUTING -d 127\.0\.0\.\d+\/32 ! -i \S+ -p \w+ -m \w+ --dport \d+ -j DROP$/,
  ],
  nat: [
    /^-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER$/,
    /^-A POSTROUTING -s \S+ ! -o \S+ -j (MASQUERADE|SNAT --to-source \S+)$/,
    /^-A POSTROUTING -o \S+ -m addrtype --src-type LOCAL -j (MASQUERADE|SNAT --to-source \S+)$/,
    // A container that reaches its own published port (hairpin): never from one container to another.
    /^-A POSTROUTING -s (\S+\/32) -d \1 -p \w+ -m \w+ --dport \d+ -j (MASQUERADE|SNAT --to-source \S+)$/,
  ],
  filter: [
    /^-A FORWARD -o BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT$/,
    /^-A FORWARD -i BRIDGE ! -o BRIDGE -j ACCEPT$/,
    /^-A FORWARD -i BRIDGE -o BRIDGE -j (ACCEPT|DROP)$/,
    /^-A FORWARD -o BRIDGE -j DOCKER$/,
    /^-A FORWARD -m set --match-set docker-ext-bridges-v4 dst -j DOCKER$/,
    /^-A FORWARD -m set --match-set docker-ext-bridges-v4 dst -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT$/,
    /^-A DOCKER-USER -j RETURN$/,
  ],
};

/** Tables that iptables keeps in nftables, and those of the engine's own nftables backend (29). */
const KNOWN_TABLES = /^table (ip (raw|mangle|nat|filter|security|docker-bridges)|(ip6|arp|netdev) \S+)$/;

/**
 * The first rule or policy that is not the engine's and may concern packets between containers of one network.
 * @param saved what iptables-save printed
 * @param engineBridges names of the engine's bridges
 * @returns e.g. "filter: -A DOCKER-USER -s 10.0.0.0/8 -j DROP", or undefined
 */
export function foreignRule(saved: string, engineBridges: ReadonlySet<string>): string | undefined {
  let table = "";
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    else if (line.startsWith(":") && isForeignPolicy(table, line)) return `${table}: ${line.slice(1)}`;
    else if (line.startsWith("-A ") && isForeignRule(table, line.trim(), engineBridges))
      return `${table}: ${line}`;
  }
  return undefined;
}

/**
 * The first table of nftables that is neither iptables' nor the engine's, and so may see bridged packets.
 * @param listed what `nft list tables` printed
 * @param bridgedOnly only those of the bridge family, which see bridged packets whatever the sysctl says
 */
export function foreignTable(listed: string, bridgedOnly: boolean): string | undefined {
  return listed
    .split("\n")
    .map((line) => line.trim())
    .find((line) =>
      bridgedOnly ? line.startsWith("table bridge ") : line !== "" && !KNOWN_TABLES.test(line),
    );
}

/** ":FORWARD DROP [0:0]": of the engine's making for filter, which has an ACCEPT for every network that talks. */
function isForeignPolicy(table: string, line: string): boolean {
  const [chain = "", policy = ""] = line.slice(1).split(" ");
  return (PASSED[table] ?? []).includes(chain) && policy !== "ACCEPT" && table !== "filter";
}

function isForeignRule(table: string, rule: string, engineBridges: ReadonlySet<string>): boolean {
  const chain = /^-A (\S+)/.exec(rule)?.[1] ?? "";
  const isUsers = table === "filter" && chain === "DOCKER-USER";
  if (!isUsers && !(PASSED[table] ?? []).includes(chain)) return false;
  // The engine's chains are its own, but for the one that it leaves to the user.
  if (!isUsers && /^-A \S+ -j DOCKER[A-Z0-9-]*$/.test(rule)) return false;
  if (namesOtherDevice(rule, engineBridges)) return false;
  const shape = rule.replace(/(-[io]) (\S+)/g, (whole, flag: string, name: string) =>
    engineBridges.has(name) && table === "filter" ? `${flag} BRIDGE` : whole,
  );
  return !(ENGINES_OWN[table] ?? []).some((own) => own.test(shape));
}

/** A rule for packets that come in or go out at a device that is no bridge of the engine's can't concern them. */
function namesOtherDevice(rule: string, engineBridges: ReadonlySet<string>): boolean {
  for (const match of rule.matchAll(/(! )?-[io] (\S+)/g)) {
    const [, negated, name = ""] = match;
    if (negated === undefined && !name.endsWith("+") && !engineBridges.has(name)) return true;
  }
  return false;
}
