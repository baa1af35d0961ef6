import type { Headers, InMessage } from "./driver.ts";
import { encodedOf, eventIdOf } from "./letter.ts";
import { historyHeaders, noteOf, readHistory } from "./message-history.ts";
import { header } from "./wire-names.ts";
import type { Work } from "./work.ts";

/** What is stored of an event that waits behind a halted key. */
export interface ParkedEvent {
  readonly id: string;
  readonly topic: string;
  readonly key: string;
  readonly lane: InMessage["lane"];
  readonly partition: string | undefined;
  readonly position: string | undefined;
  readonly headers: Headers;
  /** What its history says: believed, as no header of a publisher's is. */
  readonly notes: Headers;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly body: Uint8Array;
}

/** Beside the history. */
const keptNotes = [header.hops, header.handedOnSince, header.replays, header.firstPlace];
const newline = 0x0a;
const utf8 = new TextEncoder();

/** The message as it came; one that never was encoded is encoded now. */
export function parkedOf(work: Work, now: number): ParkedEvent {
  const { message, envelope } = work;
  readHistory(work);
  const encoded = envelope !== undefined && message.value !== undefined ? encodedOf(envelope) : undefined;
  const noted = keptNotes.flatMap((name) => {
    const value = noteOf(message, name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const { topic, lane, partition, position } = message;
  return {
    ...{ id: eventIdOf(work, now), key: work.key!, topic, lane, partition, position },
    headers: encoded?.headers ?? message.headers(),
    notes: [...historyHeaders(work), ...noted],
    attempts: work.attempts,
    notBefore: work.attempts > message.attempts ? undefined : message.notBefore,
    body: encoded?.body ?? message.body,
  };
}

/** One line of JSON, then the body. */
export function encodeParked({ body, ...fields }: ParkedEvent): Uint8Array {
  const head = utf8.encode(JSON.stringify(fields));
  const bytes = new Uint8Array(head.byteLength + 1 + body.byteLength);
  bytes.set(head);
  bytes[head.byteLength] = newline;
  bytes.set(body, head.byteLength + 1);
  return bytes;
}

export function decodeParked(bytes: Uint8Array): ParkedEvent {
  const end = bytes.indexOf(newline);
  const fields = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))) as Omit<ParkedEvent, "body">;
  return { ...fields, body: bytes.slice(end + 1) };
}

/** A parked event on its way to the handlers. */
export class ParkedMessage implements InMessage {
  readonly topic: string;
  readonly body: Uint8Array;
  readonly value: undefined = undefined;
  readonly key: string;
  readonly partition: string | undefined;
  readonly position: string | undefined;
  readonly replyTo: undefined = undefined;
  readonly lane: InMessage["lane"];
  readonly deliveries: number;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly #id: string;
  readonly #headers: ReadonlyMap<string, string>;
  #notes: ReadonlyMap<string, string>;

  constructor(event: ParkedEvent, suspect: boolean) {
    this.#id = event.id;
    this.topic = event.topic;
    this.body = event.body;
    this.key = event.key;
    this.partition = event.partition;
    this.position = event.position;
    this.lane = event.lane;
    this.deliveries = suspect ? 2 : 1;
    this.attempts = event.attempts;
    this.notBefore = event.notBefore;
    this.#notes = new Map(event.notes);
    this.#headers = new Map(event.headers);
  }

  /** What was noted of it since. */
  noted(notes: Headers): void {
    this.#notes = new Map(notes);
  }

  header(name: string): string | undefined {
    return this.#notes.get(name) ?? this.#headers.get(name);
  }
  note(name: string): string | undefined {
    return name === header.letterEventId ? this.#id : this.#notes.get(name);
  }
  headers(): Headers {
    return [...new Map([...this.#headers, ...this.#notes])];
  }
}
