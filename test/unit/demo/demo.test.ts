import { describe, expect, it } from "vitest";
import { parseCpuList } from "../../../src/demo/cpus.js";
import { Disposers } from "../../../src/demo/disposers.js";
import { mountsBelow } from "../../../src/demo/leftovers.js";
import { parseWrk } from "../../../src/demo/load.js";
import { median } from "../../../src/demo/median.js";
import { namesOf, pidOf } from "../../../src/demo/names.js";

const wrk = `Running 1s test @ http://198.18.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   577.27us  151.38us   3.39ms   86.36%
  Latency Distribution
     50%  549.00us
     75%  620.00us
     90%  701.00us
     99%    1.20ms
  28067 requests in 1.00s, 23.93MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  28050.12
Transfer/sec:     23.90MB
`;

describe("parseWrk", () => {
  it("reads rate, median and every kind of error", () => {
    expect(parseWrk(wrk)).toEqual({ requestsPerSecond: 28050.12, latencyMs: 0.549, errors: 10 });
    expect(parseWrk(wrk.replace("549.00us", "1.50ms").replace(/\n {2}(Socket|Non).*/g, ""))).toMatchObject({
      latencyMs: 1.5,
      errors: 0,
    });
  });

  it("does not make up a rate", () => {
    expect(() => parseWrk("unable to connect to 198.18.0.1:8080 Connection refused\n")).toThrow(
      /Connection refused/,
    );
  });
});

describe("names", () => {
  it("are known again by their process", () => {
    const { host, client, directory } = namesOf(42);
    expect([host, client, directory.split("/").at(-1) ?? ""].map(pidOf)).toEqual([42, 42, 42]);
    expect(
      ["fairway-demo-", "fairway-demo-1x", "my-fairway-demo-1", "fairway-demo-1-other"].map(pidOf),
    ).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe("mountsBelow", () => {
  it("finds the mounts of a directory and of no other", () => {
    const line = (point: string) => `36 35 98:0 / ${point} rw,noatime - ext4 /dev/root rw`;
    const mountinfo = ["/", "/tmp/d", "/tmp/d/bpf", "/tmp/d\\040x/y", "/tmp/d/a\\040b", "/tmp/dd"]
      .map(line)
      .join("\n");
    expect(mountsBelow("/tmp/d", mountinfo)).toEqual(["/tmp/d", "/tmp/d/bpf", "/tmp/d/a b"]);
  });
});

describe("Disposers", () => {
  it("undoes in reverse order, whatever fails or hangs, and says what did", async () => {
    const undone: string[] = [];
    const disposers = new Disposers();
    disposers.add("first", () => void undone.push("first"));
    disposers.add("hanging", () => new Promise(() => undefined));
    disposers.add("failing", () => Promise.reject(new Error("busy")));
    disposers.add("last", () => void undone.push("last"));
    expect(await disposers.dispose(50)).toEqual(["failing: busy", "hanging: not done within 0.05 s"]);
    expect(undone).toEqual(["last", "first"]);
    expect(await disposers.dispose()).toEqual([]);
  });

  it("copes with something that throws at once", async () => {
    const disposers = new Disposers();
    disposers.add("throwing", () => {
      throw new Error("no");
    });
    expect(await disposers.dispose()).toEqual(["throwing: no"]);
  });
});

describe("figures", () => {
  it("parseCpuList", () => {
    expect([parseCpuList("0-2,5\n"), parseCpuList("3"), parseCpuList("")]).toEqual([[0, 1, 2, 5], [3], []]);
  });

  it("median", () => {
    expect([median([]), median([3]), median([1, 10, 2]), median([4, 1])]).toEqual([undefined, 3, 2, 2.5]);
  });
});
