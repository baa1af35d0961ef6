import type { Headers, InMessage } from "../../driver.ts";
import { decodeHeaders, type FrameReader } from "./frame.ts";
import type { Keys } from "./keys.ts";
import { decodeNote, type NoteText } from "./note.ts";
import { given } from "./stored-frame.ts";

interface Parts {
  readonly ref: string | undefined;
  readonly id: string | undefined;
  readonly partition: string | undefined;
  readonly lane: InMessage["lane"];
  readonly deliveries: number;
  readonly topic: string;
  readonly key: string | undefined;
  /** As JSON, or empty. */
  readonly headers: Buffer;
  readonly body: Uint8Array;
  readonly note: string;
  /** By our clock. */
  readonly notBefore: number | undefined;
  readonly replyTo: string | undefined;
}

/** One handing out of an entry, or a message of the direct lane. `body` is a view into the server's answer. */
export class RedisMessage implements InMessage {
  /** `s:events:3` */
  readonly ref: string | undefined;
  readonly id: string | undefined;
  readonly partition: string | undefined;
  readonly lane: InMessage["lane"];
  readonly deliveries: number;
  readonly topic: string;
  readonly key: string | undefined;
  readonly replyTo: string | undefined;
  readonly value: unknown = undefined;
  /** Body, key, headers, topic. */
  readonly size: number;
  /** Nothing more can become of it: settled, or no longer ours. */
  over = false;
  #body: Uint8Array;
  #headers: Buffer | Headers;
  #noteText: string;
  #notBefore: number | undefined;
  #mayBeNoted = false;
  #note: NoteText | undefined = undefined;

  constructor(parts: Parts) {
    this.ref = parts.ref;
    this.id = parts.id;
    this.partition = parts.partition;
    this.lane = parts.lane;
    this.deliveries = parts.deliveries;
    this.topic = parts.topic;
    this.key = parts.key;
    this.replyTo = parts.replyTo;
    this.size = parts.body.byteLength + (parts.key?.length ?? 0) + parts.headers.length + parts.topic.length;
    this.#body = parts.body;
    this.#headers = parts.headers;
    this.#noteText = parts.note;
    this.#notBefore = parts.notBefore;
  }

  get body(): Uint8Array {
    return this.#body;
  }

  get position(): string | undefined {
    return this.id;
  }

  get attempts(): number {
    return this.#noteText === "" ? 0 : this.#noted().attempts;
  }

  get notBefore(): number | undefined {
    return this.#notBefore;
  }

  /** It has a note at the server, or may have one. */
  get noted(): boolean {
    return this.#noteText !== "" || this.#mayBeNoted;
  }

  /** One is on its way: whatever becomes of that, it goes with the message. */
  mayBeNoted(): void {
    this.#mayBeNoted = true;
  }

  /** What all of its note is now. */
  noteWas(text: string, notBefore: number | undefined): void {
    this.#noteText = text;
    this.#note = undefined;
    this.#notBefore = notBefore;
  }

  /** The headers of its note: what a new note says is added to them. */
  notes(): Headers {
    return this.#noted().headers;
  }

  header(name: string): string | undefined {
    return this.note(name) ?? valueOf(this.#own(), name);
  }

  note(name: string): string | undefined {
    return this.#noteText === "" ? undefined : valueOf(this.#noted().headers, name);
  }

  headers(): Headers {
    if (this.#noteText === "") return this.#own();
    const { headers } = this.#noted();
    return [...this.#own().filter(([name]) => valueOf(headers, name) === undefined), ...headers];
  }

  /** From now on it does not keep the others of its answer in memory. */
  keepBytes(): void {
    this.#own();
    this.#body = new Uint8Array(this.#body);
  }

  #noted(): NoteText {
    return (this.#note ??= decodeNote(this.#noteText));
  }

  #own(): Headers {
    const headers = this.#headers;
    if (!Buffer.isBuffer(headers)) return headers;
    return (this.#headers = decodeHeaders(headers.toString()));
  }
}

/** Runs of deliveries until the frame ends; `now` by our clock. */
export function readDelivered(reader: FrameReader, keys: Keys, now: number): RedisMessage[] {
  const messages: RedisMessage[] = [];
  while (!reader.done) {
    const ref = reader.short();
    const partition = keys.partitionOf(ref);
    const lane = ref.startsWith("q:") ? "queue" : "stream";
    for (let count = reader.uint(); count > 0; count -= 1) {
      messages.push(
        new RedisMessage({
          ref,
          partition,
          lane,
          id: reader.short(),
          deliveries: reader.uint(),
          topic: reader.short(),
          key: given(reader.short()),
          headers: reader.bytes(),
          body: reader.bytes(),
          ...noteFrom(reader.text(), now),
          replyTo: undefined,
        }),
      );
    }
  }
  return messages;
}

/** An entry that a tail read: `key` is `""` for none, else `.` and the key. */
export function entryMessage(
  keys: Keys,
  ref: string,
  id: string,
  parts: { readonly topic: string; readonly key: string; readonly headers: Buffer; readonly body: Uint8Array },
): RedisMessage {
  return new RedisMessage({
    ref,
    id,
    partition: keys.partitionOf(ref),
    lane: "stream",
    deliveries: 0,
    topic: parts.topic,
    key: given(parts.key),
    headers: parts.headers,
    body: parts.body,
    note: "",
    notBefore: undefined,
    replyTo: undefined,
  });
}

/** Topic, key, headers, body and reply address, from where the reader stands. */
export function directMessage(reader: FrameReader, lane: "direct" | "inbox"): RedisMessage {
  return new RedisMessage({
    ref: undefined,
    id: undefined,
    partition: undefined,
    lane,
    deliveries: 0,
    topic: reader.text(),
    key: given(reader.text()),
    headers: reader.bytes(),
    body: reader.bytes(),
    note: "",
    notBefore: undefined,
    replyTo: given(reader.text()),
  });
}

/** The ms until it may be handled, or nothing, a blank and the note. */
function noteFrom(text: string, now: number): Pick<Parts, "note" | "notBefore"> {
  const blank = text.indexOf(" ");
  return { note: text.slice(blank + 1), notBefore: blank > 0 ? now + Number(text.slice(0, blank)) : undefined };
}

export function valueOf(headers: Headers, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!;
    if (header[0] === name) return header[1];
  }
  return undefined;
}
