import { readlinkSync } from "node:fs";
import { UserError } from "../errors.js";
import { BpfLink } from "../native/index.js";
import type { Pins } from "./pins.js";
import type { StateFile } from "./state_file.js";

/** Our network namespace, by the kernel's name for it: "net:[4026531840]". */
export function networkNamespace(): string {
  return readlinkSync("/proc/self/ns/net");
}

/**
 * Whether what a former run left is of our network namespace. Links and sysctls are of one; the pins are not, so they
 * outlive it.
 * @returns false when it was of one that is gone: its sysctls are no business of ours
 * @throws UserError when something is still attached in another namespace: it can't be looked after from here
 */
export function isOurs(state: StateFile, pins: Pins): boolean {
  const { namespace } = state.read();
  if (namespace === undefined || namespace === networkNamespace()) return true;
  if (!pins.list(pins.links).some((name) => isAttached(pins.link(name)))) return false;
  throw new UserError(`the datapath of ${state.directory} is in another network namespace (${namespace})`, {
    remedy: "run this there (nsenter --net), or use another --state-dir and --bpffs",
  });
}

function isAttached(path: string): boolean {
  try {
    const link = BpfLink.openPinned(path);
    const { ifindex } = link.info;
    link.close();
    return ifindex !== undefined && ifindex !== 0;
  } catch {
    return false;
  }
}
