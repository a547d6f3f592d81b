import { addon, type LinkHandle, type ProgramHandle } from "./addon.js";
import type { LinkInfo } from "./bpf-types.js";

/** A program's attachment. It lasts until its last file descriptor and pin are gone, or until detach(). */
export class BpfLink {
  /** For the classes beside this one; not part of the surface. */
  readonly handle: LinkHandle;

  private constructor(handle: LinkHandle) {
    this.handle = handle;
  }

  /** For the classes beside this one: wraps what the addon returned. */
  static fromHandle(handle: LinkHandle): BpfLink {
    return new BpfLink(handle);
  }

  /** Opens a link pinned under a bpffs. NativeError: ENOENT, EINVAL (another kind of object is pinned there), ... */
  static openPinned(path: string): BpfLink {
    return new BpfLink(addon().openPinnedLink(path));
  }

  /** Fresh on every access. */
  get info(): LinkInfo {
    return this.handle.info();
  }

  /** Pins the link at a path on a bpffs, so that it outlives the process; EEXIST when something is there. */
  pin(path: string): void {
    this.handle.pin(path);
  }

  /** Puts another program in place of the present one, at the same position, without a packet meeting neither. */
  update(program: { readonly handle: ProgramHandle }): void {
    this.handle.update(program.handle);
  }

  /** Detaches the program, even where the link is pinned; the link stays as a defunct object until it is closed. */
  detach(): void {
    this.handle.detach();
  }

  /** Gives the file descriptor back (and so detaches a link that isn't pinned); twice is fine. */
  close(): void {
    this.handle.close();
  }
}

/** The devices that TCX links are at, by ifindex; 0 where the device is gone. One call for all, since there may be thousands. */
export function linkDevices(links: readonly BpfLink[]): number[] {
  return addon().linkDevices(links.map(({ handle }) => handle));
}
