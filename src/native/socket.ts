import { addon } from "./addon.js";

/** The kernel's name for our network namespace, as bpf_get_netns_cookie() has it. */
export function netnsCookie(): bigint {
  return addon().netnsCookie();
}

/**
 * Has a UDP socket of another process connect() anew, in place: the process goes on with it and notices nothing but, as the
 * socket was bound to no port of its own choice, another local port.
 * @param cookie the socket's, as SO_COOKIE
 * @param address 16 bytes; IPv4's as ::ffff:a.b.c.d
 * @returns false when that process has no such socket (any more), or is not ours to look into
 * @throws NativeError what connect(2) says: ENETUNREACH, ...
 */
export function redialUdp(options: {
  pid: number;
  cookie: bigint;
  address: Uint8Array;
  port: number;
}): boolean {
  return addon().redialUdp(options.pid, options.cookie, options.address, options.port);
}
