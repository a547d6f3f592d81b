// The system packages: what each is for, how to see that it is there already (by its files, so that other
// distributions and self-built tools do as well), and what Debian and Ubuntu call it.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { findCargo } from "./cargo.mjs";
import { findGo } from "./go.mjs";
import { findLlvm } from "./llvm.mjs";
import { ask, which } from "./run.mjs";
import { bpfLinker } from "./versions.mjs";

/**
 * @typedef {object} Package
 * @property {string | string[]} name Debian's; of several, the first that the distribution has
 * @property {() => boolean} there
 */

/** @param {string} name @param {string} program @returns {Package} */
const program = (name, program = name) => ({ name, there: () => which(program) !== undefined });

/** @param {string} name @param {string} file below the include directories @returns {Package} */
const header = (name, file) => ({
  name,
  there: () => includeDirectories().some((directory) => existsSync(join(directory, file))),
});

/** /usr/include and the architecture's own below it. */
function includeDirectories() {
  const base = "/usr/include";
  const own = existsSync(base) ? readdirSync(base).filter((name) => name.endsWith("-linux-gnu")) : [];
  return [base, ...own.map((name) => join(base, name))];
}

/**
 * clang and LLVM's headers of one version that bpf-linker can be built with.
 * @param {number[]} majors best first
 * @returns {Package[]}
 */
const llvm = (majors) => [
  { name: majors.map((major) => `clang-${major}`), there: () => findLlvm() !== undefined },
  { name: majors.map((major) => `llvm-${major}-dev`), there: () => findLlvm() !== undefined },
];

/** To build: the eBPF object, the addon, the linker, libbpf. @type {Package[]} */
const build = [
  ...llvm(bpfLinker.llvm),
  program("g++"),
  program("make"),
  program("cmake"),
  program("pkg-config"),
  program("git"),
  header("libc6-dev", "stdio.h"),
  header("libelf-dev", "libelf.h"),
  header("zlib1g-dev", "zlib.h"),
  header("libmnl-dev", "libmnl/libmnl.h"),
  { name: "ca-certificates", there: () => existsSync("/etc/ssl/certs/ca-certificates.crt") },
  // Debian 12's cargo is too old; cargo-web, made for its browsers, is not, and calls itself cargo.
  { name: ["cargo-web", "cargo"], there: () => findCargo(bpfLinker.rust) !== undefined },
];

/** To run: the engine where there is none, and what one looks at a host with. @type {Package[]} */
const run = [
  program("docker.io", "dockerd"),
  program("iptables"),
  program("iproute2", "ip"),
  program("kmod", "modprobe"),
  program("procps", "sysctl"),
];

/** For the tests, the lab and debugging. @type {Package[]} */
const test = [
  // Any version formats alike enough only when it is the compiler's own.
  { name: bpfLinker.llvm.map((major) => `clang-format-${major}`), there: () => clangFormat() !== undefined },
  program("bpftool"),
  program("nftables", "nft"),
  program("conntrack"),
  program("tcpdump"),
  program("ethtool"),
  program("nginx-light", "nginx"),
  program("redis-server"),
  program("iperf3"),
  program("vsftpd"),
  // Prometheus itself, and promtool.
  program("prometheus", "promtool"),
  program("dnsmasq-base", "dnsmasq"),
  program("wrk"),
  program("curl"),
  program("jq"),
  program("socat"),
  program("ufw"),
  program("firewalld"),
  program("dbus-daemon"),
  program("netcat-openbsd", "nc"),
  { name: "busybox-static", there: () => which("busybox") !== undefined },
  header("libseccomp-dev", "seccomp.h"),
  { name: "libasan8", there: () => ask(["g++", "-print-file-name=libasan.so"])?.startsWith("/") === true },
  { name: "golang-go", there: () => findGo() !== undefined },
];

/** The formatter that goes with the newest clang we know. */
export function clangFormat() {
  return bpfLinker.llvm.map((major) => which(`clang-format-${major}`)).find((path) => path !== undefined);
}

/** For test/vm. @type {Package[]} */
const vm = [
  program("qemu-system-x86", "qemu-system-x86_64"),
  program("wireguard-tools", "wg"),
  program("xz-utils", "xz"),
];

export const packages = { build, run, test, vm };
