import type { EncodedMessage } from "./codec.ts";
import { checkSpecVersion, envelopeFrom, metadataText, octets } from "./codec-attributes.ts";
import { contentKind } from "./content-type.ts";
import type { Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { bytesOf } from "./internal/bytes-of.ts";
import { decodeUtf8, parseStrict } from "./json.ts";
import { JsonWriter } from "./json-writer.ts";
import { extension, header } from "./wire-names.ts";
import { timeText } from "./wire-time.ts";

/** By HTTP and NATS, Kafka, AMQP's two spellings. We write the first. */
const prefixes = ["ce-", "ce_", "cloudEvents:", "cloudEvents_"] as const;
const names = ["id", "source", "type", "subject", "time", "dataschema", ...Object.values(extension)] as const;
const attributeName = /^[a-z0-9]{1,64}$/; // by CloudEvents, which asks for 20 at most
const integers: ReadonlySet<string> = new Set([extension.version, extension.maxAttempts]);

/** A CloudEvent whose attributes are headers and whose body is the data. */
export function encodeBinary(
  envelope: Envelope,
  limitBytes: number,
): { readonly headers: Headers; readonly body: Uint8Array } {
  const bytes = bytesOf(envelope.data);
  const headers: (readonly [string, string])[] = [
    [header.contentType, bytes === undefined ? "application/json" : octets],
    ["ce-specversion", "1.0"],
  ];
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined) headers.push([`ce-${name}`, percentEncoded(value)]);
  };
  add("id", envelope.id);
  add("source", envelope.source);
  add("type", envelope.type);
  add("subject", envelope.topic);
  add("time", timeText(envelope.time));
  if (envelope.version !== 1) add(extension.version, String(envelope.version));
  add(extension.key, envelope.key);
  add(extension.session, envelope.session);
  add(extension.correlation, envelope.correlationId);
  add(extension.causation, envelope.causationId);
  if (envelope.priority !== "normal") add(extension.priority, envelope.priority);
  if (envelope.maxAttempts !== undefined) add(extension.maxAttempts, String(envelope.maxAttempts));
  add(extension.metadata, metadataText(envelope));
  // A copy: who published the bytes may change them afterwards.
  return { headers, body: bytes === undefined ? jsonBody(envelope, limitBytes) : Buffer.from(bytes) };
}

function jsonBody(envelope: Envelope, limitBytes: number): Uint8Array {
  const json = JsonWriter.take("data", limitBytes, envelope.type);
  try {
    json.value(envelope.data);
    return json.finish();
  } finally {
    json.release();
  }
}

/** The prefix of a message's CloudEvents headers, if it has any. */
export function binaryPrefix(message: EncodedMessage): string | undefined {
  return prefixes.find((prefix) => message.header(`${prefix}specversion`) !== undefined);
}

/** Throws BUS_UNDECODABLE. */
export function decodeBinary(
  body: Uint8Array,
  prefix: string,
  message: EncodedMessage,
  now: number | undefined,
): Envelope {
  checkSpecVersion(message.header(`${prefix}specversion`));
  const attributes: Record<string, unknown> = {};
  for (const name of namesIn(message, prefix)) {
    const value = message.header(prefix + name);
    if (value !== undefined) attributes[name] = integers.has(name) ? numberFrom(value) : percentDecoded(value);
  }
  const contentType = message.header(header.contentType);
  if (contentType !== undefined) attributes["datacontenttype"] = contentType;
  return envelopeFrom(attributes, dataFrom(body, contentType), message, now);
}

function namesIn(message: EncodedMessage, prefix: string): Iterable<string> {
  const all = message.headers?.();
  if (all === undefined) return names;
  const lower = prefix.toLowerCase();
  const named = all.flatMap(([name]) => (name.toLowerCase().startsWith(lower) ? [name.slice(prefix.length)] : []));
  return named.filter((name) => attributeName.test(name) && name !== "data");
}

function dataFrom(body: Uint8Array, contentType: string | undefined): unknown {
  const kind = contentKind(contentType);
  if (kind === "bytes") return new Uint8Array(body);
  if (kind === "text") return decodeUtf8(body);
  return body.length === 0 ? null : parseStrict(body);
}

const numberFrom = (text: string): unknown => (/^\d{1,10}$/.test(text) ? Number(text) : text);

/** As the HTTP binding of CloudEvents says: space, quote, percent and all that is no printable ASCII. */
function percentEncoded(value: string): string {
  return value.replaceAll(/[^\x21\x23\x24\x26-\x7e]+/gu, encodeURIComponent);
}

/** Some libraries write a percent sign as it is, so what can't be decoded stays as it is. */
function percentDecoded(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
