import { addon, type ObjectHandle } from "./addon.js";
import { BpfMap } from "./map.js";
import { BpfProgram } from "./program.js";

/**
 * A BPF object file: opened from bytes, prepared (constants, sizes, maps to reuse), then loaded once. Maps and programs
 * taken from it live on after the object is closed.
 */
export class BpfObject {
  readonly #handle: ObjectHandle;

  private constructor(handle: ObjectHandle) {
    this.#handle = handle;
  }

  /** Parses an ELF object; nothing reaches the kernel yet. EINVAL with libbpf's lines in `log` when it is none. */
  static open(image: Uint8Array, name = "object"): BpfObject {
    return new BpfObject(addon().openObject(image, name));
  }

  /** The maps that the source declares (not those that libbpf makes of .rodata, .data and .bss). */
  get maps(): string[] {
    return this.#handle.maps();
  }

  /** type as in libbpf and bpftool: "sched_cls", "xdp", ... */
  get programs(): { name: string; section: string; type: string }[] {
    return this.#handle.programs();
  }

  /**
   * Sets a `const volatile` variable (.rodata) by its name, before load(). ENOENT: no such variable; EMSGSIZE: the
   * value's size is not the variable's; EBUSY: loaded already.
   */
  setConstant(name: string, value: Uint8Array): void {
    this.#handle.setConstant(name, value);
  }

  /** Sets how many entries a map is made for, before load(). */
  setMaxEntries(map: string, entries: number): void {
    this.#handle.setMaxEntries(map, entries);
  }

  /** Whether load() loads a program, before load(); all are by default. */
  setAutoload(program: string, on: boolean): void {
    this.#handle.setAutoload(program, on);
  }

  /**
   * Uses a map that exists in place of the declared one, before load(). EINVAL, naming what differs, when type, key
   * size, value size, number of entries (after setMaxEntries) or flags are not the declared ones.
   */
  reuseMap(name: string, map: BpfMap): void {
    this.#handle.reuseMap(name, map.handle);
  }

  /** Makes the maps and loads the programs. On failure NativeError.log has libbpf's lines and the verifier's last. */
  load(): void {
    this.#handle.load();
  }

  /** A map of the loaded object; ENOENT: no such map. ".rodata" and the like by that name. */
  map(name: string): BpfMap {
    return BpfMap.fromHandle(this.#handle.map(name));
  }

  /** A program of the loaded object; ENOENT: no such program, or it wasn't loaded. */
  program(name: string): BpfProgram {
    return BpfProgram.fromHandle(this.#handle.program(name));
  }

  /** Frees the object; twice is fine, any other use after it is EBADF. */
  close(): void {
    this.#handle.close();
  }
}
