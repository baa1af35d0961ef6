import { attributeProblem } from "./attribute.ts";
import { contentKind } from "./content-type.ts";
import type { EncodedMessage } from "./codec.ts";
import type { Envelope } from "./envelope.ts";
import { BusError } from "./errors.ts";
import type { Priority } from "./event.ts";
import { describeKind } from "./internal/describe.ts";
import { timeOf } from "./internal/uuid.ts";
import { parseStrictText, stringifyStrict } from "./json.ts";
import { validateTopic } from "./topic.ts";
import { undecodable } from "./undecodable.ts";
import { timeFrom } from "./wire-time.ts";
import { extension } from "./wire-names.ts";

const maxMetadataBytes = 16_384;
const maxExtensions = 100;
const maxInteger = 2 ** 31 - 1; // a CloudEvents integer
const priorities: ReadonlySet<unknown> = new Set<Priority>(["low", "normal", "high", "critical"]);
const traceparent = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;
const maxTracestate = 512;
export const octets = "application/octet-stream";

/** What is read by name; everything else of a CloudEvent becomes metadata. */
const known: ReadonlySet<string> = new Set([
  "specversion",
  "id",
  "source",
  "type",
  "time",
  "data",
  "data_base64",
  ...Object.values(extension).filter((name) => name !== extension.priority),
]);

/** The envelope that a CloudEvent's attributes make. Throws BUS_UNDECODABLE naming the attribute that is wrong. */
export function envelopeFrom(
  attributes: Readonly<Record<string, unknown>>,
  data: unknown,
  message: Pick<EncodedMessage, "topic" | "key">,
  now: number | undefined,
): Envelope {
  const id = required("id", attributes["id"]);
  const { time } = attributes;
  const priority = attributes[extension.priority];
  return {
    id,
    type: required("type", attributes["type"]),
    version: integer(extension.version, attributes[extension.version]) ?? 1,
    topic: topicFrom(message.topic === "" ? required("subject", attributes["subject"]) : message.topic),
    source: required("source", attributes["source"]),
    time: time === undefined || time === null ? (timeOf(id) ?? now ?? 0) : timeFrom(time),
    key: optional(extension.key, attributes[extension.key] ?? message.key),
    session: optional(extension.session, attributes[extension.session]),
    correlationId: optional(extension.correlation, attributes[extension.correlation]),
    causationId: optional(extension.causation, attributes[extension.causation]),
    priority: priorities.has(priority) ? (priority as Priority) : "normal",
    metadata: metadataFrom(attributes, message.topic),
    maxAttempts: integer(extension.maxAttempts, attributes[extension.maxAttempts]),
    data,
  };
}

/** Refuses other versions of the envelope. */
export function checkSpecVersion(version: unknown): void {
  if (version !== "1.0") throw undecodable("a CloudEvent of another version than 1.0");
}

/** The attribute that carries metadata: JSON in a string, because a CloudEvents extension is a simple value. */
export function metadataText(envelope: Envelope): string | undefined {
  if (envelope.metadata === undefined) return undefined;
  const what = `metadata (${envelope.type})`;
  const text = stringifyStrict(envelope.metadata, what);
  if (text === "{}") return undefined;
  if (Buffer.byteLength(text) > maxMetadataBytes)
    throw new BusError("BUS_TOO_LARGE", `too large ${what}: more than ${maxMetadataBytes} bytes of JSON`);
  return text;
}

function required(name: string, value: unknown): string {
  const text = optional(name, value);
  if (text === undefined) throw undecodable(`the attribute "${name}" is missing`);
  return text;
}

function optional(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const problem =
    typeof value === "string" ? attributeProblem(value) : `it must be a string, not ${describeKind(value)}`;
  if (problem !== undefined) throw undecodable(`the attribute "${name}": ${problem}`);
  return value as string;
}

function integer(name: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= maxInteger) return value as number;
  throw undecodable(`the attribute "${name}" must be a whole number from 1 to ${maxInteger}`);
}

/** Throws BUS_UNDECODABLE. */
export function topicFrom(topic: unknown): string {
  try {
    return validateTopic(topic);
  } catch (error) {
    throw undecodable((error as BusError).message);
  }
}

function metadataFrom(attributes: Readonly<Record<string, unknown>>, topic: string): Envelope["metadata"] {
  const text = attributes[extension.metadata];
  const own = text === undefined || text === null ? undefined : parsedMetadata(text);
  let others: Record<string, unknown> | undefined;
  let count = 0;
  for (const name in attributes) {
    if (known.has(name)) continue;
    const value = attributes[name];
    if (!isExtension(name, value, topic)) continue;
    if ((count += 1) > maxExtensions) throw undecodable(`more than ${maxExtensions} extension attributes`);
    (others ??= {})[name] = value;
  }
  return others === undefined ? own : { ...others, ...own };
}

/** Simple values only, which is all that CloudEvents knows; what our own attributes say already is left out. */
function isExtension(name: string, value: unknown, topic: string): boolean {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return false;
  if (name === "subject") return topic !== "" && value !== topic;
  if (name === extension.priority) return !priorities.has(value);
  if (name === "datacontenttype") return value !== octets && contentKind(String(value)) !== "json";
  if (name === "traceparent") return typeof value === "string" && traceparent.test(value);
  return name !== "tracestate" || (typeof value === "string" && value.length <= maxTracestate);
}

function parsedMetadata(text: unknown): Readonly<Record<string, unknown>> {
  if (typeof text !== "string" || text.length > maxMetadataBytes)
    throw undecodable(`the attribute "${extension.metadata}" must be JSON of at most ${maxMetadataBytes} bytes`);
  const value = parseStrictText(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw undecodable(`the attribute "${extension.metadata}" must be a JSON object`);
  return value as Readonly<Record<string, unknown>>;
}
