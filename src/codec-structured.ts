import type { EncodedMessage } from "./codec.ts";
import { checkSpecVersion, envelopeFrom, metadataText } from "./codec-attributes.ts";
import { contentKind } from "./content-type.ts";
import type { Envelope } from "./envelope.ts";
import type { Priority } from "./event.ts";
import { bytesOf } from "./internal/bytes-of.ts";
import { decodeUtf8, parseStrict, parseStrictText } from "./json.ts";
import { JsonWriter } from "./json-writer.ts";
import { undecodable } from "./undecodable.ts";
import { readUsual } from "./usual-envelope.ts";
import { extension } from "./wire-names.ts";
import { timeText } from "./wire-time.ts";

const member = (name: string, value = ""): Uint8Array => Buffer.from(`,"${name}":${value}`);
const open = Buffer.from('{"specversion":"1.0","id":');
const version = member(extension.version);
const key = member(extension.key);
const session = member(extension.session);
const correlation = member(extension.correlation);
const causation = member(extension.causation);
const maxAttempts = member(extension.maxAttempts);
const metadata = member(extension.metadata);
const data = member("data");
const base64 = Buffer.from(',"datacontenttype":"application/octet-stream","data_base64":');
const close = Buffer.from("}");
const priorities: Readonly<Record<Exclude<Priority, "normal">, Uint8Array>> = {
  low: member(extension.priority, '"low"'),
  high: member(extension.priority, '"high"'),
  critical: member(extension.priority, '"critical"'),
};

const knownKinds = 16_384;
const kinds = new Map<string, Kind>();
let lastKind: Kind = { source: "", type: "", topic: "", bytes: close };
let lastTime = { time: Number.NaN, bytes: close };

interface Kind {
  readonly source: string;
  readonly type: string;
  readonly topic: string;
  readonly bytes: Uint8Array;
}

/** A CloudEvent as one JSON object. What is as it is by default is left out. */
export function encodeStructured(envelope: Envelope, limitBytes: number): Uint8Array {
  const json = JsonWriter.take("data", limitBytes, envelope.type);
  try {
    json.raw(open);
    json.string(envelope.id);
    json.raw(kindOf(envelope));
    json.raw(envelope.time === lastTime.time ? lastTime.bytes : timeOf(envelope.time));
    if (envelope.version !== 1) {
      json.raw(version);
      json.integer(envelope.version);
    }
    if (envelope.key !== undefined) {
      json.raw(key);
      json.string(envelope.key);
    }
    if (envelope.session !== undefined) {
      json.raw(session);
      json.string(envelope.session);
    }
    if (envelope.correlationId !== undefined) {
      json.raw(correlation);
      json.string(envelope.correlationId);
    }
    if (envelope.causationId !== undefined) {
      json.raw(causation);
      json.string(envelope.causationId);
    }
    if (envelope.priority !== "normal") json.raw(priorities[envelope.priority]);
    if (envelope.maxAttempts !== undefined) {
      json.raw(maxAttempts);
      json.integer(envelope.maxAttempts);
    }
    const extra = metadataText(envelope);
    if (extra !== undefined) {
      json.raw(metadata);
      json.string(extra);
    }
    const bytes = bytesOf(envelope.data);
    if (bytes === undefined) {
      json.raw(data);
      json.value(envelope.data);
    } else {
      json.raw(base64);
      json.base64(bytes);
    }
    json.raw(close);
    return json.finish();
  } finally {
    json.release();
  }
}

/** What stands between id and time. */
function kindOf(envelope: Envelope): Uint8Array {
  const { source, type, topic } = envelope;
  let kind = lastKind;
  if (kind.type === type && kind.topic === topic && kind.source === source) return kind.bytes;
  kind = kinds.get(topic) ?? kind;
  if (kind.type !== type || kind.topic !== topic || kind.source !== source) {
    const [from, what, about] = [JSON.stringify(source), JSON.stringify(type), JSON.stringify(topic)];
    kind = { source, type, topic, bytes: Buffer.from(`,"source":${from},"type":${what},"subject":${about},"time":`) };
    if (kinds.size >= knownKinds) kinds.clear();
    kinds.set(topic, kind);
  }
  lastKind = kind;
  return kind.bytes;
}

function timeOf(time: number): Uint8Array {
  lastTime = { time, bytes: Buffer.from(`"${timeText(time)}"`) };
  return lastTime.bytes;
}

/** A CloudEvent in JSON; undefined of other JSON. Throws BUS_UNDECODABLE. */
export function decodeStructured(
  body: Uint8Array,
  message: EncodedMessage,
  now: number | undefined,
): Envelope | undefined {
  const text = decodeUtf8(body);
  const usual = readUsual(body, text, message);
  if (usual !== undefined) return usual;
  const event = parseStrictText(text, 1);
  if (typeof event !== "object" || event === null) return undefined;
  const attributes = event as Readonly<Record<string, unknown>>;
  const { specversion } = attributes;
  if (specversion === undefined) return undefined;
  checkSpecVersion(specversion);
  return envelopeFrom(attributes, dataOf(attributes), message, now);
}

function dataOf(attributes: Readonly<Record<string, unknown>>): unknown {
  const { data: value, data_base64: encoded, datacontenttype } = attributes;
  if (encoded === undefined || encoded === null) return value === undefined ? null : value;
  if (value !== undefined) throw undecodable('both "data" and "data_base64"');
  const bytes = typeof encoded === "string" ? Buffer.from(encoded, "base64") : undefined;
  if (bytes === undefined || bytes.toString("base64") !== encoded) throw undecodable('"data_base64" is not base64');
  // Without a type it would be JSON by the letter of CloudEvents; whoever sends JSON so, says so.
  return typeof datacontenttype === "string" && contentKind(datacontenttype) === "json"
    ? parseStrict(bytes)
    : new Uint8Array(bytes);
}
