// Makes a machine ready: system packages, npm packages, and the tools that are built from source. How: --help.

import { parseArgs } from "node:util";
import { buildBpfLinker } from "./bpf-linker.mjs";
import { provideGo } from "./go.mjs";
import { provideKernels } from "./kernels.mjs";
import { installPackages } from "./lib/apt.mjs";
import { bpffs, bpffsMounted, checkHost, checkNode, checkRoot } from "./lib/checks.mjs";
import { npmPackagesCurrent } from "./lib/npm.mjs";
import { packages } from "./lib/packages.mjs";
import { run } from "./lib/run.mjs";
import { elapsed, isMain, main, step } from "./lib/step.mjs";
import { buildLibbpf } from "./libbpf.mjs";

const help = `npm run setup [-- --test] [-- --vm]

Makes this machine ready to build and run: system packages, npm packages, and the tools that are built from source. What is there is left
alone.

  --test  and what the tests need
  --vm    and what the tests on other kernels need (npm run test:vm): QEMU and the kernels`;

/**
 * One step per group of packages.
 * @param {"build" | "run" | "test" | "vm"} group
 */
async function systemPackages(group) {
  const missing = packages[group].filter(({ there }) => !there());
  await step({
    name: `system packages to ${group}`,
    done: () => missing.length === 0,
    work: (progress) => {
      checkRoot();
      return installPackages(missing, { progress, quietServices: group === "test" });
    },
    remedy: "see what apt-get says above; `apt-get update` and `apt-get -f install` often help",
  });
}

/** Everything that a build needs. Needs root only when something is missing. */
export async function setupBuild() {
  checkNode();
  await systemPackages("build");
  await step({
    name: "npm packages",
    done: npmPackagesCurrent,
    work: (progress) => run(["npm", "ci", "--no-audit", "--no-fund"], { onLine: progress }),
    remedy: "check that npm packages can be downloaded, then run it again",
  });
  await buildBpfLinker();
  await buildLibbpf();
}

/** Everything that running fairway on this host needs. */
export async function setupRun() {
  checkHost();
  await systemPackages("run");
  await step({
    name: `bpffs at ${bpffs}`,
    done: bpffsMounted,
    work: () => run(["mount", "-t", "bpf", "bpf", bpffs]),
    remedy: `mount one: \`mount -t bpf bpf ${bpffs}\``,
  });
}

/** Everything that the tests need besides. */
export async function setupTest() {
  await systemPackages("test");
  await provideGo();
}

/** And the tests on other kernels, in machines of QEMU's. */
export async function setupVm() {
  await systemPackages("vm");
  await provideKernels();
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const flag = /** @type {const} */ ({ type: "boolean" });
    const { values } = parseArgs({ options: { test: flag, vm: flag, help: { ...flag, short: "h" } } });
    if (values.help) {
      console.log(help);
      return;
    }
    await setupBuild();
    await setupRun();
    if (values.test) await setupTest();
    if (values.vm) await setupVm();
    process.stderr.write(`set up in ${elapsed()}; next: npm start, npm test, or npm run build\n`);
  });
}
