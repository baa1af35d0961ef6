import { validateAttribute, validateSource } from "./attribute.ts";
import { systemClock } from "./clock.ts";
import { encodeEnvelope } from "./codec.ts";
import type { Priority } from "./event.ts";
import { UuidSource } from "./internal/uuid.ts";
import { checkOptions, date, integer, oneOf, record, type Shape } from "./option-check.ts";
import type { CompressionOptions } from "./options.ts";
import { validateTopic } from "./topic.ts";

/** What there is to encode; a `BusEvent` fits. */
export interface WireEvent {
  readonly topic: string;
  /** JSON, or bytes as a whole. */
  readonly data: unknown;
  /** @default the topic's last token */
  readonly type?: string | undefined;
  /** @default a new UUIDv7 */
  readonly id?: string | undefined;
  /** @default 1 */
  readonly version?: number | undefined;
  /** A URI-reference. @default "omnibus" */
  readonly source?: string | undefined;
  /** @default now */
  readonly time?: Date | undefined;
  /** @default none */
  readonly key?: string | undefined;
  /** @default none */
  readonly session?: string | undefined;
  /** @default the id */
  readonly correlationId?: string | undefined;
  /** @default none */
  readonly causationId?: string | undefined;
  /** @default "normal" */
  readonly priority?: Priority | undefined;
  /** JSON. @default none */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

export interface EncodeEventOptions {
  /** CloudEvents content mode. @default "structured" */
  readonly mode?: "structured" | "binary" | undefined;
  /** Of the body, when it is worth it. @default off */
  readonly compression?: CompressionOptions | undefined;
  /** Of body and headers together. @default 1_048_576 (1 MiB) */
  readonly maxMessageBytes?: number | undefined;
}

export interface EncodedEvent {
  /** None in structured mode without compression. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const eventShape: Shape = {
  version: integer(1, 2 ** 31 - 1),
  time: date,
  priority: oneOf("low", "normal", "high", "critical"),
  metadata: record,
};
const optionsShape: Shape = { mode: oneOf("structured", "binary"), compression: record, maxMessageBytes: integer(1) };
const compressionShape: Shape = { encoding: oneOf("gzip", "zstd", "br"), thresholdBytes: integer(0) };
const ids = new UuidSource(systemClock);

/**
 * An event as a CloudEvents 1.0 message, as a bus would write it. Throws BUS_INVALID_TOPIC, BUS_INVALID_OPTION,
 * ValidationError for data that JSON can't hold without loss, BUS_TOO_LARGE.
 *
 * @example
 * const { headers, body } = encodeEvent({ topic: "orders.eu.placed", type: "orders.placed", data: { total: 12 } });
 */
export function encodeEvent(event: WireEvent, options: EncodeEventOptions = {}): EncodedEvent {
  const { version, time, priority, metadata } = event;
  checkOptions("the event", { version, time, priority, metadata }, eventShape);
  checkOptions("encodeEvent", options, optionsShape);
  const { compression } = options;
  checkOptions("encodeEvent: compression", compression, compressionShape);
  const topic = validateTopic(event.topic);
  const optional = (what: string, value: unknown): string | undefined =>
    value === undefined ? undefined : validateAttribute(what, value);
  const encoded = encodeEnvelope(
    {
      topic,
      data: event.data,
      type: optional("type", event.type) ?? topic.slice(topic.lastIndexOf(".") + 1),
      id: optional("id", event.id) ?? ids.next(),
      version: version ?? 1,
      source: validateSource("source", event.source ?? "omnibus"),
      time: time?.getTime() ?? systemClock.now(),
      key: optional("key", event.key),
      session: optional("session", event.session),
      correlationId: optional("correlationId", event.correlationId),
      causationId: optional("causationId", event.causationId),
      priority: priority ?? "normal",
      metadata,
      maxAttempts: undefined,
    },
    {
      mode: options.mode ?? "structured",
      compression:
        compression === undefined
          ? undefined
          : { encoding: compression.encoding, thresholdBytes: compression.thresholdBytes ?? 1_024 },
      maxMessageBytes: options.maxMessageBytes ?? 1_048_576,
    },
  );
  return { headers: Object.fromEntries(encoded.headers), body: encoded.body };
}
