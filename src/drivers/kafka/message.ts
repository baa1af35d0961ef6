import type { Headers, InMessage } from "../../driver.ts";
import { type More, readHeaders, type Read } from "./headers.ts";
import type { FetchedRecord } from "./record-batch.ts";

/** What a consumption knows of all messages of one partition. */
export interface Place {
  readonly lane: InMessage["lane"];
  /** In the core's words; undefined: it has none. */
  readonly partition: string | undefined;
  /** Of what nobody of ours wrote. */
  readonly topic: string;
  /** Where that may say it otherwise. */
  readonly topicHeader?: string | undefined;
}

const none: Headers = [];
const noBody = new Uint8Array(0);

export class KafkaMessage implements InMessage {
  readonly record: FetchedRecord;
  readonly place: Place;
  readonly topic: string;
  readonly body: Uint8Array;
  readonly value: unknown = undefined;
  readonly more: More;
  deliveries = 1;
  attempts = 0;
  notBefore: number | undefined = undefined;
  notes: Headers = none;
  /** Settled, or no longer ours. */
  over = false;
  /** A handler may have had it here. */
  ran = false;
  /** The part of its consumption that it is of. */
  owner: unknown = undefined;
  readonly #read: Read;
  #headers: Headers | undefined = undefined;
  #key: string | undefined = undefined;

  constructor(record: FetchedRecord, place: Place) {
    this.record = record;
    this.place = place;
    this.#read = readHeaders(record);
    this.topic = this.#read.topic ?? foreignTopic(record, place);
    this.more = this.#read.more;
    this.body = record.value ?? noBody;
    if (place.lane !== "queue") return;
    // nobody else writes there: what stands in it is of a settlement
    const { attempts = 0, deliveries = 1, notes = none } = this.more;
    this.attempts = attempts;
    this.deliveries = deliveries;
    this.notes = notes;
  }

  get offset(): number {
    return this.record.offset;
  }

  get size(): number {
    return this.body.byteLength;
  }

  get partition(): string | undefined {
    return this.place.partition;
  }

  get position(): string | undefined {
    return this.place.partition === undefined ? undefined : String(this.record.offset);
  }

  get lane(): InMessage["lane"] {
    return this.place.lane;
  }

  get key(): string | undefined {
    return this.record.key === undefined ? undefined : (this.#key ??= this.record.key.toString());
  }

  get replyTo(): string | undefined {
    return this.more.reply;
  }

  header(name: string): string | undefined {
    return valueOf(this.notes, name) ?? valueOf(this.#all(), name);
  }

  note(name: string): string | undefined {
    return valueOf(this.notes, name);
  }

  headers(): Headers {
    const { notes } = this;
    return notes.length === 0 ? this.#all() : merged(this.#all(), notes);
  }

  /** Without what was noted. */
  #all(): Headers {
    return (this.#headers ??= this.#read.headers());
  }

  own(): Headers {
    return this.#all();
  }

  /** What was noted before stays, unless it is named again. */
  addNotes(headers: Headers): void {
    if (headers.length > 0) this.notes = merged(this.notes, headers);
  }
}

/** The event topic of what nobody of ours wrote. */
export function foreignTopic(
  { headers }: FetchedRecord,
  { topic, topicHeader }: Pick<Place, "topic" | "topicHeader">,
): string {
  const named =
    topicHeader === undefined ? undefined : headers.findLast(([name]) => name.equals(Buffer.from(topicHeader)));
  return named?.[1]?.toString() || topic;
}

export const merged = (before: Headers, after: Headers): Headers => [
  ...before.filter(([name]) => valueOf(after, name) === undefined),
  ...after,
];

export function valueOf(headers: Headers, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!;
    if (header[0] === name) return header[1];
  }
  return undefined;
}
