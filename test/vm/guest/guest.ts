// What the tests inside a machine share: one lab with Debian's engine, both families, and fairway on its host.

import { afterAll, beforeAll } from "vitest";
import { createLab, type Fairway, type Lab } from "../../lab/lib/index.js";
import { people } from "../../lab/ways.js";

/** A lab for the tests of a file. */
export interface Guest {
  lab: Lab;
  fairway: Fairway;
}

/** Declares the lab: containers `server` and `asker`, servers at the client and on the internet, and fairway. */
export function useGuest(): Guest {
  const guest = {} as Guest;
  beforeAll(async () => {
    guest.lab = await createLab({ kind: "20.10", ipv6: true });
    await guest.lab.engine.images("busybox");
    await people(guest.lab);
    guest.fairway = await guest.lab.fairway();
    for (const name of ["server", "asker"]) await guest.fairway.knows(name);
  });
  afterAll(() => guest.lab?.dispose());
  return guest;
}
