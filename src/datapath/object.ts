import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import type { Codec } from "../codec.js";
import { errorCode, errorMessage, UserError } from "../errors.js";
import { type ConstantName, constants } from "../generated/index.js";
import { BpfObject, NativeError, nsPerJiffy } from "../native/index.js";

/** Relative to this file, the same from src/ and from dist/. */
const OBJECT = fileURLToPath(new URL("../../build/fairway.bpf.o", import.meta.url));

type ValueOf<N extends ConstantName> = (typeof constants)[N] extends Codec<infer V> ? V : never;
/** Values of .rodata constants by name. */
export type Constants = { readonly [N in ConstantName]?: ValueOf<N> };

export function setConstants(object: BpfObject, values: Constants): void {
  for (const [name, value] of Object.entries(values)) {
    const codec = constants[name as ConstantName] as Codec<number | bigint>;
    object.setConstant(name, codec.encode(value));
  }
}

/**
 * Puts the object into the kernel. Some kernels' conntrack functions don't fit each other (Debian's 7.3: nf_conntrack's BTF has a type of
 * its own for what nf_nat's function wants): there it is loaded without those that make connections.
 * @param prepare sets constants, sizes and maps before the programs are loaded; called again for a second try
 * @param image the object file; default: the built one
 * @throws UserError for what the user can fix: no object, no permission, a kernel that lacks functions; NativeError with the
 *   verifier's log else
 */
export function loadObject(
  prepare: (object: BpfObject) => void,
  image: Uint8Array = objectFile(),
): { object: BpfObject; makesConnections: boolean } {
  const attempt = (makesConnections: boolean) => {
    const object = BpfObject.open(image, "fairway");
    try {
      const makes = { makes_connections: makesConnections ? 1 : 0 };
      setConstants(object, { ...kernelConstants(release()), ns_per_jiffy: nsPerJiffy(), ...makes });
      prepare(object);
      load(object);
      return { object, makesConnections };
    } catch (error) {
      object.close();
      throw error;
    }
  };
  try {
    return attempt(true);
  } catch (error) {
    if (!isMisfit(error)) throw error;
    return attempt(false);
  }
}

/** Whether it is that NAT's function refuses what conntrack's gives it. */
export function isMisfit(error: unknown): boolean {
  return /kernel function bpf_ct_set_nat_info \S+ expected pointer to/.test(errorMessage(error));
}

function objectFile(): Uint8Array {
  if (!existsSync(OBJECT)) {
    throw new UserError(`the BPF object ${OBJECT} is missing`, { remedy: "npm run build makes it" });
  }
  return readFileSync(OBJECT);
}

function load(object: BpfObject): void {
  try {
    object.load();
  } catch (error) {
    if (errorCode(error) === "EPERM" || errorCode(error) === "EACCES") {
      if (process.getuid?.() !== 0) {
        throw new UserError("loading BPF programs is not permitted", { remedy: "run as root", cause: error });
      }
    }
    const log = error instanceof NativeError ? (error.log ?? "") : "";
    if (/kernel function|ksym|bpf_(skb_)?ct_/.test(log) && errorCode(error) !== "EACCES") {
      throw new UserError(`the kernel lacks conntrack functions for BPF programs (${errorMessage(error)})`, {
        remedy:
          "fairway needs Linux 6.1 or newer with nf_conntrack and nf_nat (modprobe nf_conntrack nf_nat)",
        cause: error,
      });
    }
    throw error;
  }
}

/**
 * What newer kernels have: bpf_cast_to_kern_ctx(), and flags that older ones refuse, BPF_FIB_LOOKUP_MARK and BPF_F_IPV6 of linux/bpf.h.
 * @param kernel os.release(): "6.12.9-amd64"
 */
export function kernelConstants(kernel: string): Constants {
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  const since = (m: number, n: number) => major > m || (major === m && minor >= n);
  return {
    has_kernel_context: since(6, 2) ? 1 : 0,
    fib_mark_flag: since(6, 10) ? 32 : 0,
    ipv6_checksum_flag: since(6, 16) ? 128 : 0,
  };
}
