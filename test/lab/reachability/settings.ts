// The engines and the ways in which they are set up: a column of the matrix each.

import { type EngineKind, type EngineOptions, enginesToTest } from "../lib/index.js";

/** A column of the matrix. */
export interface Setting {
  readonly name: string;
  readonly kind: EngineKind;
  /** Of mode replace: the setting, earlier in the list, whose engine alone says what the answers have to be. */
  readonly replaces?: string;
  readonly userlandProxy: boolean;
  /** How the engine writes its rules; "fairway": it writes none. */
  readonly backend: "iptables" | "nftables" | "fairway";
  /** As an engine before 28 leaves FORWARD where it has turned forwarding on itself, and where it was on. */
  readonly forward: "ACCEPT" | "DROP";
}

export const settings: readonly Setting[] = [
  { name: "20.10", kind: "20.10", userlandProxy: true, backend: "iptables", forward: "DROP" },
  { name: "20.10, no proxy", kind: "20.10", userlandProxy: false, backend: "iptables", forward: "ACCEPT" },
  { name: "29", kind: "29", userlandProxy: true, backend: "iptables", forward: "ACCEPT" },
  { name: "29, no proxy", kind: "29", userlandProxy: false, backend: "iptables", forward: "ACCEPT" },
  { name: "29, nftables", kind: "29", userlandProxy: true, backend: "nftables", forward: "ACCEPT" },
  {
    name: "29, nftables, no proxy",
    kind: "29",
    userlandProxy: false,
    backend: "nftables",
    forward: "ACCEPT",
  },
  ...(["20.10", "29"] as const).map(
    (kind): Setting => ({
      name: `${kind}, replace`,
      kind,
      replaces: `${kind}, no proxy`,
      userlandProxy: false,
      backend: "fairway",
      forward: "ACCEPT",
    }),
  ),
];

/** Those of the engines that are to be tested, and of them those that FAIRWAY_REACHABILITY_SETTING names. */
export function settingsToTest(): readonly Setting[] {
  const kinds = enginesToTest();
  const only = process.env.FAIRWAY_REACHABILITY_SETTING;
  const chosen = settings.filter(({ kind, name }) => kinds.includes(kind) && (!only || name === only));
  if (chosen.length === 0) throw new Error(`FAIRWAY_REACHABILITY_SETTING: there is no setting ${only}`);
  return chosen;
}

/** daemon.json's keys for who writes the rules. An engine that writes none refuses to have icc off on its default bridge. */
const backendKeys = {
  iptables: { icc: false },
  nftables: { icc: false, "firewall-backend": "nftables" },
  fairway: { iptables: false, ip6tables: false },
} as const;

/** How the engine of a setting is started. */
export const engineOptions = ({ kind, userlandProxy, backend }: Setting): EngineOptions => ({
  kind,
  userlandProxy,
  ipv6: true,
  daemonJson: backendKeys[backend],
});
