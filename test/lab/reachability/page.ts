// docs/reachability.md around its tables. Pure.

import { exceptions } from "./exceptions.js";
import { settings } from "./settings.js";
import { renderTable, type Table } from "./table.js";

const cellsOf = (table: Table): number => [...table.values()].reduce((sum, cells) => sum + cells.size, 0);

const settingLine = (setting: (typeof settings)[number]) => {
  const { name, kind, replaces, userlandProxy, backend, forward } = setting;
  if (replaces !== undefined)
    return `- **${name}**: engine ${kind} without rules and docker-proxy, fairway in mode \`replace\`; compared with the engine alone of *${replaces}*`;
  const proxy = userlandProxy ? "docker-proxy" : "no docker-proxy";
  // With ip6tables on, this engine closes FORWARD of IPv6 however it finds it.
  const policy = kind === "20.10" ? `, FORWARD's policy ${forward} in IPv4 and DROP in IPv6` : "";
  return `- **${name}**: engine ${kind}, ${backend}, ${proxy}${policy}`;
};

const about = {
  answer: "Another answer than the engine's alone",
  path: "Slow, where the fast path should have it",
};

export const page = (table: Table): string => `# Who reaches whom

What every engine does alone, and with fairway in the modes \`accelerate\` and \`replace\`: ${cellsOf(table)} cells, each asked both ways by real
packets. This page is written by the test [\`reachability.test.ts\`](../test/lab/reachability.test.ts)
(\`FAIRWAY_REACHABILITY=write npm run test:lab -- reachability\`), which otherwise compares every cell with it.

A cell says under whose address the server saw the question:

- a name: \`client\` is outside, two hops away; \`neighbour\` on the host's LAN; \`internet\` a server outside; \`host\` and \`host2\` the
  host's two addresses; \`GW app\` the host's address on the network \`app\`; every other name is a container
  ([\`cast.ts\`](../test/lab/reachability/cast.ts) has their networks and ports);
- \`nothing\`: no answer; \`refused\`: an RST or "port unreachable"; \`closed\`: accepted, then closed; \`unreachable\`: an error from a router or
  from the own kernel, which has no route or no address;
- \`a → b\`: *a* with the engine alone, *b* with fairway;
- \`fast\` or \`slow\`: the path that the packets took with fairway (at least 90 % of some hundred), where a container is at an end and
  it is not the kernel's in any case; from the host to a published port, whether all of its sockets were led straight to the container, past
  docker-proxy and rules;
- \`-\`: the engine has no such network.

The settings:

${settings.map(settingLine).join("\n")}

All have IPv6 and, but in mode \`replace\`, \`icc\` off on the default bridge; every network but \`plain\`, \`fixed\` and \`bound\` has IPv6. The
LAN's router and the neighbour have routes to the containers' subnets, the neighbour one to 127.0.0.1 too.

## Exceptions

${exceptions.map(({ what, reason }) => `- ${about[what]}: ${reason}`).join("\n")}

${renderTable(table)}
`;
