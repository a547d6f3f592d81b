/** The frames by which a container's address is announced on its parent's link. Pure. */
import { internetChecksum } from "../checksum.js";
import { type Address, familyOf, parseAddress } from "../ip.js";

const BROADCAST = Buffer.alloc(6, 0xff);
/** Of ff02::1, all nodes. */
const ALL_NODES_MAC = Buffer.from("333300000001", "hex");
const ALL_NODES = Buffer.from("ff020000000000000000000000000001", "hex");
const ICMPV6 = 58;

/**
 * A frame that tells everybody on the link that address is at mac: a gratuitous ARP request (RFC 5227, 3), or an unsolicited neighbour
 * advertisement (RFC 4861, 7.2.6).
 * @param mac 6 bytes
 * @throws RangeError if address is none
 */
export function announcement(address: Address, mac: Uint8Array): Buffer {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`no address: ${address}`);
  return familyOf(address) === 4 ? gratuitousArp(bytes, mac) : unsolicitedAdvertisement(bytes, mac);
}

function gratuitousArp(address: Uint8Array, mac: Uint8Array): Buffer {
  const header = Buffer.from("08060001080006040001", "hex");
  return Buffer.concat([BROADCAST, mac, header, mac, address, Buffer.alloc(6), address]);
}

function unsolicitedAdvertisement(address: Uint8Array, mac: Uint8Array): Buffer {
  // Type 136, code 0, checksum, the flag "override"; then the target, and its link-layer address as an option.
  const message = Buffer.concat([Buffer.from("8800000020000000", "hex"), address, Buffer.from([2, 1]), mac]);
  const pseudo = Buffer.from([0, 0, 0, message.length, 0, 0, 0, ICMPV6]);
  message.writeUInt16BE(internetChecksum(Buffer.from(address), ALL_NODES, pseudo, message), 2);
  const ip = Buffer.from([0x60, 0, 0, 0, 0, message.length, ICMPV6, 255]);
  return Buffer.concat([ALL_NODES_MAC, mac, Buffer.from("86dd", "hex"), ip, address, ALL_NODES, message]);
}
