import { DriverError } from "../../internal/driver-error.ts";

export interface Classified {
  readonly code: string;
  readonly retryable: boolean;
}

/** SQLite's primary result codes, the low byte of an extended one. */
const results: Readonly<Record<number, readonly [code: string, retryable: boolean]>> = {
  3: ["BUS_AUTHENTICATION", false], // PERM
  5: ["BUS_TIMEOUT", true], // BUSY
  6: ["BUS_TIMEOUT", true], // LOCKED
  8: ["BUS_AUTHENTICATION", false], // READONLY
  10: ["BUS_CONNECTION", true], // IOERR
  11: ["BUS_CORRUPT", false], // CORRUPT
  13: ["BUS_FULL", true], // FULL
  14: ["BUS_CONNECTION", true], // CANTOPEN
  15: ["BUS_TIMEOUT", true], // PROTOCOL: a race for the locks of the write-ahead log
  18: ["BUS_TOO_LARGE", false], // TOOBIG
  26: ["BUS_CORRUPT", false], // NOTADB
};
const ioErrorShmSize = 4_874; // the shared memory could not grow: what a full disk says first
const ioErrors: Readonly<Record<string, readonly [code: string, retryable: boolean]>> = {
  EACCES: ["BUS_AUTHENTICATION", false],
  EPERM: ["BUS_AUTHENTICATION", false],
  EROFS: ["BUS_AUTHENTICATION", false],
  ENOENT: ["BUS_CONNECTION", false], // the folder: nobody makes it meanwhile
  ENOTDIR: ["BUS_CONNECTION", false],
  EISDIR: ["BUS_CONNECTION", false],
  EMFILE: ["BUS_CONNECTION", true],
  ENFILE: ["BUS_CONNECTION", true],
  EIO: ["BUS_CONNECTION", true],
  ENOSPC: ["BUS_FULL", true],
  EDQUOT: ["BUS_FULL", true],
};

function resultOf(error: unknown): number | undefined {
  const { errcode } = (error ?? {}) as { readonly errcode?: unknown };
  return typeof errcode === "number" ? errcode : undefined;
}

/** By SQLite's result code or the system's, never by text. */
export function classify(error: unknown): Classified {
  if (error instanceof DriverError) return { code: error.code, retryable: error.retryable };
  const result = resultOf(error);
  const { code } = (error ?? {}) as { readonly code?: unknown };
  let known: readonly [string, boolean] | undefined;
  if (result === ioErrorShmSize) known = ["BUS_FULL", true];
  else if (result !== undefined) known = results[result & 0xff];
  else if (code === "ERR_INVALID_STATE") known = ["BUS_CLOSED", false];
  else if (typeof code === "string" && Object.hasOwn(ioErrors, code)) known = ioErrors[code];
  return { code: known?.[0] ?? "BUS_SERVER", retryable: known?.[1] ?? false };
}

/** Another connection holds a lock: wait and try again. */
export function isBusy(error: unknown): boolean {
  const result = (resultOf(error) ?? 0) & 0xff;
  return result === 5 || result === 6 || result === 15;
}

export function isFull(error: unknown): boolean {
  return classify(error).code === "BUS_FULL";
}
