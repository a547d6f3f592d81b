import { describe, expect, it } from "vitest";
import { type Answer, AnswerReader } from "../../../src/docker/answer.js";

const head = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

/** Reads a text that comes in pieces of this many bytes. */
function read(text: string, pieces: number, maxBytes = 1000): Answer | undefined {
  const reader = new AnswerReader(maxBytes);
  const bytes = Buffer.from(text);
  let answer: Answer | undefined;
  for (let at = 0; at < bytes.length; at += pieces) {
    expect(answer).toBeUndefined();
    answer = reader.push(bytes.subarray(at, at + pieces));
  }
  return answer;
}

const sizes = [1, 2, 3, 5, 7, 11, 1000];

describe("an answer is whole, in whatever pieces it comes", () => {
  it.each([
    ["of known length", `${head("Content-Length: 5")}hé!!`, "hé!!"],
    ["without a body", head("Content-Length: 0"), ""],
    [
      "in chunks",
      `${head("Transfer-Encoding: chunked")}4\r\nab\r\n\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n`,
      "ab\r\n0123456789",
    ],
    ["with a trailer", `${head("transfer-encoding:chunked")}1\r\na\r\n0\r\nX: y\r\n\r\n`, "a"],
    ["after an interim one", `HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n${head("Content-Length: 1")}a`, "a"],
  ])("%s", (_what, text, body) => {
    for (const size of sizes) {
      const answer = read(text, size);
      expect(answer).toMatchObject({ status: 200, keepAlive: true });
      expect(answer?.body.toString()).toBe(body);
    }
  });

  it("of unknown length, at the connection's end", () => {
    const reader = new AnswerReader(1000);
    expect(reader.push(Buffer.from(`${head()}ab`))).toBeUndefined();
    expect(reader.push(Buffer.from("cd"))).toBeUndefined();
    const answer = reader.end();
    expect(answer).toMatchObject({ status: 200, keepAlive: false });
    expect(answer?.body.toString()).toBe("abcd");
  });
});

it("has not come where the connection ends in the middle of it", () => {
  for (const text of [
    "",
    "HTTP/1.1 200 OK\r\n",
    `${head("Content-Length: 5")}ab`,
    `${head("Transfer-Encoding: chunked")}1\r\na\r\n`,
  ]) {
    const reader = new AnswerReader(1000);
    reader.push(Buffer.from(text));
    expect(reader.end()).toBeUndefined();
  }
});

it.each([
  ["says so", `${head("Connection: close", "Content-Length: 1")}a`],
  ["says so among others", `${head("Connection: x, Close", "Content-Length: 1")}a`],
  ["is of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na"],
  ["says more than it was asked", `${head("Content-Length: 1")}ab`],
])("is the connection's last where it %s", (_what, text) => {
  expect(read(text, 1000)).toMatchObject({ status: 200, keepAlive: false });
});

it.each([
  ["what is no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["a status that is none", "HTTP/1.1 20 OK\r\n\r\n"],
  ["another coding", head("Transfer-Encoding: gzip, chunked")],
  ["a chunk without a length", `${head("Transfer-Encoding: chunked")}x\r\n`],
  ["a chunk that is longer than it says", `${head("Transfer-Encoding: chunked")}1\r\nabc\r\n`],
  ["a chunk's line without end", `${head("Transfer-Encoding: chunked")}${"1;".repeat(1000)}`],
])("refuses %s", (_what, text) => {
  for (const size of sizes) expect(() => read(text, size)).toThrow(Error);
});

it("refuses a head without end", () => {
  const reader = new AnswerReader(1000);
  reader.push(Buffer.from("HTTP/1.1 200 OK\r\nX: "));
  expect(() => reader.push(Buffer.alloc(70_000, "y"))).toThrow(Error);
});

it.each([
  ["at once where its length is told", head("Content-Length: 11")],
  ["in chunks", `${head("Transfer-Encoding: chunked")}8\r\n01234567\r\n3\r\n`],
  ["that ends with the connection", `${head()}01234567890`],
])("refuses a body that is too large, %s", (_what, text) => {
  for (const size of sizes) expect(() => read(text, size, 10)).toThrow(RangeError);
});
