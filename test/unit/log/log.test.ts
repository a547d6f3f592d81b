import { describe, expect, it } from "vitest";
import { colorWanted, createLog } from "../../../src/log/log.js";

function lines(format: "text" | "json", level: string, color = false) {
  const written: string[] = [];
  const log = createLog({ format, level, color, stream: { write: (line) => void written.push(line) } });
  return { log, written };
}

describe("createLog", () => {
  it("writes JSON with a time, a word for the level and the fields", () => {
    const { log, written } = lines("json", "info");
    log.debug("not this");
    log.warn({ uplink: "eth0" }, "gone");
    expect(written).toHaveLength(1);
    const line = JSON.parse(written[0] ?? "");
    expect(line).toMatchObject({ level: "warn", msg: "gone", uplink: "eth0" });
    expect(new Date(line.time).getTime()).toBeGreaterThan(Date.now() - 60_000);
    expect(line).not.toHaveProperty("pid");
  });

  it("writes text for people, one line, without colours when told so", () => {
    const { log, written } = lines("text", "debug");
    log.debug({ uplink: "eth0" }, "attached");
    expect(written.join("")).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] DEBUG: attached \{"uplink":"eth0"\}\n$/);
  });

  it("takes the sting out of names that steer a terminal", () => {
    const { log, written } = lines("text", "info");
    log.info({ network: "\u001b[31mred\u001b]0;title\u0007" }, "evil \u001b[2J name\u202e");
    expect(written.join("")).not.toMatch(/[\p{Cc}\u202e](?!$)/u);
  });
});

describe("colorWanted", () => {
  it("asks for a terminal and heeds NO_COLOR", () => {
    expect(colorWanted(true, {})).toBe(true);
    expect(colorWanted(true, { NO_COLOR: "" })).toBe(true);
    expect(colorWanted(true, { NO_COLOR: "1" })).toBe(false);
    expect(colorWanted(undefined, {})).toBe(false);
  });
});
