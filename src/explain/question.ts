import { UserError } from "../errors.js";
import { type Address, canonical, familyOf } from "../ip.js";
import type { Protocol } from "./frame.js";

/** An end of the packet as it was asked for. */
export type End =
  | { kind: "host" }
  | { kind: "address"; address: Address }
  | { kind: "container"; container: string; network?: string };

export interface Question {
  source: End;
  /** Undefined: any free one. */
  sourcePort?: number;
  destination: End;
  protocol: Protocol;
  /** 0 with ICMP. */
  port: number;
}

const SHAPE =
  "SRC DST[:PORT[/PROTO]], where SRC and DST are an address, a container (NAME or NAME@NETWORK) or host";

/**
 * Reads what was asked: "203.0.113.7" "198.18.0.1:8080/tcp". Without a port it is a ping; with one TCP unless said otherwise. An IPv6
 * address with a port is in brackets. The source may have a port as well.
 * @throws UserError (2) naming what is wrong
 */
export function parseQuestion(source: string, destination: string): Question {
  const from = parseEnd(source, "SRC");
  const to = parseEnd(destination, "DST");
  if (from.protocol !== undefined) throw wrong(`SRC "${source}" has a protocol, which belongs to DST`);
  const protocol = to.protocol ?? (to.port === undefined ? "icmp" : "tcp");
  if (protocol === "icmp" && (to.port !== undefined || from.port !== undefined))
    throw wrong(`"${destination}": ICMP has no ports`);
  if (protocol !== "icmp" && to.port === undefined) throw wrong(`DST "${destination}" has no port`);
  const families = [from.end, to.end].flatMap((end) =>
    end.kind === "address" ? [familyOf(end.address)] : [],
  );
  if (families[0] !== (families[1] ?? families[0]))
    throw wrong(`"${source}" and "${destination}" are of different families`);
  return {
    source: from.end,
    ...(from.port === undefined ? {} : { sourcePort: from.port }),
    destination: to.end,
    protocol,
    port: to.port ?? 0,
  };
}

interface ParsedEnd {
  end: End;
  port?: number;
  protocol?: Protocol;
}

function parseEnd(text: string, what: "SRC" | "DST"): ParsedEnd {
  const [whole, protocolText, ...more] = text.split("/");
  if (whole === undefined || more.length > 0) throw wrong(`${what} "${text}" is none`);
  const protocol = protocolText === undefined ? {} : { protocol: parseProtocol(protocolText, what, text) };
  const address = canonical(whole);
  if (address !== undefined) return { end: { kind: "address", address }, ...protocol };
  const bracketed = /^\[(?<name>[^\]]*)\](?::(?<port>.*))?$/s.exec(whole)?.groups;
  const plain = /^(?<name>[^:]*)(?::(?<port>[^:]*))?$/s.exec(whole)?.groups;
  const { name, port } = bracketed ?? plain ?? {};
  if (name === undefined) throw wrong(`${what} "${text}" is no address, and no name`);
  return {
    end: bracketed === undefined ? parseName(name, what, text) : parseBracketed(name, what, text),
    ...(port === undefined ? {} : { port: parsePort(port, what, text) }),
    ...protocol,
  };
}

function parseBracketed(name: string, what: string, text: string): End {
  const address = canonical(name, 6);
  if (address === undefined) throw wrong(`${what} "${text}": there is no IPv6 address in the brackets`);
  return { kind: "address", address };
}

function parseName(name: string, what: string, text: string): End {
  if (name === "host") return { kind: "host" };
  const address = canonical(name);
  if (address !== undefined) return { kind: "address", address };
  // As the engine has them: RestrictedNamePattern (moby, daemon/names).
  const parts = /^(?<container>[a-zA-Z0-9][a-zA-Z0-9_.-]*)(?:@(?<network>[a-zA-Z0-9][a-zA-Z0-9_.-]*))?$/.exec(
    name,
  );
  const { container, network } = parts?.groups ?? {};
  if (container === undefined) throw wrong(`${what} "${text}" is no address, and no container's name`);
  return { kind: "container", container, ...(network === undefined ? {} : { network }) };
}

function parsePort(port: string, what: string, text: string): number {
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535)
    throw wrong(`${what} "${text}": a port is 1 to 65535`);
  return Number(port);
}

function parseProtocol(name: string, what: string, text: string): Protocol {
  if (name === "tcp" || name === "udp" || name === "icmp") return name;
  throw wrong(`${what} "${text}": the protocol is tcp, udp or icmp`);
}

function wrong(message: string): UserError {
  return new UserError(message, { remedy: `say ${SHAPE}`, exitCode: 2 });
}
