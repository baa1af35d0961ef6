import { DriverError } from "../../internal/driver-error.ts";

export interface RefusedSize {
  /** Of the body, in bytes. */
  readonly size: number;
  /** `max_message_size` of the server. */
  readonly most: number;
}

/** Why the server closed a channel, when that was the size of a message: only its text says which and what it takes. */
export function refusedSize(error: unknown): RefusedSize | undefined {
  const text = error instanceof Error ? error.message : "";
  const [, size, most] = /message size (\d+) is larger than (?:configured )?max size (\d+)/.exec(text) ?? [];
  return most === undefined ? undefined : { size: Number(size), most: Number(most) };
}

/** The exchange that the user may not write to, for which the server closed a channel; the default one has no name. */
export function refusedExchange(error: unknown): string | undefined {
  const text = error instanceof Error ? error.message : "";
  const found = /access to (?:exchange|topic '.*' in exchange) '(.*)' in vhost '.*' refused for user/.exec(text)?.[1];
  return found === "amq.default" ? "" : found;
}

export const mayNotWrite = (exchange: string, cause: unknown): DriverError =>
  new DriverError("BUS_AUTHENTICATION", `rabbitmq: this user may not write to the exchange "${exchange}"`, { cause });

export const tooLarge = (most: number): DriverError =>
  new DriverError("BUS_TOO_LARGE", `rabbitmq: a message may have at most ${most} bytes`);

/** A key, an id, or headers above 64 KiB or a frame, which is found before anything is written. */
export function framed(error: unknown): DriverError | undefined {
  return error instanceof RangeError
    ? new DriverError("BUS_TOO_LARGE", "rabbitmq: headers and key are larger than a frame", { cause: error })
    : undefined;
}
