// docs/reachability.md around its tables. Pure.

import { renderTable, type Table } from "./table.js";

export const page = (table: Table): string => `# Who reaches whom

${renderTable(table)}
`;
