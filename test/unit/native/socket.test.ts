import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/ip.js";
import { netnsCookie, redialUdp } from "../../../src/native/index.js";
import { enterNewNamespace } from "./support.js";

describe("the namespace's cookie", () => {
  it("is the same each time, and another in another namespace", () => {
    const here = netnsCookie();
    expect(here).toBeGreaterThan(0n);
    expect(netnsCookie()).toBe(here);
    enterNewNamespace();
    expect(netnsCookie()).not.toBe(here);
  });
});

describe("dialling a socket of another process again", () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function listener(): Promise<{ port: number; heard: () => Promise<string> }> {
    const socket = createSocket("udp4");
    closers.push(() => socket.close());
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const first = once(socket, "message");
    return { port: socket.address().port, heard: async () => String((await first)[0]) };
  }

  const to = (port: number) => ({ address: parseAddress("::ffff:127.0.0.1") ?? new Uint8Array(16), port });

  it("has it send to the new peer, whatever else the process has open", async () => {
    const [first, second] = [await listener(), await listener()];
    const script = `
import socket, sys
others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)] + [open("/dev/null")]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", ${first.port}))
print(int.from_bytes(s.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder), flush=True)
for word in sys.stdin:
    s.send(word.strip().encode())
`;
    const child = spawn("python3", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
    closers.push(() => child.kill("SIGKILL"));
    const cookie = BigInt(String((await once(child.stdout, "data"))[0]).trim());
    const pid = child.pid ?? 0;
    child.stdin.write("one\n");
    expect(await first.heard()).toBe("one");
    expect(redialUdp({ pid, cookie, ...to(second.port) })).toBe(true);
    child.stdin.write("two\n");
    expect(await second.heard()).toBe("two");
    expect(redialUdp({ pid, cookie: cookie + 1_000_000n, ...to(second.port) })).toBe(false);
  });

  it("is not possible where the process is gone", () => {
    const never = Number(readFileSync("/proc/sys/kernel/pid_max", "utf8"));
    expect(redialUdp({ pid: never, cookie: 1n, ...to(9) })).toBe(false);
  });

  it("wants an address of 16 bytes", () => {
    expect(() => redialUdp({ pid: process.pid, cookie: 1n, address: new Uint8Array(4), port: 9 })).toThrow(
      /address/,
    );
  });
});
