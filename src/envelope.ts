import type { Priority } from "./event.ts";

/**
 * An event as it travels: the codec makes a message of it and back. Plain, never changed once made; memory's `encode: false`
 * passes it as it is.
 */
export interface Envelope {
  readonly id: string;
  readonly type: string;
  readonly version: number;
  readonly topic: string;
  readonly source: string;
  /** Ms since the epoch. */
  readonly time: number;
  readonly key: string | undefined;
  readonly session: string | undefined;
  /** Undefined: its own id. */
  readonly correlationId: string | undefined;
  readonly causationId: string | undefined;
  readonly priority: Priority;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  /** Of the event, over the subscription's. */
  readonly maxAttempts: number | undefined;
  /** The schema's input form: JSON, or a Uint8Array as a whole. */
  readonly data: unknown;
}
