import Table from "cli-table3";
import { stripControls } from "../log/printable.js";

const none = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
} as const;

/** A text, or a number (aligned to the right); undefined is shown as "-". */
export type Cell = string | number | bigint | undefined;

/**
 * A table of columns with two blanks between them and no lines, ended by a line feed. Texts lose what steers a terminal.
 * @param head upper case by custom; undefined: no heading
 */
export function table(
  head: readonly string[] | undefined,
  rows: readonly (readonly Cell[])[],
  color = false,
): string {
  const columns = Math.max(head?.length ?? 0, ...rows.map((row) => row.length), 1);
  const numeric = Array.from({ length: columns }, (_, column) =>
    rows.some((row) => typeof row[column] === "number" || typeof row[column] === "bigint"),
  );
  const made = new Table({
    chars: none,
    ...(head === undefined
      ? {}
      : { head: head.map((text) => (color ? `\u001b[1m${text}\u001b[22m` : text)) }),
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colAligns: numeric.map((right) => (right ? "right" : "left")),
  });
  for (const row of rows) made.push(Array.from({ length: columns }, (_, column) => show(row[column])));
  return made.toString() === "" ? "" : `${made.toString().replace(/[ \t]+$/gm, "")}\n`;
}

function show(cell: Cell): string {
  if (cell === undefined) return "-";
  return typeof cell === "string" ? stripControls(cell) : number(cell);
}

/** 1234567: "1,234,567" */
export function number(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** 1536: "1.5 KiB" */
export function bytes(value: number | bigint): string {
  let rest = Number(value);
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (rest < 1024) return `${unit === "B" ? rest : rest.toFixed(1)} ${unit}`;
    rest /= 1024;
  }
  return `${rest.toFixed(1)} PiB`;
}

/** A part of a whole: "99.9 %"; "-" where there is nothing. Never rounded up to 100 %. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return "-";
  if (part === whole) return "100 %";
  const share = Math.floor((part / whole) * 10_000) / 100;
  return `${share.toFixed(share < 99.9 ? 1 : 2)} %`;
}

/** A span of time: "3 s", "12 min", "5 h", "2 d". */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
