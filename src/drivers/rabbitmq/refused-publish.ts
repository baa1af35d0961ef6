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

/** Where the user may not write, for which the server closed a channel: an exchange, or one key of it. The default exchange has no name. */
export interface RefusedPlace {
  readonly exchange: string;
  readonly routingKey: string | undefined;
}

export function refusedPlace(error: unknown): RefusedPlace | undefined {
  const text = error instanceof Error ? error.message : "";
  const [, routingKey, exchange] =
    /access to (?:topic '(.*)' in )?exchange '(.*)' in vhost '.*' refused for user/s.exec(text) ?? [];
  return exchange === undefined ? undefined : { exchange: exchange === "amq.default" ? "" : exchange, routingKey };
}

export const mayNotWrite = ({ exchange, routingKey }: RefusedPlace, cause: unknown): DriverError => {
  const key = routingKey === undefined ? "" : ` with the key "${routingKey}"`;
  return new DriverError(
    "BUS_AUTHENTICATION",
    `rabbitmq: this user may not write to the exchange "${exchange}"${key}`,
    {
      cause,
    },
  );
};

export const tooLarge = (most: number): DriverError =>
  new DriverError("BUS_TOO_LARGE", `rabbitmq: a message may have at most ${most} bytes`);

/** A key, an id, or headers above 64 KiB or a frame, which is found before anything is written. */
export function framed(error: unknown): DriverError | undefined {
  return error instanceof RangeError
    ? new DriverError("BUS_TOO_LARGE", "rabbitmq: headers and key are larger than a frame", { cause: error })
    : undefined;
}
