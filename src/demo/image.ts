import { spawn } from "node:child_process";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { agentPath } from "./load.js";
import { childEnvironment, output, which } from "./process.js";

const nginxConfig = `
user root;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  default_type text/html;
  access_log off;
  keepalive_requests 1000000;
  server { listen 80 backlog=1024; root /srv; }
}
`;

/** Where an image has Node; a bind mount, for it is too big to copy for every container. */
const NODE = "/bin/node";

export interface Image {
  /** "nginx" or "Node's web server" */
  server: string;
  /** The command of the web server, which listens on port 80. */
  serve: string[];
  /** The command that fetches these again and again. */
  visit(urls: readonly string[]): string[];
  /** What its containers have to mount, as `docker run -v`. */
  binds: string[];
  /** The root file system as a tar stream. */
  tar(): Readable;
}

/**
 * An image without a registry: a root file system with the libraries of the Node that runs this, and the host's nginx
 * where there is one.
 */
export async function makeImage(directory: string): Promise<Image> {
  const root = join(directory, "rootfs");
  for (const path of [
    "bin",
    "dev",
    "etc",
    "proc",
    "run",
    "srv",
    "sys",
    "tmp",
    "var/lib/nginx",
    "var/log/nginx",
  ]) {
    await mkdir(join(root, path), { recursive: true });
  }
  await copyLibraries(process.execPath, root);
  await copyFile(agentPath, join(root, "agent.mjs"));
  await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\n");
  await writeFile(
    join(root, "srv/index.html"),
    `<p>${"served by a container of the fairway demo ".repeat(12)}</p>\n`,
  );

  const nginx = which("nginx");
  if (nginx !== undefined) {
    await copyFile(nginx, join(root, "bin/nginx"));
    await copyLibraries(nginx, root);
    await writeFile(join(root, "etc/nginx.conf"), nginxConfig);
  }
  const agent = [NODE, "/agent.mjs"];
  return {
    server: nginx === undefined ? "Node's web server" : "nginx",
    serve:
      nginx === undefined ? [...agent, "serve", "0.0.0.0", "80"] : ["/bin/nginx", "-c", "/etc/nginx.conf"],
    visit: (urls) => [...agent, "visit", ...urls],
    binds: [`${process.execPath}:${NODE}:ro`],
    tar: () => pack(root),
  };
}

/** Copies the libraries that ldd names, each to where the loader looks for it. */
async function copyLibraries(program: string, root: string): Promise<void> {
  const { stdout } = await output(["ldd", program]);
  for (const match of stdout.matchAll(/(?:=>\s*|^\s+)(\/\S+)\s+\(0x/gm)) {
    const library = match[1];
    if (library === undefined) continue;
    await mkdir(dirname(join(root, library)), { recursive: true });
    await copyFile(library, join(root, library));
  }
}

function pack(root: string): Readable {
  const tar = spawn("tar", ["-C", root, "-c", "."], {
    env: childEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  tar.on("error", (error) => tar.stdout.destroy(error));
  return tar.stdout;
}
