import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmdirSync, statfsSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCode, errorMessage, UserError } from "../errors.js";

/** linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;
/** Where every distribution mounts the host's bpffs. */
const HOST_BPFFS = "/sys/fs/bpf";

/** Names under our directory on the bpffs. The file system allows no dots in names. */
export class Pins {
  readonly maps: string;
  readonly programs: string;
  readonly links: string;
  /** A directory for each clsact qdisc that we made, named after its device's ifindex: those are ours to remove. */
  readonly qdiscs: string;

  constructor(readonly root: string) {
    this.maps = join(root, "maps");
    this.programs = join(root, "programs");
    this.links = join(root, "links");
    this.qdiscs = join(root, "qdiscs");
  }

  map(name: string): string {
    return join(this.maps, name);
  }

  program(name: string): string {
    return join(this.programs, name);
  }

  link(name: string): string {
    return join(this.links, name);
  }

  /**
   * Makes the directories, mounting a bpffs where there is none: the host's at /sys/fs/bpf, else at the directory itself.
   * @returns what was mounted and is to be unmounted by cleanup (never the host's own)
   * @throws UserError where that is not permitted or not possible
   */
  create(): string | undefined {
    try {
      const mounted = mountBpffs(this.root);
      for (const directory of [this.maps, this.programs, this.links])
        mkdirSync(directory, { recursive: true });
      return mounted;
    } catch (error) {
      if (error instanceof UserError) throw error;
      const permitted = errorCode(error) !== "EPERM" && errorCode(error) !== "EACCES";
      throw new UserError(`can't make ${this.root} on a BPF file system (${errorMessage(error)})`, {
        remedy: permitted ? "name a directory of a mounted bpffs with --bpffs" : "run as root",
        cause: error,
      });
    }
  }

  /** Remembers that we made the clsact qdisc of a device. */
  markQdisc(ifindex: number): void {
    mkdirSync(join(this.qdiscs, String(ifindex)), { recursive: true });
  }

  /** The devices whose clsact qdisc we made. */
  markedQdiscs(): number[] {
    return this.list(this.qdiscs).map(Number);
  }

  forgetQdisc(ifindex: number): void {
    rmdirSync(join(this.qdiscs, String(ifindex)));
  }

  /** Names in one of the directories; none where it does not exist. */
  list(directory: string): string[] {
    return listDirectory(directory);
  }

  /** Whether there is anything of ours. */
  exists(): boolean {
    return existsSync(this.root);
  }

  /**
   * Unpins everything that is left and removes the directories. Links must have been detached before: unpinning the last
   * reference detaches them, but says nothing.
   * @returns what was removed, by kind
   */
  remove(): { links: string[]; programs: string[]; maps: string[] } {
    const removed = {
      links: unlinkAll(this.links),
      programs: unlinkAll(this.programs),
      maps: unlinkAll(this.maps),
    };
    for (const ifindex of this.markedQdiscs()) this.forgetQdisc(ifindex);
    if (existsSync(this.qdiscs)) rmdirSync(this.qdiscs);
    if (existsSync(this.root) && isBpffs(this.root)) {
      try {
        rmdirSync(this.root);
      } catch (error) {
        // A mount point of its own is unmounted by the caller; someone else's pins stay theirs.
        if (!["EBUSY", "ENOTEMPTY"].includes(errorCode(error) ?? "")) throw error;
      }
    }
    return removed;
  }
}

/** Unmounts a bpffs that create() mounted. @throws what umount says, e.g. that it is busy */
export function unmountOwn(path: string): void {
  execFileSync("umount", [path], { stdio: ["ignore", "ignore", "pipe"] });
  rmdirSync(path);
}

/** Unpins a name; one that is gone is fine. */
export function unpin(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

function unlinkAll(directory: string): string[] {
  const names = listDirectory(directory);
  for (const name of names) unpin(join(directory, name));
  if (existsSync(directory)) rmdirSync(directory);
  return names;
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

function isBpffs(path: string): boolean {
  return statfsSync(path).type === BPF_FS_MAGIC;
}

function mountBpffs(root: string): string | undefined {
  let existing = root;
  while (!existsSync(existing)) existing = dirname(existing);
  if (isBpffs(existing)) return undefined;
  const isHost = root === HOST_BPFFS || root.startsWith(`${HOST_BPFFS}/`);
  const target = isHost ? HOST_BPFFS : root;
  if (!isHost) mkdirSync(target, { recursive: true });
  try {
    execFileSync("mount", ["-t", "bpf", "bpf", target], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new UserError(`no BPF file system at ${target}, and it can't be mounted`, {
      remedy: `run as root: mount -t bpf bpf ${target}`,
      cause: error,
    });
  }
  return isHost ? undefined : target;
}
