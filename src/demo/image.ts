import { spawn } from "node:child_process";
import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { UserError } from "../errors.js";
import { childEnvironment, output, which } from "./process.js";

/** The applets that the containers need. */
const applets = ["sh", "sleep", "wget", "httpd", "cat", "ls", "ps", "ip"];

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

export interface Image {
  /** "nginx" or "busybox httpd" */
  server: string;
  /** The web server's command. */
  command: string[];
  /** The root file system as a tar stream. */
  tar(): Readable;
}

/**
 * A root file system of the host's own busybox, with its nginx where there is one: an image without a registry.
 * @throws UserError when the host has no busybox
 */
export async function makeImage(directory: string): Promise<Image> {
  const busybox = which("busybox");
  if (busybox === undefined) {
    throw new UserError("busybox is not installed", { remedy: "apt-get install busybox-static" });
  }
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
  await copyProgram(busybox, root, "/bin/busybox");
  for (const applet of applets) await symlink("busybox", join(root, "bin", applet));
  await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\n");
  await writeFile(
    join(root, "srv/index.html"),
    `<p>${"served by a container of the fairway demo ".repeat(12)}</p>\n`,
  );

  const nginx = which("nginx");
  if (nginx !== undefined) {
    await copyProgram(nginx, root, "/bin/nginx");
    await writeFile(join(root, "etc/nginx.conf"), nginxConfig);
  }
  return {
    server: nginx === undefined ? "busybox httpd" : "nginx",
    command:
      nginx === undefined
        ? ["httpd", "-f", "-p", "80", "-h", "/srv"]
        : ["/bin/nginx", "-c", "/etc/nginx.conf"],
    tar: () => {
      const child = spawn("tar", ["-C", root, "-c", "."], {
        env: childEnvironment(),
        stdio: ["ignore", "pipe", "ignore"],
      });
      child.on("error", (error) => child.stdout.destroy(error));
      return child.stdout;
    },
  };
}

/** Copies a program and the libraries that ldd names, each to where the loader looks for it. */
async function copyProgram(path: string, root: string, target: string): Promise<void> {
  await copy(path, join(root, target));
  const { stdout } = await output(["ldd", path]);
  for (const match of stdout.matchAll(/(?:=>\s*|^\s+)(\/\S+)\s+\(0x/gm)) {
    const library = match[1];
    if (library !== undefined) await copy(library, join(root, library));
  }
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}
