import { tmpdir } from "node:os";
import { join } from "node:path";

/** Everything that a demo makes carries this and the demo's process id, so that a later one finds what was left. */
export const PREFIX = "fairway-demo-";

export interface Names {
  /** Directory with everything that has a file: sockets, the engine's data, the bpffs. */
  directory: string;
  /** The host's network namespace, as `ip netns` knows it. */
  host: string;
  /** The namespace of the client outside. */
  client: string;
}

export function namesOf(pid: number): Names {
  return {
    directory: join(tmpdir(), `${PREFIX}${pid}`),
    host: `${PREFIX}${pid}-host`,
    client: `${PREFIX}${pid}-client`,
  };
}

/** Whose it is: the process id in a name of ours; undefined for other names. */
export function pidOf(name: string): number | undefined {
  const match = /^fairway-demo-(\d+)(-host|-client)?$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
