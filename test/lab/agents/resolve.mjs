// Asks a DNS server for a name's addresses and its text, which comes over TCP where it is too long for a datagram.
// Prints {"ipv4","ipv6","text"} (text: its length), or {"error"}.
//
//   node resolve.mjs SERVER PORT NAME

import { promises } from "node:dns";

const [server, port, name] = process.argv.slice(2);
const resolver = new promises.Resolver({ timeout: 2000, tries: 1 });
resolver.setServers([server.includes(":") ? `[${server}]:${port}` : `${server}:${port}`]);
try {
  const ipv4 = await resolver.resolve4(name);
  const ipv6 = await resolver.resolve6(name);
  const text = (await resolver.resolveTxt(name)).flat().join("").length;
  console.log(JSON.stringify({ ipv4, ipv6, text }));
} catch (error) {
  console.log(JSON.stringify({ error: error.code }));
}
