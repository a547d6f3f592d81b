// What the tests of ipvlan inside a machine share: one lab with a current engine (20.10 does not know l3s), and fairway on its host.

import { afterAll, beforeAll } from "vitest";
import { type Container, createLab, type Fairway, type Lab } from "../../lab/lib/index.js";
import { serve } from "../../lab/parents.js";

/** A lab for the tests of a file. */
export interface ParentsGuest {
  readonly lab: Lab;
  fairway: Fairway;
  container(name: string): Promise<Container>;
  /** Removes containers and their networks. */
  remove(networks: readonly string[], ...names: readonly string[]): Promise<void>;
}

/**
 * Declares the lab: servers at host, neighbour and client; no container yet.
 * @param before done before fairway starts
 */
export function useParents(before: (lab: Lab) => Promise<unknown> = async () => {}): ParentsGuest {
  const guest = {
    container: (name: string) => guest.lab.engine.container(name),
    remove: async (networks: readonly string[], ...names: readonly string[]) => {
      await guest.lab.engine.remove(...names);
      for (const network of networks) await guest.lab.engine.docker(["network", "rm", network]);
    },
  } as { -readonly [key in keyof ParentsGuest]: ParentsGuest[key] };
  beforeAll(async () => {
    guest.lab = await createLab({ kind: "29", ipv6: true });
    const { engine, host, neighbour, client } = guest.lab;
    await engine.images("busybox");
    for (const at of [host, neighbour, client]) await serve(at, guest.lab);
    await before(guest.lab);
    guest.fairway = await guest.lab.fairway();
  });
  afterAll(() => guest.lab?.dispose());
  return guest;
}
