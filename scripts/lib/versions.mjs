// Every pinned version of what is not an npm package, in one place.

/** bpf-linker's crate, and the LLVM versions that it has a feature for, best first. */
export const bpfLinker = { version: "0.13.0", llvm: [22, 23, 21], rust: [1, 91] };

/** libbpf, as the crate pinned in scripts/libbpf/Cargo.toml carries it. */
export const libbpf = { version: "1.7.0", rust: [1, 82] };

/** The oldest kernel whose nf_nat and nf_conntrack offer their BPF functions. */
export const minimumKernel = [6, 1];

/** The oldest Node that package.json's engines allow. */
export const minimumNode = [20, 18, 1];

/** Go, for the lab's current engine: the least that can fetch what a module asks for, and what is fetched without one. */
export const go = { version: "1.26.8", least: [1, 21] };

/** The kernels of Debian that test/vm boots: the series, as their packages' versions begin. The last is the newest that there is. */
export const kernelSeries = ["6.1", "6.12", "7"];
