import { TextCache } from "./internal/text-cache.ts";
import { parsePart } from "./json.ts";
import { topicFrom } from "./codec-attributes.ts";
import type { EncodedMessage } from "./codec.ts";
import type { Envelope } from "./envelope.ts";
import { extension } from "./wire-names.ts";
import { timeFrom } from "./wire-time.ts";

/** What stands between id and time: the same for all events of a topic. */
interface Kind {
  readonly length: number;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const open = bytesOf('{"specversion":"1.0","id":"');
const source = bytesOf('","source":"');
const type = bytesOf('","type":"');
const subject = bytesOf('","subject":"');
const time = bytesOf('","time":"');
const key = bytesOf(`,"${extension.key}":"`);
const correlation = bytesOf(`,"${extension.correlation}":"`);
const causation = bytesOf(`,"${extension.causation}":"`);
const data = bytesOf(',"data":');

const longest = 255;
/** A slice of a string is a copy below this, and above it keeps the whole string. */
const slicedFrom = 13;
const quote = 0x22;
const closingBrace = 0x7d;
/** What a text may have as it is: printable ASCII but quote and backslash. */
const plain = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte <= 0x7e && byte !== quote && byte !== 0x5c ? 1 : 0,
);
const texts = new TextCache();
let lastKind: Kind = { length: 0, source: "", type: "", subject: "" };
/** Of the last kind, when it came twice; else what no kind begins with. */
let lastBytes: Uint8Array = open;
let lastTime: { readonly bytes: Uint8Array; readonly time: number } = {
  bytes: bytesOf('1970-01-01T00:00:00.000Z"'),
  time: 0,
};

/**
 * Reads what this package writes for most events, of which it has only the data parsed: attributes in our order, of printable
 * ASCII. Undefined of anything else, which is for a parser to judge. `text` is what the body says. Throws BUS_UNDECODABLE as
 * the parser's way does.
 */
export function readUsual(body: Uint8Array, text: string, message: EncodedMessage): Envelope | undefined {
  const idAt = open.length;
  if (!stands(body, open, 0)) return undefined;
  const idEnd = endOf(body, idAt);
  if (idEnd < 0) return undefined;
  const kind = stands(body, lastBytes, idEnd) ? lastKind : readKind(body, idEnd);
  if (kind === undefined || (message.topic !== "" && message.topic !== kind.subject)) return undefined;
  const timeAt = idEnd + kind.length;
  let when = lastTime;
  if (!stands(body, when.bytes, timeAt)) {
    const timeEnd = endOf(body, timeAt);
    if (timeEnd < 0) return undefined;
    lastTime = when = { bytes: copy(body, timeAt, timeEnd + 1), time: timeFrom(texts.make(body, timeAt, timeEnd)) };
  }
  let at = timeAt + when.bytes.length;
  let keyText: string | undefined;
  let correlationId: string | undefined;
  let causationId: string | undefined;
  if (stands(body, key, at)) {
    const from = at + key.length;
    const end = endOf(body, from);
    if (end < 0) return undefined;
    keyText = end - from < slicedFrom ? text.slice(from, end) : texts.get(body, from, end);
    at = end + 1;
  }
  if (keyText === undefined && message.key !== undefined) return undefined;
  if (stands(body, correlation, at)) {
    const from = at + correlation.length;
    const end = endOf(body, from);
    if (end < 0) return undefined;
    correlationId = texts.make(body, from, end);
    at = end + 1;
  }
  if (stands(body, causation, at)) {
    const from = at + causation.length;
    const end = endOf(body, from);
    if (end < 0) return undefined;
    causationId = texts.make(body, from, end);
    at = end + 1;
  }
  const end = text.length - 1;
  if (!stands(body, data, at) || text.charCodeAt(end) !== closingBrace) return undefined;
  const parsed = parsePart(text, at + data.length, end);
  if (parsed === undefined) return undefined;
  return {
    id: texts.make(body, idAt, idEnd),
    type: kind.type,
    version: 1,
    topic: topicFrom(kind.subject),
    source: kind.source,
    time: when.time,
    key: keyText,
    session: undefined,
    correlationId,
    causationId,
    priority: "normal",
    metadata: undefined,
    maxAttempts: undefined,
    data: parsed.value,
  };
}

function readKind(bytes: Uint8Array, at: number): Kind | undefined {
  const sourceAt = at + source.length;
  const sourceEnd = stands(bytes, source, at) ? endOf(bytes, sourceAt) : -1;
  const typeAt = sourceEnd + type.length;
  const typeEnd = sourceEnd > 0 && stands(bytes, type, sourceEnd) ? endOf(bytes, typeAt) : -1;
  const subjectAt = typeEnd + subject.length;
  const subjectEnd = typeEnd > 0 && stands(bytes, subject, typeEnd) ? endOf(bytes, subjectAt) : -1;
  if (subjectEnd < 0 || !stands(bytes, time, subjectEnd)) return undefined;
  const kind: Kind = {
    length: subjectEnd + time.length - at,
    source: texts.get(bytes, sourceAt, sourceEnd),
    type: texts.get(bytes, typeAt, typeEnd),
    subject: texts.get(bytes, subjectAt, subjectEnd),
  };
  const again = kind.subject === lastKind.subject && kind.type === lastKind.type && kind.source === lastKind.source;
  lastBytes = again ? copy(bytes, at, at + kind.length) : open;
  lastKind = kind;
  return kind;
}

function stands(bytes: Uint8Array, expected: Uint8Array, at: number): boolean {
  for (let index = 0; index < expected.length; index += 1) if (bytes[at + index] !== expected[index]) return false;
  return true;
}

/** Where the text that begins there has its closing quote; -1 of what is empty, long, escaped or not printable ASCII. */
function endOf(bytes: Uint8Array, at: number): number {
  const limit = Math.min(bytes.length, at + longest + 1);
  let end = at;
  while (end < limit && plain[bytes[end]!] === 1) end += 1;
  return end < limit && end > at && bytes[end] === quote ? end : -1;
}

/** Of a `Buffer` too, whose own `slice` is a view. */
const copy = (bytes: Uint8Array, start: number, end: number): Uint8Array => new Uint8Array(bytes.subarray(start, end));
