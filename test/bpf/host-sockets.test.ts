/** The programs at socket calls, attached, on live sockets: who is led, and who is not. The container is an address of the host's. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { decodePerCpu } from "../../src/codec.js";
import { findRootCgroup } from "../../src/datapath/host_sockets.js";
import { mapDefinitions } from "../../src/generated/maps.js";
import { constants } from "../../src/generated/programs.js";
import { HostOutcomeName, HostPortFlags } from "../../src/generated/types.js";
import { mapped } from "../../src/ip.js";
import { type BpfLink, listLinks, netnsCookie } from "../../src/native/index.js";
import { Datapath, slot } from "./lib/datapath.js";
import { addresses, ip } from "./lib/host.js";
import { protocolNumber } from "./lib/packet.js";

const container = "198.18.77.2";
const { LOOPBACK, LOOPBACK_PROXIED, ADDRESSES, KEEP_SOURCE } = HostPortFlags;
const translated = LOOPBACK | ADDRESSES | KEEP_SOURCE;
const calls = {
  host_connect_ipv4: "inet4_connect",
  host_connect_ipv6: "inet6_connect",
  host_sendmsg_ipv4: "udp4_sendmsg",
  host_recvmsg_ipv4: "udp4_recvmsg",
  host_getpeername_ipv4: "inet4_getpeername",
  host_getsockname_ipv4: "inet4_getsockname",
} as const;

/** The programs for a namespace's sockets, at the root of the cgroup tree. */
function attached(cookie: bigint): { datapath: Datapath; close: () => void } {
  const datapath = new Datapath((object) =>
    object.setConstant("host_netns_cookie", constants.host_netns_cookie.encode(cookie)),
  );
  const path = findRootCgroup() ?? "/sys/fs/cgroup/unified";
  const links: BpfLink[] = Object.entries(calls).map(([name, type]) =>
    datapath.program(name as keyof typeof calls).attachCgroup({ path, type }),
  );
  return {
    datapath,
    close: () => {
      for (const link of links) link.close();
      datapath.close();
    },
  };
}

describe.each(["this namespace", "another namespace"])("for the sockets of %s", (whose) => {
  const ours = whose === "this namespace";
  let datapath: Datapath;
  let close = () => {};
  let server: Server;
  let echo: UdpSocket;
  let port: number;
  const open: { close(): unknown }[] = [];

  beforeAll(async () => {
    ({ datapath, close } = attached(netnsCookie() + (ours ? 0n : 1_000_000n)));
    ip("link set lo up");
    ip(`addr replace ${container}/32 dev lo`);
    server = createServer((socket) => socket.end(`${socket.remoteAddress}`)).listen(0, container);
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
    echo = createSocket("udp4");
    echo.on("message", (_, from) => echo.send(from.address, from.port, from.address));
    echo.bind(port, container);
    await once(echo, "listening");
  });
  afterAll(() => {
    server.close();
    echo.close();
    close();
  });
  beforeEach(() => {
    datapath.reset();
    datapath.write("host_devices", datapath.device.web0, datapath.device.web0);
    const own = addresses[4].host;
    datapath.write("host_dialled", mapped(own), { source: mapped(own), bridgeIfindex: 0 });
  });
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  const published = 4999;
  function publish(flags: number, proto: "tcp" | "udp" = "tcp", change: object = {}): void {
    const { generation } = datapath.endpoint(slot.web);
    const value = {
      slot: slot.web,
      generation,
      address: mapped(container),
      source: "::",
      port,
      flags,
      ...change,
    };
    datapath.write(
      "host_ports",
      { address: "::ffff:0.0.0.0", port: published, proto: protocolNumber[proto] },
      value,
    );
  }

  async function tcp(host: string): Promise<Record<string, unknown>> {
    const socket: Socket = connect({ host, port: published });
    try {
      const [data] = await once(socket, "data");
      const { remoteAddress: peer, remotePort, localAddress: local } = socket;
      return { seen: String(data), peer, port: remotePort, local };
    } catch (error) {
      return { error: (error as NodeJS.ErrnoException).code };
    } finally {
      socket.destroy();
    }
  }

  async function listen(host: string): Promise<void> {
    const own = createServer((socket) => socket.end(`own ${socket.remoteAddress}`)).listen(published, host);
    open.push(own);
    await once(own, "listening");
  }

  /** What was counted of the published port, by outcome. */
  function outcomes(proto: "tcp" | "udp" = "tcp"): Record<string, number> {
    const key = { address: "::ffff:0.0.0.0", port: published, proto: protocolNumber[proto] };
    const definition = mapDefinitions.host_port_counters;
    const value = datapath.map("host_port_counters").get(definition.key.encode(key));
    const sums: Record<string, number> = {};
    for (const { sockets } of value === undefined ? [] : decodePerCpu(definition.value, value))
      sockets.forEach((count, outcome) => {
        const name = HostOutcomeName[outcome] ?? "";
        if (count > 0n) sums[name] = (sums[name] ?? 0) + Number(count);
      });
    return sums;
  }

  const refused = { error: "ECONNREFUSED" };

  it("leads to the container, and tells what was dialled", async () => {
    publish(translated);
    const own = addresses[4].host;
    if (!ours) {
      expect(await tcp("127.0.0.1")).toEqual(refused);
      expect(outcomes()).toEqual({});
      return;
    }
    expect(await tcp(own)).toEqual({ seen: own, peer: own, port: published, local: own });
    expect(await tcp("127.0.0.1")).toMatchObject({ peer: "127.0.0.1", port: published, local: "127.0.0.1" });
    expect(outcomes()).toEqual({ led: 2 });
  });

  if (!ours) return;

  it("leads nobody to an endpoint of another generation", async () => {
    publish(translated);
    datapath.putEndpoint(slot.web);
    expect(await tcp("127.0.0.1")).toEqual(refused);
    expect(outcomes()).toEqual({ stale: 1 });
  });

  it("leads nobody to an endpoint whose device is gone, whoever has been told", async () => {
    ip("link add gone0 type veth peer name gone1");
    const ifindex = listLinks().find(({ name }) => name === "gone0")?.ifindex ?? 0;
    datapath.putEndpoint(slot.web, { ifindex });
    datapath.write("host_devices", ifindex, ifindex);
    publish(translated);
    expect(await tcp("127.0.0.1")).toMatchObject({ peer: "127.0.0.1" });
    ip("link del gone0");
    expect(await tcp("127.0.0.1")).toEqual(refused);
    expect(outcomes()).toEqual({ led: 1, stale: 1 });
  });

  it("stands in for docker-proxy only while that listens: on the published address, not on another", async () => {
    publish(LOOPBACK | LOOPBACK_PROXIED);
    expect(await tcp("127.0.0.1")).toEqual(refused);
    await listen("127.0.0.1");
    expect(await tcp("127.0.0.1")).toMatchObject({ seen: "own 127.0.0.1" });
    expect(outcomes()).toEqual({ no_proxy: 2 });
    for (const one of open.splice(0)) one.close();
    await listen("0.0.0.0");
    expect(await tcp("127.0.0.1")).toMatchObject({
      peer: "127.0.0.1",
      seen: expect.not.stringMatching(/own/),
    });
    expect(outcomes()).toEqual({ no_proxy: 2, led: 1 });
  });

  it("is no matter for a dual-stack listener of IPv6's", async () => {
    publish(LOOPBACK | LOOPBACK_PROXIED);
    await listen("::");
    expect(await tcp("127.0.0.1")).toMatchObject({ seen: "own ::ffff:127.0.0.1" });
    expect(outcomes()).toEqual({ no_proxy: 1 });
  });

  it("answers to datagrams come from whom was dialled, and one container has one name on a socket", async () => {
    publish(translated, "udp");
    const socket = createSocket("udp4");
    open.push(socket);
    const ask = async (host: string) => {
      socket.send("x", published, host);
      const [, from] = await once(socket, "message", { signal: AbortSignal.timeout(2000) });
      return `${from.address} ${from.port}`;
    };
    expect(await ask("127.0.0.1")).toBe(`127.0.0.1 ${published}`);
    expect(await ask("127.0.0.1")).toBe(`127.0.0.1 ${published}`);
    await expect(ask(addresses[4].host)).rejects.toThrow();
    expect(outcomes("udp")).toEqual({ led: 1, other_peer: 1 });
  });

  it("leaves another network's gateway to the kernel", async () => {
    publish(translated);
    const own = addresses[4].host;
    const bridgeIfindex = datapath.device["br-other"];
    datapath.write("host_dialled", mapped(own), { source: mapped(own), bridgeIfindex });
    expect(await tcp(own)).toEqual(refused);
    expect(outcomes()).toEqual({ other_network: 1 });
  });
});
