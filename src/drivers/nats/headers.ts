import type { Headers } from "../../driver.ts";
import type { ClientMessage } from "./client.ts";

/** What the client asks of headers when it writes them. */
export interface RawHeaders {
  encode(): Uint8Array;
}

/** Written whole, once; the client's own headers cost four times as much. */
class Encoded implements RawHeaders {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  encode(): Uint8Array {
    return Buffer.from(this.#text);
  }
}

const start = "NATS/1.0\r\n";

/** Names and values were checked by who made them: no CR, no LF, no blanks at the ends. */
export function encodeHeaders(headers: Headers): RawHeaders {
  let text = start;
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  return new Encoded(`${text}\r\n`);
}

/** The driver's own beside the server's `Nats-…`. */
export const ownHeader = {
  messageId: "Nats-Msg-Id",
  expectedStream: "Nats-Expected-Stream",
  expectedSequence: "Nats-Expected-Last-Subject-Sequence",
  ttl: "Nats-TTL",
  rollup: "Nats-Rollup",
  key: "Omnibus-Key",
  replyTo: "Omnibus-Reply-To",
} as const;

const plainKey = /^[!-$&-~]+$/; // printable, no blank, no percent sign

/** A key is any text, a header's value is not. */
const encodeKey = (key: string): string => (plainKey.test(key) ? key : encodeURIComponent(wellFormed(key)));

/** Half a surrogate pair can't be written as UTF-8. */
const wellFormed = (key: string): string => key.toWellFormed();

export function decodeKey(value: string): string {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // another program's
  }
}

export function outHeaders(
  out: {
    readonly brokerId: string;
    readonly key: string | undefined;
    readonly replyTo: string | undefined;
    readonly headers: Headers;
  },
  stream: string | undefined,
  /** Of a queue: all groups' are one stream to the server, and what one of them has had another has not. */
  group?: string,
): RawHeaders {
  let text = start;
  if (stream !== undefined) {
    const id = encodeKey(out.brokerId);
    text += `Nats-Msg-Id: ${group === undefined ? id : `${group}/${id}`}\r\nNats-Expected-Stream: ${stream}\r\n`;
  }
  if (out.key !== undefined) text += `Omnibus-Key: ${encodeKey(out.key)}\r\n`;
  if (out.replyTo !== undefined) text += `Omnibus-Reply-To: ${out.replyTo}\r\n`;
  for (const [name, value] of out.headers) text += `${name}: ${value}\r\n`;
  return new Encoded(`${text}\r\n`);
}

const none: Headers = [];

/** All of a message's, the server's included, in the order in which they came. */
export function readHeaders(message: ClientMessage): Headers {
  const text = headerText(message);
  if (text === undefined) return none;
  return text === null ? fromClient(message) : parseHeaders(text);
}

export function parseHeaders(text: string): Headers {
  const headers: (readonly [string, string])[] = [];
  let at = text.indexOf("\r\n") + 2;
  while (at > 1 && at < text.length) {
    const end = text.indexOf("\r\n", at);
    if (end <= at) break;
    const colon = text.indexOf(":", at);
    if (colon > at && colon < end) headers.push([text.slice(at, colon), text.slice(colon + 1, end).trim()]);
    at = end + 2;
  }
  return headers;
}

/** The client keeps the bytes of the headers and parses them at a cost; where they can't be seen, null. */
function headerText(message: ClientMessage): string | undefined | null {
  const { _msg, _rdata } = message as {
    readonly _msg?: { readonly hdr?: unknown };
    readonly _rdata?: unknown;
  };
  const length = _msg?.hdr;
  if (typeof length !== "number" || !(_rdata instanceof Uint8Array)) return null;
  if (length <= 0) return undefined;
  return Buffer.from(_rdata.buffer, _rdata.byteOffset, length).toString();
}

function fromClient(message: ClientMessage): Headers {
  if (message.headers === undefined) return none;
  return [...message.headers].flatMap(([name, values]) => values.map((value) => [name, value] as const));
}

/** The status of an answer that is none: 503 for nobody there, 404, 408 and 409 of a pull; 0: a message. */
export function statusOf(message: ClientMessage): number {
  if (message.data.length > 0) return 0;
  const text = headerText(message);
  if (text === undefined) return 0;
  if (text === null) return message.headers?.code ?? 0;
  const code = Number.parseInt(text.slice(9, 12), 10);
  return Number.isNaN(code) ? 0 : code;
}

/** The words after the status. */
export function statusText(message: ClientMessage): string {
  const text = headerText(message);
  if (typeof text !== "string") return message.headers?.description ?? "";
  return text.slice(13, text.indexOf("\r\n"));
}

/** One of a status's headers. */
export function headerOf(message: ClientMessage, name: string): string | undefined {
  for (const [each, value] of readHeaders(message)) if (each === name) return value;
  return undefined;
}
