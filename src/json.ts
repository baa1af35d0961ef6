import { JsonWriter, maxDepth } from "./json-writer.ts";
import { undecodable } from "./undecodable.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true }); // takes a byte order mark away

/**
 * JSON of data that JSON can hold without loss: plain objects, arrays, well-formed strings, finite numbers, booleans, null.
 * Properties that are undefined, not enumerable or keyed by symbols are left out; -0 stays -0. The rest is refused with
 * ValidationError: its path, and what to publish instead. `what` names the thing in the message. Reads each property once.
 */
export function stringifyStrict(data: unknown, what: string): string {
  const writer = JsonWriter.take(what, Number.MAX_SAFE_INTEGER);
  try {
    writer.value(data);
    return writer.finishText();
  } finally {
    writer.release();
  }
}

/**
 * The value of a JSON text in UTF-8, with or without a byte order mark. Throws BUS_UNDECODABLE for other bytes, for anything
 * nested deeper than 64, for keys that reach prototypes (`__proto__`, `constructor.prototype`) and for numbers beyond a
 * double. `envelopes`: levels around the data that don't count as depth. Of two equal keys the last counts; integers beyond 2^53 lose digits, as everywhere in JavaScript.
 */
export function parseStrict(bytes: Uint8Array, envelopes = 0): unknown {
  return parseStrictText(decodeUtf8(bytes), envelopes);
}

/** The text of bytes in UTF-8, without a byte order mark. Throws BUS_UNDECODABLE. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw undecodable("the text is not UTF-8");
  }
}

/** As `parseStrict`, of a text. */
export function parseStrictText(text: string, envelopes = 0): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The engine's message may quote the text, so no more of it is passed on than the position, where it has one.
    const position = / at position (\d+)(?: \(line \d+ column \d+\))?$/.exec((error as Error).message)?.[1];
    throw undecodable(
      text === "" ? "it is empty" : `not JSON${position === undefined ? "" : ` (position ${position})`}`,
    );
  }
  checkParsed(value, -envelopes);
  return value;
}

const tooGreat = "a number beyond what a double holds";

/** As `parseStrictText`, of the part of a text from `start` to before `end`; undefined of what is no JSON. */
export function parsePart(text: string, start: number, end: number): { readonly value: unknown } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text.slice(start, end));
  } catch {
    return undefined;
  }
  checkParsed(value, 0);
  return { value };
}

function checkParsed(value: unknown, depth: number): void {
  if (typeof value === "object" && value !== null) guard(value, depth);
  else if (value === Infinity || value === -Infinity) throw undecodable(tooGreat);
}

/** Comes before everything that recurses into the value: validators, loggers, other serialisers. */
function guard(value: object, depth: number): void {
  if (depth === maxDepth) throw undecodable(`nested deeper than ${maxDepth}`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const each: unknown = value[index];
      if (typeof each === "object") {
        if (each !== null) guard(each, depth + 1);
      } else if (each === Infinity || each === -Infinity) throw undecodable(tooGreat);
    }
    return;
  }
  for (const key in value) {
    if (key === "__proto__") throw undecodable('a key "__proto__"');
    const each: unknown = (value as Readonly<Record<string, unknown>>)[key];
    if (typeof each === "object") {
      if (each === null) continue;
      if (key === "constructor" && Object.hasOwn(each, "prototype"))
        throw undecodable('a key "prototype" in "constructor"');
      guard(each, depth + 1);
    } else if (each === Infinity || each === -Infinity) throw undecodable(tooGreat);
  }
}
