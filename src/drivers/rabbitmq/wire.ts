import type { Headers, OutMessage } from "../../driver.ts";
import type { AmqpDelivery, AmqpProperties } from "./client.ts";

/** What a copy carries of the message that it is a copy of; only what comes by a group's own lane is believed. */
export interface CopyNote {
  /** Attempts. */
  readonly a: number;
  /** Headers that were added. */
  readonly h: Headers;
  /** Not before, ms since the epoch. */
  readonly d?: number | undefined;
  /** Consumptions that gave it away; until `u` others may have it at once. */
  readonly by?: readonly string[] | undefined;
  readonly u?: number | undefined;
  /** How often one of `by` passed it on. */
  readonly b?: number | undefined;
}

/** Headers of AMQP that are ours: short, since each message has them. */
export interface WireHeaders {
  /** Key. */
  readonly k?: string;
  /** Expires at. */
  readonly e?: number;
  /** The bus's headers, as one text. */
  readonly h?: string;
  /** When it was published, in ms. */
  readonly t?: number;
  /** `<partition>.<topic>` where the routing key is another one. */
  readonly o?: string;
  /** A CopyNote, as text. */
  readonly n?: string;
  /** Of what is published into a stream later: which one, and not before. */
  readonly s?: string;
  readonly d?: number;
  /** Reply to. */
  readonly r?: string;
  /** A marker: what it is. */
  readonly m?: string;
  /** How often a member of a group of listeners passed it on. */
  readonly p?: number;
}

export function encodeHeaders(headers: Headers): string | undefined {
  return headers.length === 0 ? undefined : JSON.stringify(headers);
}

const none: Headers = [];

export function decodeHeaders(text: unknown): Headers {
  if (typeof text !== "string") return none;
  // what somebody else wrote into our field is no header
  try {
    const headers: unknown = JSON.parse(text);
    return Array.isArray(headers) && headers.every(isHeader) ? (headers as Headers) : none;
  } catch {
    return none;
  }
}

const isHeader = (header: unknown): boolean =>
  Array.isArray(header) && typeof header[0] === "string" && typeof header[1] === "string";

/** Without those that are undefined, which would be sent. */
export function wireHeaders(headers: {
  readonly [Name in keyof WireHeaders]: WireHeaders[Name] | undefined;
}): WireHeaders {
  const set: Record<string, unknown> = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name as keyof WireHeaders];
    if (value !== undefined) set[name] = value;
  }
  return set;
}

/** The server refuses more than ten years, with the channel. */
const longestTtlMs = 315_360_000_000;
export const expirationOf = (ms: number): string => String(Math.min(Math.max(Math.ceil(ms), 0), longestTtlMs));

/** Of an event on its way into a stream or a group's own lane. */
export function storedProperties(
  message: Pick<OutMessage, "brokerId" | "key" | "expiresAt" | "headers">,
  now: number,
  place: string | undefined,
  ttlMs: number | undefined,
  note?: CopyNote,
): AmqpProperties {
  return {
    messageId: message.brokerId,
    timestamp: Math.floor(now / 1_000),
    deliveryMode: 2,
    ...(ttlMs === undefined ? {} : { expiration: expirationOf(ttlMs) }),
    headers: wireHeaders({
      k: message.key,
      e: message.expiresAt,
      h: encodeHeaders(message.headers),
      t: now,
      o: place,
      n: note === undefined ? undefined : JSON.stringify(note),
    }) as Readonly<Record<string, unknown>>,
  };
}

/** Of the driver's own messages, which have no body: what it is. */
export function markOf({ properties, content }: Pick<AmqpDelivery, "properties" | "content">): string | undefined {
  const { m } = (properties.headers ?? {}) as WireHeaders;
  return content.byteLength === 0 && typeof m === "string" ? m : undefined;
}

/** When it was published, in ms; undefined: its publisher did not say. */
export function timeOf({ properties }: Pick<AmqpDelivery, "properties">): number | undefined {
  const { t } = (properties.headers ?? {}) as WireHeaders;
  if (typeof t === "number") return t;
  return properties.timestamp === undefined ? undefined : properties.timestamp * 1_000;
}

/** Those that AMQP has, of a message that others published. Our own names have one letter, the server's begin with `x-`. */
export function amqpHeaders({ contentType, headers = {} }: AmqpProperties): Headers {
  const found: [string, string][] = typeof contentType === "string" ? [["content-type", contentType]] : [];
  for (const name of Object.keys(headers)) {
    if (name.length <= 1 || name.startsWith("x-")) continue;
    const value = headers[name];
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      found.push([name, String(value)]);
  }
  return found;
}

/** For an exchange where others read: the bus's headers are AMQP's. */
export function openProperties(
  message: Pick<OutMessage, "brokerId" | "key" | "expiresAt" | "headers">,
  now: number,
): AmqpProperties {
  const { brokerId, key, expiresAt, headers } = message;
  const contentType = headers.find(([name]) => name === "content-type")?.[1];
  return {
    messageId: brokerId,
    timestamp: Math.floor(now / 1_000),
    deliveryMode: 2,
    ...(contentType === undefined ? {} : { contentType }),
    headers: {
      ...Object.fromEntries(headers.filter(([name]) => name !== "content-type")),
      ...wireHeaders({ k: key, e: expiresAt, t: now }),
    },
  };
}

/** Partition and topic of `3.orders.placed`; of somebody else's key the partition is 0. */
export function splitPlace(place: string): { readonly partition: number; readonly topic: string } {
  const dot = place.indexOf(".");
  const partition = Number(place.slice(0, dot));
  return dot > 0 && Number.isInteger(partition)
    ? { partition, topic: place.slice(dot + 1) }
    : { partition: 0, topic: place };
}

export function decodeNote(text: unknown): CopyNote | undefined {
  if (typeof text !== "string") return undefined;
  try {
    const note = JSON.parse(text) as CopyNote;
    return typeof note?.a === "number" && Array.isArray(note.h) ? note : undefined;
  } catch {
    return undefined;
  }
}
