import { readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { errorCode, errorMessage, UserError } from "../errors.js";
import { suggestion } from "./nearest.js";
import { type Key, keys } from "./schema.js";

export const DEFAULT_FILE = "/etc/fairway/fairway.yaml";

/** A value as somebody wrote it, and where: "/etc/fairway/fairway.yaml:3", "FAIRWAY_MODE", "--mode". */
export interface RawSetting {
  key: Key;
  raw: unknown;
  source: string;
}

/**
 * Reads a configuration file: YAML, one mapping of known keys. Keys without a value count as not written.
 * @throws UserError in one line that names the file, the line and the key
 */
export function readFile(path: string): RawSetting[] {
  return parseFile(path, readText(path));
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why: Record<string, string> = {
      ENOENT: "no such file",
      EACCES: "not permitted to read it",
      EISDIR: "is a directory",
    };
    throw new UserError(`configuration file ${path}: ${why[errorCode(error) ?? ""] ?? errorMessage(error)}`, {
      exitCode: 2,
      cause: error,
    });
  }
}

/** {@link readFile} for a text that is already read. */
export function parseFile(path: string, text: string): RawSetting[] {
  const lines = new LineCounter();
  const fail = (offset: number | undefined, problem: string): never => {
    const line = offset === undefined ? "" : `:${lines.linePos(offset).line}`;
    throw new UserError(`${path}${line}: ${problem}`, { exitCode: 2 });
  };

  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken !== undefined) return fail(broken.pos[0], broken.message);
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return [];
  if (!isMap(root))
    return fail(root.range?.[0], `must be a mapping of keys to values (for example "mode: accelerate")`);

  const settings: RawSetting[] = [];
  for (const pair of root.items) {
    const offset = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
    const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const key = keys.find((known) => known === name);
    if (key === undefined) return fail(offset, `unknown key "${name}"${suggestion(name, keys)}`);
    const raw = toPlain(pair.value);
    if (raw === null || raw === undefined) continue;
    const line = offset === undefined ? "" : `:${lines.linePos(offset).line}`;
    settings.push({ key, raw, source: `${path}${line}: ${key}` });
  }
  return settings;

  function toPlain(node: unknown): unknown {
    if (typeof node === "object" && node !== null && "toJS" in node && typeof node.toJS === "function") {
      return node.toJS(document);
    }
    return node;
  }
}
