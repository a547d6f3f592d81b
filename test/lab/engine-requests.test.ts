import { createServer, request } from "node:http";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Fairway, type Lab, until } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

/** A socket that leads to the engine's and writes down what is asked for, without the API's version. */
async function listenIn(lab: Lab): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const path = join(lab.dir, "listen-in.sock");
  const server = createServer((question, answer) => {
    asked.push((question.url ?? "").replace(/^\/v[\d.]+/, ""));
    const { method, url, headers } = question;
    const onward = request({ socketPath: lab.engine.socket, method, path: url, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 500, got.headers);
      answer.flushHeaders();
      got.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    question.pipe(onward);
  });
  // An engine keeps connections open however long nothing is asked.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(path, resolve));
  lab.disposers.add("listening in", () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `unix://${path}`, asked };
}

const inspections = (asked: readonly string[]) =>
  asked.flatMap((path) => /^\/containers\/([0-9a-f]{64})\/json$/.exec(path)?.[1] ?? []);
const passes = ({ log }: Fairway) => log.split("\n").filter((line) => line.includes("reconciled")).length;

onEveryEngine("What the engine is asked for", { images: ["busybox"], fairway: false }, (stage) => {
  it("is each container once at the start, and then only whom an event is about", async () => {
    const { lab } = stage;
    const names = ["one", "two", "three"];
    const there = await Promise.all(names.map((name) => lab.engine.run("busybox", { name })));
    const { url, asked } = await listenIn(lab);
    const args = ["--docker-host", url, "--log-level", "debug", "--log-format", "json"];
    const fairway = await lab.fairway({ args });
    for (const name of names) await fairway.knows(name);
    // What happened in the last second is told again to whoever subscribes.
    expect(new Set(inspections(asked))).toEqual(new Set(there.map(({ id }) => id)));

    asked.length = 0;
    const fresh = await lab.engine.run("busybox", { name: "fresh", publish: ["7300:7000"] });
    await fairway.knows("fresh");
    expect(new Set(inspections(asked))).toEqual(new Set([fresh.id]));

    // A pass that something else has set off asks for nothing.
    const [questions, before] = [asked.length, passes(fairway)];
    await lab.host.exec(["ip", "link", "add", "fwl-other", "type", "veth", "peer", "name", "fwl-peer"]);
    await until("a pass", () => passes(fairway) > before);
    // Events of the start may still come.
    expect(asked.slice(questions).filter((path) => !path.includes(fresh.id))).toEqual([]);

    asked.length = 0;
    await fresh.remove();
    await until("it is forgotten", async () => !(await fairway.page("/metrics")).includes('"fresh"'));
    expect(inspections(asked).filter((id) => id !== fresh.id)).toEqual([]);
    // That looks up each container's image, with engines from 29 on.
    expect(asked.filter((path) => path.startsWith("/containers/json"))).toEqual([]);
  });
});
