import { binaryPrefix, decodeBinary, encodeBinary } from "./codec-binary.ts";
import { decodeStructured, encodeStructured } from "./codec-structured.ts";
import { compress, decompress, type Encoding } from "./compression.ts";
import type { Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError } from "./errors.ts";
import { undecodable } from "./undecodable.ts";
import { header } from "./wire-names.ts";

export interface EncodeOptions {
  readonly mode: "structured" | "binary";
  readonly compression: { readonly encoding: Encoding; readonly thresholdBytes: number } | undefined;
  /** Of body and headers together. */
  readonly maxMessageBytes: number;
}

export interface DecodeOptions {
  /** Of the body, decompressed or as it came. */
  readonly maxDecompressedBytes: number;
  /** The time of an event that has none, in ms since the epoch. @default the time in its id, else 0 */
  readonly now?: number | undefined;
}

/** What the codec reads of a message; `InMessage` fits. */
export interface EncodedMessage {
  /** Empty: the CloudEvent's subject is. */
  readonly topic: string;
  readonly body: Uint8Array;
  /** The key of an event that names none. */
  readonly key?: string | undefined;
  header(name: string): string | undefined;
  /** Where it is there, extensions that are not ours are read in binary mode too. */
  headers?(): Headers;
}

const cloudEvents = "application/cloudevents";
const openingBrace = 0x7b;
const noHeaders: Headers = Object.freeze([]);
const maxHeaderBytes = 16_384;

/**
 * An envelope as a message. Structured and plain, which is the default, it has no headers. Throws ValidationError for data that
 * the wire can't carry without loss, BUS_TOO_LARGE, and BUS_UNSUPPORTED for an encoding that this Node lacks. The attributes
 * are taken as they are: whoever made the envelope has checked them. The result shares no memory with the data.
 */
export function encodeEnvelope(
  envelope: Envelope,
  options: EncodeOptions,
): { readonly headers: Headers; readonly body: Uint8Array } {
  const { mode, compression, maxMessageBytes } = options;
  if (mode === "structured" && compression === undefined)
    return { headers: noHeaders, body: encodeStructured(envelope, maxMessageBytes) };
  // What is too large now may fit when compressed; beyond 16 times the limit no reader would decompress it.
  const limit = compression === undefined ? maxMessageBytes : maxMessageBytes * 16;
  let { headers, body } =
    mode === "binary" ? encodeBinary(envelope, limit) : { headers: noHeaders, body: encodeStructured(envelope, limit) };
  if (compression !== undefined && body.length >= compression.thresholdBytes) {
    const type: Headers = mode === "binary" ? headers : [[header.contentType, `${cloudEvents}+json`]];
    headers = [...type, [header.contentEncoding, compression.encoding]];
    body = compress(body, compression.encoding);
  }
  checkSize(envelope.type, headers, body, maxMessageBytes);
  return { headers, body };
}

/** Refuses with BUS_TOO_LARGE what is larger than the limit, and headers of more than 16 KiB. */
export function checkSize(type: string, headers: Headers, body: Uint8Array, maxMessageBytes: number): void {
  let inHeaders = 0;
  for (const [name, value] of headers) inHeaders += Buffer.byteLength(name) + Buffer.byteLength(value);
  if (inHeaders > maxHeaderBytes)
    throw new BusError(
      "BUS_TOO_LARGE",
      `too large (${type}): ${inHeaders} bytes of headers, the limit is ${maxHeaderBytes}`,
    );
  const bytes = body.length + inHeaders;
  if (bytes > maxMessageBytes)
    throw new BusError("BUS_TOO_LARGE", `too large (${type}): ${bytes} bytes, the limit is ${maxMessageBytes}`);
}

/**
 * The envelope that a message carries, in either mode of CloudEvents 1.0, whatever this bus writes. Throws BUS_UNDECODABLE:
 * the text says what is wrong and repeats nothing of the message. Trusts nothing in it: sizes, depth, names and numbers are
 * checked before anything else looks at them.
 */
export function decodeEnvelope(message: EncodedMessage, options: DecodeOptions): Envelope {
  const { maxDecompressedBytes, now } = options;
  if (message.body.length > maxDecompressedBytes) throw undecodable(`larger than ${maxDecompressedBytes} bytes`);
  const encoding = message.header(header.contentEncoding);
  const body = encoding === undefined ? message.body : decompress(message.body, encoding, maxDecompressedBytes);
  const contentType = message.header(header.contentType)?.trim().toLowerCase();
  const asked = contentType?.startsWith(cloudEvents) === true;
  if (asked) checkFormat(contentType);
  // Ours, in the default mode, is an object without any headers: it is parsed before headers are looked for.
  if (asked || (contentType === undefined && body[0] === openingBrace)) {
    const envelope = decodeStructured(body, message, now);
    if (envelope !== undefined) return envelope;
  }
  const prefix = asked ? undefined : binaryPrefix(message);
  if (prefix !== undefined) return decodeBinary(body, prefix, message, now);
  const envelope = asked ? undefined : decodeStructured(body, message, now);
  if (envelope === undefined) throw undecodable("no CloudEvent: it has no specversion");
  return envelope;
}

function checkFormat(contentType: string): void {
  const format = contentType.slice(cloudEvents.length).split(";", 1)[0]?.trim();
  if (format !== "+json" && format !== "") throw undecodable("a CloudEvent in another format than JSON, or a batch");
}
