import type { Headers, InMessage } from "../../driver.ts";
import type { ClientMessage } from "./client.ts";
import { positionOf } from "./group-start.ts";
import { decodeKey, ownHeader, readHeaders } from "./headers.ts";

/** What the reply subject of a delivery says. */
export interface Delivery {
  /** The JetStream stream's name. */
  readonly stream: string;
  readonly consumer: string;
  readonly delivered: number;
  readonly sequence: number;
  readonly consumerSequence: number;
  /** Ms since the epoch: when it was stored. */
  readonly timeMs: number;
  /** What still waits for the consumer. */
  readonly pending: number;
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<ns>.<pending>`, or the same after domain and account. */
export function parseReply(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith("$JS.ACK.")) return undefined;
  const tokens = reply.split(".");
  const at = tokens.length >= 11 ? 4 : 2;
  if (tokens.length < at + 7) return undefined;
  return {
    stream: tokens[at]!,
    consumer: tokens[at + 1]!,
    delivered: Number(tokens[at + 2]),
    sequence: Number(tokens[at + 3]),
    consumerSequence: Number(tokens[at + 4]),
    timeMs: Number(tokens[at + 5]!.slice(0, -6)),
    pending: Number(tokens[at + 6]),
  };
}

/** What a consumption knows of all messages of one consumer. */
export interface Place {
  readonly lane: InMessage["lane"];
  readonly partition: string | undefined;
  /** When its stream was made, where positions have to say so. */
  readonly created?: string;
  topic(subject: string): string;
}

/** Kept beside a message in the stream of notes. */
export interface NoteData {
  /** Deliveries that don't count any more: the server's count when it was settled for retry or handed back. */
  readonly base: number;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly headers: Headers;
  /** Who has given it up already, so that another member may have it at once. */
  readonly by?: readonly string[];
  /** Ms since the epoch: from then on they may have it too. */
  readonly until?: number;
}

const none: Headers = [];
const nothing: NoteData = { base: 0, attempts: 0, notBefore: undefined, headers: none };

export class NatsMessage implements InMessage {
  readonly raw: ClientMessage;
  readonly delivery: Delivery;
  readonly place: Place;
  readonly topic: string;
  readonly body: Uint8Array;
  readonly value: unknown = undefined;
  /** The subject that settles it; a newer one when it was delivered to us once more. */
  reply: string;
  /** Added to the count: handed out under another consumer. */
  handedBefore = 0;
  noted: NoteData = nothing;
  /** Counted by its puller. */
  inWindow = false;
  /** The core has it, or had it. */
  given = false;
  /** Settled, or no longer ours. */
  over = false;
  /** What its consumption finds it by. */
  owner: unknown = undefined;
  #headers: Headers | undefined = undefined;

  constructor(raw: ClientMessage, delivery: Delivery, place: Place) {
    this.raw = raw;
    this.delivery = delivery;
    this.place = place;
    this.topic = place.topic(raw.subject);
    this.body = raw.data;
    this.reply = raw.reply ?? "";
  }

  get sequence(): number {
    return this.delivery.sequence;
  }

  get size(): number {
    return this.body.byteLength;
  }

  get partition(): string | undefined {
    return this.place.partition;
  }

  get position(): string | undefined {
    const { lane, created } = this.place;
    if (lane !== "stream" && lane !== "queue") return undefined;
    return created === undefined ? String(this.sequence) : positionOf(this.sequence, created);
  }

  get lane(): InMessage["lane"] {
    return this.place.lane;
  }

  get key(): string | undefined {
    const key = this.#own(ownHeader.key);
    return key === undefined ? undefined : decodeKey(key);
  }

  get replyTo(): string | undefined {
    return this.#own(ownHeader.replyTo);
  }

  get deliveries(): number {
    return Math.max(this.delivery.delivered + this.handedBefore - this.noted.base, 1);
  }

  get attempts(): number {
    return this.noted.attempts;
  }

  get notBefore(): number | undefined {
    return this.noted.notBefore;
  }

  header(name: string): string | undefined {
    return valueOf(this.noted.headers, name) ?? valueOf(this.#all(), name);
  }

  note(name: string): string | undefined {
    return valueOf(this.noted.headers, name);
  }

  /** Without the server's and the driver's own. */
  headers(): Headers {
    const { headers: notes } = this.noted;
    return [...this.#all().filter(([name]) => !isOurs(name) && valueOf(notes, name) === undefined), ...notes];
  }

  #own(name: string): string | undefined {
    return valueOf(this.#all(), name);
  }

  #all(): Headers {
    return (this.#headers ??= readHeaders(this.raw));
  }
}

/** Headers of the server and the driver, which the core does not see. */
const isOurs = (name: string): boolean =>
  name.startsWith("Nats-") || name === ownHeader.key || name === ownHeader.replyTo;

export function valueOf(headers: Headers, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!;
    if (header[0] === name) return header[1];
  }
  return undefined;
}
