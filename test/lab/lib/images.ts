// Container images without a registry: Debian's busybox-static as the base, programs copied in with their libraries.
// Each is kept as a tar file in the cache, under a name that holds the versions of what is inside.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheDir } from "./paths.js";
import { run } from "./process.js";

interface Image {
  /** Debian packages whose versions decide whether the cached tar is current. */
  readonly packages: readonly string[];
  /** Programs to copy, with the libraries that ldd names. */
  readonly programs: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  readonly directories?: readonly string[];
  readonly command: readonly string[];
}

const nginxConfig = `
user root;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  # One line per page: what the suites read to see the client's address. In memory, so that it costs no disk.
  log_format source '$remote_addr $connection_requests $request_uri';
  default_type text/plain;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  server {
    listen 80 reuseport backlog=4096;
    listen [::]:80 reuseport backlog=4096;
    root /srv;
    location = /logged { access_log /run/access.log source; try_files /page =404; }
    location / { access_log off; }
    location = /stub_status { access_log off; stub_status; }
  }
}
`;

const images = {
  /** A shell, ping, traceroute, nc, wget, httpd. Sleeps until stopped. */
  busybox: {
    packages: ["busybox-static"],
    programs: [],
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"],
  },
  /** On port 80: /page (a small page), /logged (the same, the client's address in /run/access.log), /large (200 MB). */
  nginx: {
    packages: ["busybox-static", "nginx-light", "nginx"],
    programs: ["/usr/sbin/nginx"],
    files: { "etc/nginx/nginx.conf": nginxConfig, "srv/page": `${"fairway ".repeat(80)}\n` },
    directories: ["var/log/nginx", "var/lib/nginx"],
    command: [
      "sh",
      "-c",
      "truncate -s 200000000 /srv/large && exec /usr/sbin/nginx -c /etc/nginx/nginx.conf",
    ],
  },
  /** On port 6379. */
  redis: {
    packages: ["busybox-static", "redis-server"],
    programs: ["/usr/bin/redis-server"],
    command: ["/usr/bin/redis-server", "--protected-mode", "no", "--save", "", "--appendonly", "no"],
  },
  /** A server on port 5201, TCP and UDP. */
  iperf3: {
    packages: ["busybox-static", "iperf3"],
    programs: ["/usr/bin/iperf3"],
    command: ["/usr/bin/iperf3", "--server", "--forceflush"],
  },
} satisfies Record<string, Image>;

/** The names of the images that can be asked for. */
export type ImageName = keyof typeof images;

/** The command that an image runs. */
export const imageCommand = (name: ImageName): readonly string[] => images[name].command;

/** What decides whether a cached tar is current. */
async function fingerprint(image: Image): Promise<string> {
  // Package and version, one a line.
  const versions = await run(["dpkg-query", "--show", ...image.packages], {
    mayFail: true, // nginx-light and nginx: either.
  });
  return createHash("sha256")
    .update(JSON.stringify([versions.stdout, image]))
    .digest("hex")
    .slice(0, 16);
}

/** Copies a program and its libraries to the same places below a root. */
async function copyProgram(program: string, rootfs: string): Promise<void> {
  if (!existsSync(program)) throw new Error(`${program} is missing: \`npm run setup\` installs it`);
  const { stdout } = await run(["ldd", program], { mayFail: true });
  const libraries = [...stdout.matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g)].map((found) => found[1] ?? "");
  for (const path of [program, ...libraries]) {
    const target = join(rootfs, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(await realpath(path), target);
  }
}

async function buildRootfs(image: Image, rootfs: string): Promise<void> {
  for (const dir of [
    "bin",
    "etc",
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "srv",
    "root",
    ...(image.directories ?? []),
  ])
    await mkdir(join(rootfs, dir), { recursive: true });
  const busybox = join(rootfs, "bin", "busybox");
  await copyFile(await findBusybox(), busybox);
  const { stdout } = await run([busybox, "--list"]);
  for (const applet of stdout.split("\n"))
    if (applet && applet !== "busybox") await symlink("busybox", join(rootfs, "bin", applet));
  await writeFile(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
  );
  await writeFile(join(rootfs, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  for (const program of image.programs) await copyProgram(program, rootfs);
  for (const [path, text] of Object.entries(image.files ?? {})) {
    await mkdir(dirname(join(rootfs, path)), { recursive: true });
    await writeFile(join(rootfs, path), text);
  }
}

async function findBusybox(): Promise<string> {
  for (const path of ["/bin/busybox", "/usr/bin/busybox"]) {
    if (!existsSync(path)) continue;
    const { stdout, stderr } = await run(["ldd", path], { mayFail: true });
    if (/not a dynamic executable|statically linked/.test(stdout + stderr)) return path;
  }
  throw new Error("busybox-static is missing: `npm run setup` installs it");
}

/** Removes what the cache has of an image in other versions. */
async function forgetOthers(directory: string, name: string, tar: string): Promise<void> {
  for (const file of await readdir(directory))
    if (file.startsWith(`${name}-`) && join(directory, file) !== tar)
      await rm(join(directory, file), { force: true });
}

/** The path of an image's tar file; built when the cache has no current one. */
export async function imageTar(name: ImageName): Promise<string> {
  const image: Image = images[name];
  const directory = join(cacheDir, "images");
  const tar = join(directory, `${name}-${await fingerprint(image)}.tar`);
  if (existsSync(tar)) return tar;
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), `fwl-image-${name}-`));
  try {
    const rootfs = join(work, "rootfs");
    await buildRootfs(image, rootfs);
    const made = join(directory, `.${name}-${process.pid}.tar`);
    await run(["tar", "--owner=0", "--group=0", "-C", rootfs, "-cf", made, "."]);
    await rename(made, tar);
    await forgetOthers(directory, name, tar);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return tar;
}
