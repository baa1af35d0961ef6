import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { quantile } from "./spread.ts";

/** What an fdatasync of 4 KiB takes here, in milliseconds (p50 of 200). */
export function fdatasyncMs(directory: string): number {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, "fdatasync");
  const file = openSync(path, "w");
  const page = Buffer.alloc(4_096, 1);
  const found: number[] = [];
  for (let at = 0; at < 200; at++) {
    writeSync(file, page);
    const started = performance.now();
    fdatasyncSync(file);
    found.push(performance.now() - started);
  }
  closeSync(file);
  rmSync(path);
  return quantile(found, 0.5);
}
