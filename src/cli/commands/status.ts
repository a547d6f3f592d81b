import type { Command } from "commander";
import type { Context } from "../context.js";
export function addStatus(_program: Command, _context: Context): void {}
