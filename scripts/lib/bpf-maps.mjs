// The maps of an object, from the types of its .maps section.
// Format: libbpf's BTF-defined maps (bpf_helpers.h): __uint(name, value) is a pointer to an array of `value` elements,
// __type(name, type) a pointer to the type.

import { strip } from "./c-types.mjs";
import { Failure } from "./run.mjs";

/** @typedef {import("../btf.mjs").BtfType} BtfType */

/** enum bpf_map_type, include/uapi/linux/bpf.h, in its order. */
const mapTypes =
  `unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array
  lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
  reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
  task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array`.split(/\s+/);

/**
 * @typedef {object} MapDefinition
 * @property {string} name
 * @property {string} type as libbpf and bpftool call it
 * @property {number} maxEntries
 * @property {number} flags BPF_F_*
 * @property {number} [key] type id; none for ring buffers
 * @property {number} [value] type id
 */

/**
 * @param {BtfType[]} types
 * @returns {MapDefinition[]} sorted by name
 */
export function mapsOf(types) {
  const section = types.find((type) => type.kind === "datasec" && type.name === ".maps");
  const maps = (section?.variables ?? []).map(({ type }) => mapOf(types, types[type]));
  const names = new Set();
  return maps
    .filter(({ name }) => !names.has(name) && names.add(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * @param {BtfType[]} types
 * @param {BtfType} variable
 * @returns {MapDefinition}
 */
function mapOf(types, variable) {
  /** @param {string} name */
  const member = (name) => {
    const found = strip(types, variable.type).members?.find((one) => one.name === name);
    return found && types[strip(types, found.type).type];
  };
  const number = (/** @type {string} */ name) => member(name)?.length ?? 0;
  const type = mapTypes[number("type")];
  if (!type || type === "unspec") throw new Failure(`map ${variable.name}: unknown type ${number("type")}`);
  return {
    name: variable.name,
    type,
    maxEntries: number("max_entries"),
    flags: number("map_flags"),
    key: member("key")?.id,
    value: member("value")?.id,
  };
}
