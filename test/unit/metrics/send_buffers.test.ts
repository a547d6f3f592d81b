import { describe, expect, it, vi } from "vitest";
import { SendBuffers } from "../../../src/metrics/send_buffers.js";

describe("SendBuffers", () => {
  it("sends all bytes in their order, small pieces together, and uses a buffer again only when it was sent", () => {
    const sent: { bytes: Buffer; done: () => void }[] = [];
    const sending = new SendBuffers((bytes, done) => sent.push({ bytes, done }));
    const pieces = Array.from({ length: 60 }, (_, i) => Buffer.alloc(10_000 + i, 65 + (i % 26)));
    for (const piece of [...pieces, Buffer.alloc(700_000, "z")]) sending.add(piece);
    sending.flush();
    sending.flush();
    expect(sent.length).toBe(
      Math.ceil(sent.reduce((sum, { bytes }) => sum + bytes.length, 0) / (256 * 1024)),
    );
    const whole = () => sent.map(({ bytes }) => bytes.toString("latin1")).join("");
    const wanted = [...pieces.map(String), "z".repeat(700_000)].join("");
    expect(whole() === wanted).toBe(true);
    const first = sent[0]?.bytes.buffer;
    expect(new Set(sent.map(({ bytes }) => bytes.buffer)).size).toBe(sent.length);
    sent[0]?.done();
    const later = new SendBuffers((bytes, done) => sent.push({ bytes, done }));
    later.add(Buffer.from("later"));
    later.flush();
    expect(sent.at(-1)?.bytes.buffer).toBe(first);
    expect(sent.at(-1)?.bytes.toString()).toBe("later");
  });

  it("has those who write wait while four buffers are on their way, but not for who does not read", async () => {
    vi.useFakeTimers();
    try {
      const sent: (() => void)[] = [];
      const sending = new SendBuffers((_, done) => sent.push(done));
      sending.add(Buffer.alloc(4 * 256 * 1024 - 1));
      expect(sending.room()).toBeUndefined();
      sending.add(Buffer.alloc(1));
      const room = sending.room();
      expect(room).toBeInstanceOf(Promise);
      sent.shift()?.();
      await room;
      expect(sending.room()).toBeUndefined();
      sending.add(Buffer.alloc(256 * 1024));
      const never = sending.room();
      vi.advanceTimersByTime(50);
      await never;
      sending.add(Buffer.alloc(256 * 1024));
      expect(sending.room()).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });
});
