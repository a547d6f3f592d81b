/** What the addon takes and gives of maps, programs and links, as plain values. */

/** What the kernel knows of a map. Sizes in bytes; the name is cut to 15 characters by the kernel. */
export interface MapInfo {
  id: number;
  name: string;
  /** As in libbpf and bpftool: "hash", "lru_hash", "percpu_array", "lpm_trie", "ringbuf", ... */
  type: string;
  keySize: number;
  /** Bytes of one value; of one CPU's value in a per-CPU map. */
  valueSize: number;
  maxEntries: number;
  /** BPF_F_* as the map was made. */
  flags: number;
}

/** What a new map is made of; the fields are those of MapInfo. */
export interface MapSpec {
  type: string;
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags?: number;
}

/** Keys and values lie one behind the other, without gaps: keySize and valueLength bytes each. */
export interface MapBatch {
  keys: Buffer;
  values: Buffer;
  count: number;
  /** Where to go on; undefined: this was the end. */
  cursor: Buffer | undefined;
}

/** A batch of a per-CPU map whose values are u64 only. */
export interface MapSums {
  keys: Buffer;
  /** For each entry its fields, each added up over all CPUs; exact up to 2^53. */
  sums: Float64Array;
  count: number;
  /** Where to go on; undefined: this was the end. */
  cursor: Buffer | undefined;
}

export interface LinkInfo {
  id: number;
  /** As in libbpf and bpftool: "tcx", "xdp", "cgroup", "netfilter", ... */
  type: string;
  programId: number;
  /** Of links at a device; 0 when the device is gone (the link is defunct then). */
  ifindex?: number;
  /** "tcx_ingress", "cgroup_inet4_connect", ...; absent where the link's type says it all. */
  attachType?: string;
}

export interface ProgramInfo {
  id: number;
  /** Cut to 15 characters by the kernel. */
  name: string;
  /** As in libbpf and bpftool: "sched_cls", "xdp", "cgroup_sock_addr", ... */
  type: string;
  /** The kernel's hash of the instructions, 16 hex digits. */
  tag: string;
  /** After the verifier's rewriting; each is 8 bytes. */
  instructions: number;
  /** How many the verifier walked to prove the program safe (its complexity; the limit is a million). */
  verifiedInstructions: number;
  /** Machine code, 0 when it is interpreted. */
  jitedBytes: number;
  /** Runs and the time they took, counted while sysctl kernel.bpf_stats_enabled is 1. */
  runCount: number;
  runTimeNs: number;
}

export interface TestRunOptions {
  /** The packet; for skb and xdp programs at least an Ethernet header (14 bytes). */
  data?: Uint8Array;
  /** struct __sk_buff, struct xdp_md, ... as the program's type has it. */
  context?: Uint8Array;
  /** How often to run it (on the same packet); default 1. */
  repeat?: number;
  /** Room for the packet afterwards; default: the packet's size and 4096; 0: it is not wanted. */
  dataOutSize?: number;
  /**
   * XDP: what the program does with the packet is done, XDP_TX, XDP_REDIRECT and XDP_PASS too (BPF_F_TEST_XDP_LIVE_FRAMES). The
   * frames are recycled: what a program changed of one it may find in a later one.
   */
  live?: boolean;
  /**
   * skb: the packet comes with a sum of all of it, as some NICs make it (CHECKSUM_COMPLETE). A program that does not keep it true is an
   * error: EBADMSG. Kernels before 6.16 refuse: EINVAL.
   */
  checksumComplete?: boolean;
  /** Of live frames: how many are made before they are sent; default 64, at most 256. */
  batchSize?: number;
}

export interface TestRunResult {
  /** Unsigned: TCX_NEXT (-1) reads 4294967295. */
  returnValue: number;
  /** The packet afterwards. */
  data: Buffer;
  /** The context afterwards; empty where none was given. */
  context: Buffer;
  /** Of one run, on average. */
  durationNs: number;
}

/** What a program of type "syscall" did. */
export interface RunResult {
  /** Unsigned: -1 reads 4294967295. */
  returnValue: number;
  /** The context afterwards. */
  context: Buffer;
}

/** A filter of a clsact qdisc, whoever put it there. */
export interface ClsactFilter {
  /** "bpf", "flower", ... */
  kind: string;
  priority: number;
  handle: number;
  /** Of kind "bpf". */
  programId?: number;
}
