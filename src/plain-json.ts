import { decompress } from "./compression.ts";
import type { BusEvent, Priority } from "./event.ts";
import { describeKind } from "./internal/describe.ts";
import { parseStrict, stringifyStrict } from "./json.ts";
import { checkOptions, either, callable, integer, text } from "./option-check.ts";
import type { ForeignEvent, ForeignFormat } from "./options.ts";
import { undecodable } from "./undecodable.ts";
import { header } from "./wire-names.ts";
import { timeFrom, timeText } from "./wire-time.ts";

/** Where something stands in a message: the name of a field at the top, or a function of the whole. */
export type JsonField<Body> = string | ((body: Body) => unknown);

export interface PlainJsonOptions<Body = Readonly<Record<string, unknown>>> {
  /** Names the format in errors, and the events' `source` where they have none. @default "plain-json" */
  readonly name?: string | undefined;
  /** The event's data. @default the whole message */
  readonly data?: JsonField<Body> | undefined;
  /** The event's type. @default the topic's last token */
  readonly type?: JsonField<Body> | undefined;
  /** The event's id, a string or a number. @default made from the message's place, so that a second delivery has the same */
  readonly id?: JsonField<Body> | undefined;
  /** What order is kept by, a string or a number. @default the message's key at the broker */
  readonly key?: JsonField<Body> | undefined;
  /** Who published it. @default the format's name */
  readonly source?: JsonField<Body> | undefined;
  /** When it happened: RFC 3339 with a zone, ms since the epoch, or a Date. @default when the message is read */
  readonly time?: JsonField<Body> | undefined;
  /** The id of the first event of the chain. @default the id */
  readonly correlationId?: JsonField<Body> | undefined;
  /** The event's session. @default none */
  readonly session?: JsonField<Body> | undefined;
  /** `low`, `normal`, `high` or `critical`. @default "normal" */
  readonly priority?: JsonField<Body> | undefined;
  /** The event's metadata, an object. @default none */
  readonly metadata?: JsonField<Body> | undefined;
  /** Of a message with a `content-encoding`. @default 16_777_216 (16 MiB) */
  readonly maxDecompressedBytes?: number | undefined;
}

const field = either(text, callable);
const shape = {
  name: text,
  data: field,
  type: field,
  id: field,
  key: field,
  source: field,
  time: field,
  correlationId: field,
  session: field,
  priority: field,
  metadata: field,
  maxDecompressedBytes: integer(1),
};

/**
 * The format of publishers that send plain JSON. Writing works too: the data, with those attributes that stand in named
 * fields; a field that the data has already stays as it is, and what is found by a function is not written.
 *
 * @example
 * const legacy = plainJson({ type: "event_type", id: "event_id", data: "payload" });
 * const bus = await connect("memory:", { wire: { foreign: [{ topics: "legacy.>", format: legacy }] } });
 */
export function plainJson<Body = Readonly<Record<string, unknown>>>(
  options: PlainJsonOptions<Body> = {},
): ForeignFormat {
  checkOptions("plainJson", options, shape);
  return {
    name: options.name ?? "plain-json",
    decode: (body, headerOf) => read(options, body, headerOf(header.contentEncoding)),
    encode: (event) => ({
      body: Buffer.from(stringifyStrict(written(options, event), `data (${event.type})`)),
      headers: { [header.contentType]: "application/json" },
    }),
  };
}

function read<Body>(options: PlainJsonOptions<Body>, raw: Uint8Array, encoding: string | undefined): ForeignEvent {
  const bytes = encoding === undefined ? raw : decompress(raw, encoding, options.maxDecompressedBytes ?? 16_777_216);
  const body = parseStrict(bytes) as Body;
  const at = (where: JsonField<Body> | undefined): unknown => {
    if (where === undefined) return undefined;
    if (typeof where === "function") return where(body) ?? undefined;
    const isRecord = typeof body === "object" && body !== null && Object.hasOwn(body, where);
    return isRecord ? ((body as Readonly<Record<string, unknown>>)[where] ?? undefined) : undefined;
  };
  const name = (what: string, value: unknown): string | undefined => {
    if (value === undefined || typeof value === "string") return value;
    if (typeof value === "number") return String(value);
    throw undecodable(`${what}: it must be a string, not ${describeKind(value)}`);
  };
  return {
    data: options.data === undefined ? body : (at(options.data) ?? null),
    type: name("type", at(options.type)),
    id: name("id", at(options.id)),
    key: name("key", at(options.key)),
    source: name("source", at(options.source)),
    time: timeOf(at(options.time)),
    correlationId: name("correlationId", at(options.correlationId)),
    session: name("session", at(options.session)),
    priority: at(options.priority) as Priority | undefined,
    metadata: at(options.metadata) as ForeignEvent["metadata"],
  };
}

function timeOf(value: unknown): Date | undefined {
  if (value === undefined || value instanceof Date) return value;
  return new Date(typeof value === "number" ? value : timeFrom(value));
}

function written<Body>(options: PlainJsonOptions<Body>, event: BusEvent): unknown {
  const { data } = event;
  const inside = typeof options.data === "string" ? options.data : undefined;
  if (inside === undefined && !isPlain(data)) return data;
  const body = Object.assign(Object.create(null), inside === undefined ? data : { [inside]: data }) as Record<
    string,
    unknown
  >;
  const put = (where: JsonField<Body> | undefined, value: unknown): void => {
    if (typeof where === "string" && value !== undefined && !Object.hasOwn(body, where)) body[where] = value;
  };
  put(options.type, event.type);
  put(options.id, event.id);
  put(options.key, event.key);
  put(options.source, event.source);
  put(options.time, timeText(event.time.getTime()));
  put(options.correlationId, event.correlationId);
  put(options.session, event.session);
  put(options.priority, event.priority);
  put(options.metadata, event.metadata);
  return body;
}

function isPlain(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return false;
  const prototype: unknown = Object.getPrototypeOf(data);
  return prototype === Object.prototype || prototype === null;
}
