import { DriverError } from "../../internal/driver-error.ts";

export interface SqliteOptions {
  /** The file; its folder must exist. `<path>-direct` beside it holds requests and may be deleted at any time. */
  readonly path: string;
  /** How long a member may be silent before what it holds goes to others; renewed every third. In milliseconds. @default 10_000 */
  readonly leaseMs?: number | undefined;
  /** How long another process's commit may go unseen when the file system doesn't say anything. In milliseconds. @default 20 */
  readonly pollMs?: number | undefined;
  /** How long another process may hold the write lock before the bus says `blocked`; it goes on waiting. In milliseconds. @default 5_000 */
  readonly busyTimeoutMs?: number | undefined;
  /** How large the file may grow, in bytes; beyond it publishes are refused with BUS_FULL. @default unlimited */
  readonly maxFileBytes?: number | undefined;
}

export interface ResolvedOptions {
  readonly path: string;
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly busyTimeoutMs: number;
  readonly maxFileBytes: number | undefined;
}

const ranges: Readonly<Record<string, readonly [min: number, max: number]>> = {
  leaseMs: [300, 3_600_000],
  pollMs: [1, 10_000],
  busyTimeoutMs: [1, 3_600_000],
  maxFileBytes: [524_288, Number.MAX_SAFE_INTEGER],
};

/** Refuses what is unknown or out of range, naming it; fills in the defaults. */
export function resolveOptions(options: SqliteOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) throw refused("the options", "must be an object with a path");
  const { path } = options;
  if (typeof path !== "string" || path.length === 0) throw refused('"path"', "must be a string that is not empty");
  if (path.includes("\0")) throw refused('"path"', "must not contain a NUL character");
  if (path === ":memory:") throw refused('"path"', "must be a file: for a bus in memory use the memory driver");
  for (const [name, value] of Object.entries(options)) {
    if (name === "path" || value === undefined) continue;
    const range = Object.hasOwn(ranges, name) ? ranges[name] : undefined;
    if (range === undefined)
      throw refused(`"${name.slice(0, 60)}"`, `is unknown; there are path, ${Object.keys(ranges).join(", ")}`);
    if (!Number.isSafeInteger(value) || value < range[0] || value > range[1])
      throw refused(`"${name}"`, `must be a whole number from ${range[0]} to ${range[1]}`);
  }
  const { leaseMs = 10_000, pollMs = 20, busyTimeoutMs = 5_000, maxFileBytes } = options;
  return { path, leaseMs, pollMs, busyTimeoutMs, maxFileBytes };
}

function refused(what: string, why: string): DriverError {
  return new DriverError("BUS_INVALID_OPTION", `sqlite: ${what} ${why}`);
}
