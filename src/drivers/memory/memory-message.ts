import type { Headers, InMessage, Note } from "../../driver.ts";
import type { GroupLane } from "./group-lane.ts";

/** Where messages lie or pass: a partition of a log, the direct lane, an inbox. */
export interface Origin {
  readonly lane: InMessage["lane"];
  readonly partition: string | undefined;
}

/** A stored message: shared by everyone who reads it, never changed. */
export class Entry {
  readonly origin: Origin;
  readonly topic: string;
  readonly key: string | undefined;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly value: unknown;
  readonly replyTo: string | undefined;
  /** Ms since the epoch: when it was stored. */
  readonly at: number;
  readonly expiresAt: number;
  /** Its place among all messages of the store. */
  readonly sequence: number;
  /** Its place in its partition, from 1; 0 where nothing is stored. */
  readonly position: number;

  constructor(
    origin: Origin,
    topic: string,
    message: {
      readonly key: string | undefined;
      readonly headers: Headers;
      readonly body: Uint8Array;
      readonly value: unknown;
      readonly replyTo: string | undefined;
      readonly expiresAt: number | undefined;
    },
    at: number,
    sequence: number,
    position: number,
  ) {
    this.origin = origin;
    this.topic = topic;
    this.key = message.key;
    this.headers = message.headers;
    this.body = message.body;
    this.value = message.value;
    this.replyTo = message.replyTo;
    this.at = at;
    this.expiresAt = message.expiresAt ?? Infinity;
    this.sequence = sequence;
    this.position = position;
  }

  /** An unencoded message has no size. */
  get bytes(): number {
    return this.value === undefined ? this.body.byteLength : 0;
  }
}

/**
 * One handing out of an entry, and the lease itself: only `holder` may settle it. Handed out again it is another object, so
 * that a late settlement of this one means nothing.
 */
export class MemoryMessage implements InMessage {
  readonly entry: Entry;
  readonly from: GroupLane | undefined;
  readonly deliveries: number;
  attempts = 0;
  notBefore: number | undefined = undefined;
  holder: object | undefined;
  /** The store's ticks when it was handed out or last noted. */
  since: number;
  /** Waits for a delay to pass. */
  delayed = false;
  /** Deliveries that count when it is handed out again. */
  counted: number;
  notes: Headers | undefined = undefined;

  constructor(
    entry: Entry,
    from: GroupLane | undefined,
    holder: object | undefined,
    deliveries: number,
    since: number,
  ) {
    this.entry = entry;
    this.from = from;
    this.holder = holder;
    this.deliveries = deliveries;
    this.counted = deliveries;
    this.since = since;
  }

  get topic(): string {
    return this.entry.topic;
  }

  get body(): Uint8Array {
    return this.entry.body;
  }

  get value(): unknown {
    return this.entry.value;
  }

  get key(): string | undefined {
    return this.entry.key;
  }

  get partition(): string | undefined {
    return this.entry.origin.partition;
  }

  get position(): string | undefined {
    return this.entry.position === 0 ? undefined : String(this.entry.position);
  }

  get replyTo(): string | undefined {
    return this.entry.replyTo;
  }

  get lane(): InMessage["lane"] {
    return this.entry.origin.lane;
  }

  header(name: string): string | undefined {
    return valueOf(this.notes, name) ?? valueOf(this.entry.headers, name);
  }

  note(name: string): string | undefined {
    return valueOf(this.notes, name);
  }

  headers(): Headers {
    const notes = this.notes;
    return notes === undefined
      ? this.entry.headers
      : [...this.entry.headers.filter(([name]) => valueOf(notes, name) === undefined), ...notes];
  }

  /** What was noted before stays, unless it is named again. */
  addNotes(headers: Headers): void {
    if (headers.length === 0) return;
    this.notes =
      this.notes === undefined
        ? headers
        : [...this.notes.filter(([name]) => valueOf(headers, name) === undefined), ...headers];
  }

  /** The next handing out of the same entry. */
  again(holder: object, since: number): MemoryMessage {
    const next = new MemoryMessage(this.entry, this.from, holder, this.counted + 1, since);
    next.attempts = this.attempts;
    next.notBefore = this.notBefore;
    next.notes = this.notes;
    return next;
  }
}

/** Notes kept beside a message, if it is still in that holder's hands. */
export function recorded(note: Note, holder: object, ticks?: number): "done" | "stale" {
  const message = note.message as MemoryMessage;
  if (message.holder !== holder) return "stale";
  message.attempts = note.attempts;
  message.notBefore = note.notBefore;
  if (ticks !== undefined) message.since = ticks;
  message.addNotes(note.headers);
  return "done";
}

function valueOf(headers: Headers | undefined, name: string): string | undefined {
  if (headers === undefined) return undefined;
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!;
    if (header[0] === name) return header[1];
  }
  return undefined;
}
