// Brings a lab up, tells how to use it, and takes it down at the end.
//
//   npm run lab [-- --engine 20.10|29]

import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildEngine29 } from "./engine-29.mjs";
import { buildLabLibrary } from "./lib/lab-library.mjs";
import { buildDir, root } from "./lib/paths.mjs";
import { Failure } from "./lib/run.mjs";
import { main } from "./lib/step.mjs";
import { setupBuild, setupRun, setupTest } from "./setup.mjs";

const kinds = ["20.10", "29"];

await main(async () => {
  const kind = engineAsked();
  await setupBuild();
  await setupRun();
  await setupTest();
  if (kind === "29") await buildEngine29();
  await buildLabLibrary();
  const { createLab, addresses, fairwayPlaces } = await import(join(buildDir, "lab/test/lab/lib/index.js"));
  const lab = await createLab({ kind }).catch((/** @type {Error} */ error) => {
    throw new Failure(error.message, { remedy: "see what it says above" });
  });
  await lab.engine.run("nginx", { name: "web", publish: ["8080:80"] });
  await lab.engine.run("busybox", { name: "shell" });

  const built = existsSync(join(root, "dist/program/main.js")) ? "" : "   (after `npm run build`)";
  const enter = (/** @type {string} */ name) => `nsenter --net=${lab[name].path} bash`;
  console.log(`
The lab is up: ${lab.id}, engine ${kind}.

  client --- router --- internet
  ${addresses.client}   |   ${addresses.internet}
             host ${addresses.host}, neighbour ${addresses.neighbour}

  the client, outside        ${addresses.client}   ${enter("client")}
  the host with the engine   ${addresses.host}   ${enter("host")}
  a server's place outside   ${addresses.internet}   ${enter("internet")}
  on the host's own LAN      ${addresses.neighbour}   ${enter("neighbour")}
  between them all           ${addresses.hostGateway}   ${enter("router")}

  docker     docker -H ${lab.engine.url} ps
  engine log ${lab.engine.log}
  containers web (nginx, published at ${addresses.host}:8080, pages /page and /large) and shell (busybox)
  a request  nsenter --net=${lab.client.path} curl http://${addresses.host}:8080/page
  fairway    nsenter --net=${lab.host.path} node dist/program/main.js run --docker-host ${lab.engine.url} ${fairwayPlaces(lab).join(" ")}${built}

Ctrl-C takes it down.
ready`);
  await new Promise(() => setInterval(() => {}, 60_000));
});

function engineAsked() {
  try {
    const { values } = parseArgs({ options: { engine: { type: "string", default: "29" } } });
    if (kinds.includes(values.engine)) return values.engine;
    throw new Error(`no engine ${values.engine}`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failure(message, { remedy: `say --engine ${kinds.join(" or --engine ")}` });
  }
}
