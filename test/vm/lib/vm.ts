// A machine of QEMU's with another kernel and this host's files: no KVM needed, and nothing of the host is changed. What it
// writes to its root stays in its memory; commands and their output are exchanged by a directory.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { guard } from "../../lab/lib/cleanup.js";
import { Disposers } from "../../lab/lib/disposers.js";
import { root } from "../../lab/lib/paths.js";
import { Background, type Result, until } from "../../lab/lib/process.js";
import { makeInitramfs } from "./initramfs.js";
import type { Kernel } from "./kernel.js";

/** Without hardware's help a kernel takes about 10 s to its first command here; counting its instructions, four times that. */
const bootTimeout = 240_000;

/**
 * How to make a machine. It has one processor: with two, one may run into what the other is just patching in the kernel's code, which
 * QEMU's threads don't keep apart, and the kernel panics.
 */
export interface MachineOptions {
  readonly memory?: string;
  /** Its clock is its processor's count of instructions: one takes a nanosecond, whatever the load of this machine. */
  readonly instructions?: boolean;
}

/** Of QEMU's command line and of the kernel's: as fast as it can be. */
const quick = { accelerator: ["-accel", "tcg,thread=multi"], words: [] } as const;
/**
 * The same, for counting. Virtual time goes by 2^0 ns per instruction; while there is nothing to do it is this machine's, or whoever
 * waits there for a file would find hours gone by. The kernel takes its time from the TSC, which goes by that clock; what else it would
 * have, or compare it with, is coarser.
 */
const counting = {
  accelerator: ["-accel", "tcg,thread=single", "-icount", "shift=0"],
  words: ["clocksource=tsc", "tsc=reliable", "tsc_early_khz=1000000"],
} as const;

/** How to run a command in a machine. */
export interface GuestOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which the command counts as hung and the machine is ended. */
  readonly timeout?: number;
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** A booted machine. One command at a time. */
export class Vm {
  #commands = 0;
  /** What `uname -r` says in it. */
  release = "";

  private constructor(
    readonly kernel: Kernel,
    private readonly dir: string,
    private readonly qemu: Background,
    private readonly port: Socket,
    private readonly lines: AsyncIterator<string>,
    private readonly disposers: Disposers,
  ) {}

  /**
   * Boots a kernel and waits for its first sign.
   * @throws Error with the end of what its console showed
   */
  static async boot(kernel: Kernel, options: MachineOptions = {}): Promise<Vm> {
    const { memory = "4G", instructions = false } = options;
    const speed = instructions ? counting : quick;
    const disposers = new Disposers();
    const id = `fwl-${randomBytes(3).toString("hex")}`;
    const dir = join(tmpdir(), id);
    await mkdir(dir);
    // However this process ends: the lab's janitor ends the machine, which has the directory in its command line.
    guard(id, dir, disposers);
    disposers.add(`directory ${dir}`, () => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
    try {
      const exchange = join(dir, "exchange");
      const socket = join(dir, "port");
      await mkdir(exchange);
      const initramfs = await makeInitramfs(kernel, dir);
      const guest = join(import.meta.dirname, "guest.sh");
      const words = ["console=ttyS0", "loglevel=4", "panic=-1", "net.ifnames=0", ...speed.words];
      words.push(`fairway.modules=${kernel.modules}`, `fairway.guest=${guest}`);
      const share = (id: string, path: string, more: string) =>
        `local,path=${path},mount_tag=${id},id=${id},security_model=none,multidevs=remap${more}`;
      const qemu = new Background([
        "qemu-system-x86_64",
        ...[...speed.accelerator, "-cpu", "max", "-smp", "1", "-m", memory],
        ...["-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio", "-nic", "none"],
        ...["-kernel", kernel.image, "-initrd", initramfs, "-append", words.join(" ")],
        ...["-virtfs", share("root", "/", ",readonly=on"), "-virtfs", share("exchange", exchange, "")],
        ...["-device", "virtio-serial-pci", "-chardev", `socket,id=port,path=${socket},server=on,wait=off`],
        ...["-device", "virtserialport,chardev=port,name=fairway"],
      ]);
      disposers.add("qemu", () => qemu.stop("SIGKILL"));
      await until("qemu listens", () => {
        if (!qemu.running) throw new Error(`qemu ended: ${qemu.stderr}`);
        return existsSync(socket);
      });
      const port = createConnection(socket);
      disposers.add("port", () => port.destroy());
      await once(port, "connect");
      const lines = createInterface({ input: port })[Symbol.asyncIterator]();
      const vm = new Vm(kernel, dir, qemu, port, lines, disposers);
      vm.release = (await vm.#line(bootTimeout)).replace(/^ready /, "");
      return vm;
    } catch (error) {
      await disposers.dispose();
      throw error;
    }
  }

  /** What its console showed. */
  get console(): string {
    return this.qemu.stdout;
  }

  /** The next line from the machine; a machine that says none in time, or ends, is an error. */
  async #line(timeout: number): Promise<string> {
    const fail = (why: string) =>
      new Error(`kernel ${this.kernel.release}: ${why}\n${this.console.split("\n").slice(-30).join("\n")}`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(fail(`nothing heard for ${timeout} ms`)), timeout);
    });
    try {
      const { value, done } = await Promise.race([this.lines.next(), late]);
      if (done) throw fail("the machine has ended");
      return value;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a program in it, in the repository's directory, to its end.
   * @returns exit status and output; a program that fails is a result
   */
  async run(command: readonly string[], options: GuestOptions = {}): Promise<Result> {
    const name = String(++this.#commands);
    const at = join(this.dir, "exchange", name);
    await mkdir(at);
    const env = Object.entries(options.env ?? {}).map(([key, value]) => `export ${key}=${quoted(value)}\n`);
    await writeFile(
      join(at, "command"),
      `cd ${quoted(root)}\n${env.join("")}exec ${command.map(quoted).join(" ")}\n`,
    );
    this.port.write(`${name}\n`);
    const [which, code] = (await this.#line(options.timeout ?? 60_000)).split(" ");
    if (which !== name) throw new Error(`the machine answered ${which} to ${name}`);
    const said = (stream: string) => readFileSync(join(at, stream), "utf8");
    return { code: Number(code), stdout: said("stdout"), stderr: said("stderr") };
  }

  /** A file that a command has written to /run/exchange/NAME. */
  file(name: string): string {
    return readFileSync(join(this.dir, "exchange", name), "utf8");
  }

  /** Ends it; nothing is left. */
  dispose(): Promise<void> {
    return this.disposers.dispose();
  }
}
