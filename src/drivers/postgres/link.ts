import { DriverError } from "../../internal/driver-error.ts";

/** What a parameter may be: a text, or the type's own binary form. */
export type Value = string | Uint8Array | null;
/** The columns as texts. */
export type Row = readonly (string | null)[];

/** One connection, of whichever kind; each call is a statement with its own commit, one at a time in call order. */
export interface Link {
  query(text: string, values?: readonly Value[]): Promise<readonly Row[]>;
}

/** A link that its session has to end. */
export interface OpenLink extends Link {
  /** `kept`: the server may keep how it reads the statement, by a name; what it says is always the same then. */
  query(text: string, values?: readonly Value[], kept?: boolean): Promise<readonly Row[]>;
  /** The client of `pg`. */
  readonly native: unknown;
  /** What the server calls the session; undefined where it changes. */
  readonly pid: number | undefined;
  /** Since when the call that is under way waits, by `ticks`; undefined: none is. */
  readonly askedAt: number | undefined;
  /** What was announced on channels that it listens to. */
  onNotification(listener: (channel: string, payload: string, pid: number) => void): void;
  /** What is open then is unknown. */
  destroy(): void;
  close(): Promise<void>;
}

/** Nothing was written to any socket: what was asked for certainly did not happen. */
export class NotSent extends DriverError {
  constructor(cause?: unknown, code = "BUS_CONNECTION", message = "postgres: the server can't be reached") {
    super(code, message, { retryable: code !== "BUS_CLOSED", cause });
  }
}

export const replacedError = (): DriverError =>
  new DriverError("BUS_CONNECTION", "postgres: it is another database now", { retryable: true });

export const closedError = (): NotSent => new NotSent(undefined, "BUS_CLOSED", "postgres: the connection is closed");
