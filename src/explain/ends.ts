/** Whom the names of a question mean. Pure. */
import { suggestion } from "../config/nearest.js";
import { addressOf } from "../datapath/families.js";
import { UserError } from "../errors.js";
import { type Address, FAMILIES, type Family, familyOf } from "../ip.js";
import type { End, Question } from "./question.js";
import { endpointAt, endpointName, type KnownEndpoint, uplinkAddress, type World } from "./world.js";

/** One end of the packet: an endpoint's, the host's own, or somebody's outside. */
export type Party = Addressed | { kind: "host"; address: undefined };
type Addressed =
  | { kind: "endpoint"; known: KnownEndpoint; address: Address }
  | { kind: "host"; address: Address }
  | { kind: "outside"; address: Address };

export interface Parties {
  family: Family;
  source: Party;
  destination: Addressed;
}

/** @throws UserError for a name that nobody has, or that several have */
export function partiesOf(question: Question, world: World): Parties {
  const candidates = {
    source: candidatesOf(question.source, world),
    destination: candidatesOf(question.destination, world),
  };
  const family = familyFor(question, candidates.source, candidates.destination);
  const near = (of: readonly KnownEndpoint[]) => new Set(of.map(({ endpoint }) => endpoint.bridgeIfindex));
  const source = partyOf(question.source, candidates.source, near(candidates.destination), family);
  const reached =
    source.kind === "endpoint" ? new Set([source.known.endpoint.bridgeIfindex]) : new Set<number>();
  const destination = partyOf(question.destination, candidates.destination, reached, family);
  if (destination.kind !== "host" || destination.address !== undefined)
    return { family, source, destination };
  return { family, source, destination: { kind: "host", address: hostAddressFor(source, family, world) } };
}

/** The endpoints that an end may be; none where it is not a container's. */
function candidatesOf(end: End, world: World): KnownEndpoint[] {
  if (end.kind === "host") return [];
  if (end.kind === "address") {
    const found = endpointAt(world, end.address);
    return found === undefined ? [] : [found];
  }
  const named = world.endpoints.filter(({ container }) => container === end.container);
  if (named.length === 0)
    throw noSuch(
      "container",
      end.container,
      world.endpoints.map((one) => one.container),
    );
  if (end.network === undefined) return named;
  const there = named.filter(({ network }) => network === end.network);
  const networks = named.map(({ network }) => network);
  if (there.length === 0) throw noSuch(`network of ${end.container}`, end.network, networks);
  return there;
}

function noSuch(what: string, name: string, all: readonly (string | undefined)[]): UserError {
  const known = [...new Set(all.filter((one) => one !== undefined))].sort();
  const remedy =
    known.length === 0
      ? "no daemon is running that knows names: say an address"
      : `fairway knows ${list(known)}`;
  return new UserError(`no ${what} is named "${name}"${suggestion(name, known)}`, { remedy });
}

function list(names: readonly string[]): string {
  const most = 10;
  return names.length <= most
    ? names.join(", ")
    : `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

/** That of the addresses; without any, IPv4 where both ends have it. */
function familyFor(question: Question, ...candidates: (readonly KnownEndpoint[])[]): Family {
  for (const end of [question.source, question.destination])
    if (end.kind === "address") return familyOf(end.address);
  const all = candidates.filter((one) => one.length > 0);
  return FAMILIES.find((family) => all.every((one) => one.some((c) => addressOf(c.endpoint, family)))) ?? 4;
}

/** @param preferred bridges or parents of which the endpoint is one where there is a choice */
function partyOf(
  end: End,
  candidates: readonly KnownEndpoint[],
  preferred: ReadonlySet<number>,
  family: Family,
): Party {
  if (end.kind === "host") return { kind: "host", address: undefined };
  const usable = candidates.filter(({ endpoint }) => addressOf(endpoint, family) !== undefined);
  const near = usable.filter(({ endpoint }) => preferred.has(endpoint.bridgeIfindex));
  const [known, ...others] = near.length > 0 ? near : usable;
  if (known === undefined) {
    if (end.kind === "address") return { kind: "outside", address: end.address };
    throw new UserError(`${end.container} has no IPv${family} address`);
  }
  if (others.length > 0) {
    throw new UserError(
      `which network is meant is not clear: ${[known, ...others].map(endpointName).join(", ")}`,
      {
        remedy: `say one of them, as ${endpointName(known)}`,
        exitCode: 2,
      },
    );
  }
  return { kind: "endpoint", known, address: addressOf(known.endpoint, family) as Address };
}

/** The host as the source would dial it: at the uplink that it comes in by, by loopback, or at any uplink. */
function hostAddressFor(source: Party, family: Family, world: World): Address {
  if (source.kind === "host") return family === 4 ? "127.0.0.1" : "::1";
  const oif = source.kind === "outside" ? world.route(source.address)?.oif : undefined;
  const uplinks = oif === undefined ? [...world.uplinks.values()] : [world.uplinks.get(oif)];
  const address = uplinks.map((uplink) => uplinkAddress(uplink, family)).find((one) => one !== undefined);
  if (address !== undefined) return address;
  throw new UserError(`the host has no IPv${family} address at an uplink that could be meant`, {
    remedy: "name the address in place of host",
  });
}
