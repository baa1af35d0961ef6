import { DriverError } from "../../internal/driver-error.ts";
import { integer, optionProblem, type Shape } from "../../internal/option-problem.ts";

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

const shape: Shape = {
  path: (path) => {
    if (typeof path !== "string" || path === "") return "must be a string that is not empty";
    if (path.includes("\0")) return "must not contain a NUL character";
    return path === ":memory:" ? "must be a file; a bus in memory is memory:" : undefined;
  },
  leaseMs: integer(300, 3_600_000),
  pollMs: integer(1, 10_000),
  busyTimeoutMs: integer(1, 3_600_000),
  maxFileBytes: integer(524_288),
};

/** Refuses what is unknown or out of range, naming it; fills in the defaults. */
export function resolveOptions(options: SqliteOptions): ResolvedOptions {
  const problem = optionProblem("sqlite", options ?? {}, shape);
  if (problem !== undefined) throw new DriverError("BUS_INVALID_OPTION", problem);
  if (options?.path === undefined) throw new DriverError("BUS_INVALID_OPTION", 'sqlite needs a "path"');
  const { path, leaseMs = 10_000, pollMs = 20, busyTimeoutMs = 5_000, maxFileBytes } = options;
  return { path, leaseMs, pollMs, busyTimeoutMs, maxFileBytes };
}
