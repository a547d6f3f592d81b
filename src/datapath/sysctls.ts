import type { Logger } from "pino";
import { readSysctl, writeSysctl } from "../host/sysctl.js";
import type { StateFile } from "./state_file.js";

/**
 * Sets a sysctl, having written down what it was before, for cleanup to put it back. What is not there is told, and left.
 * @throws the file system's error where it can't be written
 */
export function setSysctl(state: StateFile, sysctl: string, value: string, log: Logger): void {
  const before = readSysctl(sysctl);
  if (before === undefined) {
    log.warn({ sysctl }, "no such sysctl: is its module loaded?");
    return;
  }
  if (before === value) return;
  const saved = state.read();
  state.write({ ...saved, sysctls: { [sysctl]: before, ...saved.sysctls } });
  writeSysctl(sysctl, value);
  log.debug({ sysctl, before }, `set to ${value}`);
}
