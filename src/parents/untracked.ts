/**
 * ipvlan's modes l3 and l3s send a container's packets through the host's netfilter, and have no way there to translate the answers.
 * So containers whose addresses the programs at the parent translate are left alone by its conntrack, by rules in a table of ours.
 */
import { errorCode } from "../errors.js";
import { FAMILIES, type Family, familyOf } from "../ip.js";
import { nft as runNft } from "../nft.js";
import type { PlannedParent } from "../plan/types.js";

/** The table, by family and name. */
export const TABLE = "inet fairway_parents";

const WHO = {
  needs: "masquerading and published ports on ipvlan need nft",
  refused: "nft refuses ipvlan's rules",
};
const NFT: Readonly<Record<Family, { type: string; ip: string }>> = {
  4: { type: "ipv4_addr", ip: "ip" },
  6: { type: "ipv6_addr", ip: "ip6" },
};
/** What nft's scanner takes for a name and nothing else. */
const DEVICE_NAME = /^[A-Za-z0-9_.:@+-]{1,15}$/;

/** Keeps the table as planned; it is there only while it is needed. */
export class UntrackedTable {
  /** The script that was last run; undefined: not known what there is. */
  #written: string | undefined;

  /** @throws UserError where nft is missing or refuses */
  async apply(parents: readonly PlannedParent[]): Promise<void> {
    const script = untrackedRules(parents);
    if (script === this.#written) return;
    if (script !== "") await nft(["-f", "-"], `${removal()}${script}`);
    else await removeUntracked();
    this.#written = script;
  }
}

/** Takes the table away. Returns its name, if it was there. */
export async function removeUntracked(): Promise<string[]> {
  try {
    const tables = (await nft(["list", "tables"])).split("\n").map((line) => line.trim());
    if (!tables.includes(`table ${TABLE}`)) return [];
    await nft(["-f", "-"], removal());
    return [TABLE];
  } catch (error) {
    // Who has no nft has written nothing with it.
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** The script for `nft -f`; empty where nothing is to be left untracked. Pure. */
export function untrackedRules(parents: readonly PlannedParent[]): string {
  const concerned = parents.filter(({ name, untracked }) => untracked.length > 0 && DEVICE_NAME.test(name));
  if (concerned.length === 0) return "";
  const sets = FAMILIES.map((family) => {
    const elements = concerned.flatMap(({ name, untracked }) =>
      untracked.filter((address) => familyOf(address) === family).map((address) => `"${name}" . ${address}`),
    );
    const listed = elements.length === 0 ? "" : ` elements = { ${elements.join(", ")} };`;
    return `  set ipv${family} { type ifname . ${NFT[family].type};${listed} }\n`;
  });
  const rules = (device: string, field: string) =>
    FAMILIES.map((family) => `    ${device} . ${NFT[family].ip} ${field} @ipv${family} notrack\n`).join("");
  return `table ${TABLE} {
${sets.join("")}  chain output {
    type filter hook output priority raw; policy accept;
${rules("oifname", "saddr")}  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
${rules("iifname", "daddr")}  }
}
`;
}

/** The script that takes the table away, whether it is there or not. */
function removal(): string {
  return `table ${TABLE}\ndelete table ${TABLE}\n`;
}

function nft(args: string[], input = ""): Promise<string> {
  return runNft(WHO, args, input);
}
