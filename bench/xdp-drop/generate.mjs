// Sends a flood of frames out by a device, as fast as it can, whenever it is told to.
//
//   node generate.mjs OBJECT IFINDEX MAC      then on stdin, a line each: MILLISECONDS; answers {"sent","ms"}

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { BpfObject } from "../../dist/native/index.js";

const FRAME_LENGTH = 60;
const [path = "", ifindex = "", mac = ""] = process.argv.slice(2);
const object = BpfObject.open(readFileSync(path), "generator");
const device = Buffer.alloc(4);
device.writeUInt32LE(Number(ifindex));
object.setConstant("to_ifindex", device);
object.setConstant("to_mac", Buffer.from(mac.replaceAll(":", ""), "hex"));
object.setAutoload("drop_all", false);
object.load();
const program = object.program("generate");

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const begin = performance.now();
  let sent = 0;
  while (performance.now() - begin < Number(line)) {
    program.testRun({
      data: Buffer.alloc(FRAME_LENGTH),
      dataOutSize: 0,
      live: true,
      batchSize: 256,
      repeat: 131072,
    });
    sent += 131072;
  }
  console.log(JSON.stringify({ sent, ms: performance.now() - begin }));
}
