import type { SQLInputValue } from "node:sqlite";
import type { OutMessage } from "../../driver.ts";
import type { DriverError } from "../../internal/driver-error.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { HeaderTexts } from "./header-texts.ts";
import type { Log } from "./log.ts";
import type { Seen } from "./seen.ts";
import type { StreamRow, Streams } from "./streams.ts";

/** Stored before, and where; what is still delayed is nowhere yet. */
export interface Duplicate {
  readonly position: string | undefined;
}
/** Its number, or 0 for what is delayed; a duplicate; why it was refused. */
export type Outcome = number | Duplicate | DriverError;

/** Rows in one statement: more are not faster, fewer are. */
const chunk = 32;

/** Appends one transaction's messages to one stream, in their order, many to a statement. */
export class StreamWriter {
  readonly stream: StreamRow;
  readonly #log: Log;
  readonly #texts: HeaderTexts;
  /** Somebody of this process will read them. */
  readonly #kept: boolean;
  readonly #seen: Seen;
  readonly #outcomes: Outcome[];
  readonly #now: number;
  #messages: OutMessage[] = [];
  #indexes: number[] = [];
  #bytes = 0;

  constructor(stream: StreamRow, streams: Streams, seen: Seen, outcomes: Outcome[], now: number, kept: boolean) {
    this.stream = stream;
    this.#log = streams.log(stream.id);
    this.#texts = streams.texts;
    this.#seen = seen;
    this.#outcomes = outcomes;
    this.#now = now;
    this.#kept = kept;
  }

  /** Whether one more of that size has room without anything being dropped. */
  fits(bytes: number): boolean {
    const { stream } = this;
    const count = stream.last - stream.first + 1 + this.#messages.length;
    return (
      stream.bytes + this.#bytes + bytes <= stream.max_bytes &&
      (stream.max_messages === null || count < stream.max_messages)
    );
  }

  push(message: OutMessage, index: number): void {
    this.#messages.push(message);
    this.#indexes.push(index);
    this.#bytes += message.body.byteLength;
    if (this.#messages.length === chunk) this.flush();
  }

  flush(): void {
    const messages = this.#messages;
    const indexes = this.#indexes;
    if (messages.length === 0) return;
    this.#messages = [];
    this.#indexes = [];
    this.#bytes = 0;
    if (messages.length === chunk) return this.#write(messages, indexes);
    // Texts of statements for each power of two, so that few are prepared.
    for (let from = 0; from < messages.length;) {
      let size = chunk;
      while (size > messages.length - from) size /= 2;
      this.#write(messages.slice(from, from + size), indexes.slice(from, from + size));
      from += size;
    }
  }

  #write(messages: readonly OutMessage[], indexes: readonly number[]): void {
    const first = this.stream.last + 1;
    if (
      messages.length > 1 &&
      this.#seen.noteAll(
        messages.map(({ brokerId }) => brokerId),
        this.stream.id,
        first,
      )
    ) {
      for (let offset = 0; offset < indexes.length; offset += 1) this.#outcomes[indexes[offset]!] = first + offset;
      return this.#append(messages);
    }
    for (const [offset, message] of messages.entries()) {
      const seq = this.stream.last + 1;
      const before = this.#seen.note(message.brokerId, this.stream.id, seq);
      this.#outcomes[indexes[offset]!] = before === undefined ? seq : duplicate(before);
      if (before === undefined) this.#append([message]);
    }
  }

  #append(messages: readonly OutMessage[]): void {
    const { stream } = this;
    stream.last_at = Math.max(stream.last_at, this.#now);
    const values: SQLInputValue[] = [];
    for (const { to, id, key, hash, expiresAt, headers, body } of messages) {
      stream.last += 1;
      stream.bytes += body.byteLength;
      if (body.byteLength > stream.largest) stream.largest = body.byteLength;
      const topic = to.kind === "inbox" ? "" : to.topic;
      const partition = hash % stream.partitions;
      const { last: seq, last_at: at } = stream;
      const expires = expiresAt ?? null;
      values.push(seq, at, partition, topic, key ?? null, id, expires, this.#texts.encode(headers), body);
      if (this.#kept)
        this.#log.recent.add({
          seq,
          partition,
          topic,
          key: key ?? null,
          expires,
          headers: encodeHeaders(headers),
          body,
        });
    }
    this.#log.append(values, messages.length);
  }
}

export function duplicate(seq: number): Duplicate {
  return { position: seq === 0 ? undefined : String(seq) };
}
