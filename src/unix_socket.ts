import { connect } from "node:net";

/** Whether a process accepts connections at a unix socket. A file that a dead one left behind: false. */
export function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
