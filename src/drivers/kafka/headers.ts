import type { Headers } from "../../driver.ts";
import type { Seat } from "./direct-fold.ts";
import type { LetterRecord } from "./letter-fold.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { Field } from "./record-encoder.ts";

const marker = "omnibus-topic";
const more = "omnibus";
const names = { marker: Buffer.from(marker), more: Buffer.from(more) };

/** What goes with a message beside its topic. */
export interface More {
  /** Where an answer is waited for. */
  readonly reply?: string;
  /** Ms since the epoch. */
  readonly expires?: number;
  /** Of a copy: not to be handled before. */
  readonly due?: number;
  /** Where it goes when it is due: a stream's or a queue's lane, by its topic and partition. */
  readonly target?: readonly [topic: string, partition: number];
  /** How often what was due was refused where it goes to. */
  readonly refused?: number;
  readonly attempts?: number;
  readonly deliveries?: number;
  readonly notes?: Headers;
  /** Who gave it up already. */
  readonly by?: readonly string[];
  /** In the log of letters: what it is there. */
  readonly letter?: LetterRecord;
  /** On the direct lane: who listens. */
  readonly here?: { readonly process: string; readonly seats: readonly Seat[] };
}

const nothing: More = {};
const shortText = 64;

/** The first header names the topic and says that what follows is ours; no header of a user's can be taken for it. */
export function recordHeaders(topic: string, beside: More | undefined, headers: Headers): readonly Field[] {
  const fields: Field[] = [names.marker, topic];
  if (beside !== undefined) fields.push(names.more, JSON.stringify(beside));
  for (const [name, value] of headers) fields.push(name, value);
  return fields;
}

/** Of a short text roughly: it may have more than a byte a character. */
export const lengthOf = (field: Field): number =>
  typeof field === "string" && field.length > shortText ? Buffer.byteLength(field) : field.length;

export function sizeOf(headers: readonly Field[]): number {
  let bytes = 0;
  for (const field of headers) bytes += lengthOf(field) + 2;
  return bytes;
}

/** A record's parts; `topic` undefined: nobody of ours wrote it. */
export interface Read {
  readonly topic: string | undefined;
  readonly more: More;
  readonly headers: () => Headers;
}

export function readHeaders({ headers }: FetchedRecord): Read {
  const [first, second] = headers;
  if (first === undefined || first[1] === null || !first[0].equals(names.marker))
    return { topic: undefined, more: nothing, headers: () => textsOf(headers, 0) };
  const hasMore = second !== undefined && second[1] !== null && second[0].equals(names.more);
  return {
    topic: first[1].toString(),
    more: hasMore ? parsed(second[1]) : nothing,
    headers: () => textsOf(headers, hasMore ? 2 : 1),
  };
}

function parsed(bytes: Buffer | null): More {
  try {
    const value: unknown = JSON.parse(String(bytes));
    return isObject(value) ? Object.fromEntries(Object.entries(value).filter(isKnown)) : nothing;
  } catch {
    return nothing; // another program's
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === "string";
const isList = (value: unknown, of: (each: unknown) => boolean): boolean => Array.isArray(value) && value.every(of);

/** Whoever may write to a topic can write this header: what is of another shape is not taken. */
const shapes: Readonly<Record<keyof More, (value: unknown) => boolean>> = {
  reply: isText,
  expires: Number.isFinite,
  due: Number.isFinite,
  target: (value) => Array.isArray(value) && isText(value[0]) && Number.isSafeInteger(value[1]) && value[1] >= 0,
  refused: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  attempts: Number.isFinite,
  deliveries: Number.isFinite,
  notes: (value) => isList(value, (note) => isList(note, isText) && (note as readonly string[]).length === 2),
  by: (value) => isList(value, isText),
  letter: (value) => isObject(value) && isText(value["is"]),
  here: (value) => isObject(value) && isText(value["process"]) && isList(value["seats"], isObject),
};

const isKnown = ([name, value]: readonly [string, unknown]): boolean =>
  Object.hasOwn(shapes, name) && shapes[name as keyof More](value);

function textsOf(headers: FetchedRecord["headers"], from: number): Headers {
  const read: (readonly [string, string])[] = [];
  for (let at = from; at < headers.length; at += 1) {
    const [name, value] = headers[at]!;
    read.push([name.toString(), value === null ? "" : textOf(value)]);
  }
  return read;
}

/** What is no text travels as base64, with `=?` before it. */
function textOf(value: Buffer): string {
  const text = value.toString();
  return text.includes("\ufffd") && !Buffer.from(text).equals(value) ? `=?${value.toString("base64")}` : text;
}
