// Does the host have an engine?

import { request } from "node:http";

/** The socket that fairway and docker use by default. */
export const defaultHost = "unix:///var/run/docker.sock";

/**
 * Does an engine answer there? Only unix sockets are asked; an engine elsewhere is believed to be there.
 * @param {string} host as in DOCKER_HOST
 * @returns {Promise<boolean>}
 */
export function engineAnswers(host) {
  if (!host.startsWith("unix://")) return Promise.resolve(true);
  return new Promise((resolve) => {
    const asked = request(
      { socketPath: host.slice("unix://".length), path: "/_ping", timeout: 3000 },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", () => resolve(false));
    asked.end();
  });
}
