// The matrix as a page: written, and read again to compare. Pure.

import { destinationOf, type Row, rows, titleOf } from "./rows.js";
import { settings } from "./settings.js";

/** What a setting's run found out about a row. */
export interface Cell {
  /** The engine's answer without fairway. */
  readonly alone: string;
  /** With it. */
  readonly fairway: string;
  /** Of a row that the fast path claims, and that was answered. */
  readonly path?: "fast" | "slow";
}

/** By a setting's name, by a row's title. */
export type Table = Map<string, ReadonlyMap<string, Cell>>;

const arrow = " → ";

/** One cell as it is written. */
export function cellText({ alone, fairway, path }: Cell): string {
  const answer = alone === fairway ? alone : alone + arrow + fairway;
  return path ? `${answer}, ${path}` : answer;
}

function parseCell(text: string): Cell {
  const [, answer = text, path] = /^(.*?)(?:, (fast|slow))?$/.exec(text) ?? [];
  const [alone = "", fairway = alone] = answer.split(arrow);
  return { alone, fairway, ...(path && { path: path as "fast" | "slow" }) };
}

const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const columns = ["from", "to", "", "", ...settings.map(({ name }) => name)];
const rowCells = (row: Row) => [
  row.from,
  row.note ? `${destinationOf(row)} (${row.note})` : destinationOf(row),
  row.protocol,
  row.family,
];

/** The tables, a section each; what a setting has no cell for is "-". */
export function renderTable(table: Table): string {
  const sections = [...new Set(rows.map(({ section }) => section))];
  return sections
    .map((section) => {
      const lines = rows
        .filter((row) => row.section === section)
        .map((row) => {
          const cells = settings.map(({ name }) => table.get(name)?.get(titleOf(row)));
          return line([...rowCells(row), ...cells.map((cell) => (cell ? cellText(cell) : "-"))]);
        });
      return [`## ${section}`, "", line(columns), line(columns.map(() => "---")), ...lines].join("\n");
    })
    .join("\n\n");
}

/** The cells of a page that renderTable() wrote; rows and columns that are no more are left out. */
export function parseTable(page: string): Table {
  const table = new Map(settings.map(({ name }) => [name, new Map<string, Cell>()]));
  const titles = new Map(rows.map((row) => [rowCells(row).join(" | "), titleOf(row)]));
  let names: readonly string[] = [];
  for (const text of page.split("\n")) {
    if (!text.startsWith("| ")) continue;
    const cells = text.slice(2, -2).split(" | ");
    if (cells[0] === "from") names = cells.slice(4);
    const title = titles.get(cells.slice(0, 4).join(" | "));
    if (title === undefined) continue;
    for (const [i, cell] of cells.slice(4).entries())
      if (cell !== "-") table.get(names[i] ?? "")?.set(title, parseCell(cell));
  }
  return table;
}
