import { createHash } from "node:crypto";
import type { Headers, InMessage } from "../../driver.ts";
import type { AmqpDelivery } from "./client.ts";
import { amqpHeaders, type CopyNote, decodeHeaders, decodeNote, splitPlace, timeOf, type WireHeaders } from "./wire.ts";

/** What is kept beside a message that stays delivered. */
export interface NoteData {
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly headers: Headers;
  /** Deliveries that were handed back untouched. */
  readonly back: number;
}

/** Where it came from. */
export interface Place {
  readonly lane: InMessage["lane"];
  /** Without the number of the partition. */
  readonly stream: string | undefined;
  /** The routing key is the topic, without a partition before it. */
  readonly whole?: boolean | undefined;
  /** Where it is known without looking. */
  readonly partition?: string | undefined;
  /** Of a tail: position and count. */
  readonly position?: string;
  readonly deliveries?: number;
}

const nothing: NoteData = { attempts: 0, notBefore: undefined, headers: [], back: 0 };

export class RabbitMessage implements InMessage {
  readonly raw: AmqpDelivery;
  readonly lane: InMessage["lane"];
  readonly topic: string;
  /** The number of its partition. */
  readonly number: number;
  readonly partition: string | undefined;
  readonly value: unknown = undefined;
  readonly copy: CopyNote | undefined;
  /** The channel that it came by, and who acknowledges it. */
  holder: unknown = undefined;
  /** Of its consumption: where it came from. */
  feed: unknown = undefined;
  noted: NoteData;

  /** Its notes are being read. */
  pending = false;
  /** Settled, or no longer ours. */
  over = false;
  readonly #position: string | undefined;
  readonly #counted: number;
  #headers: Headers | undefined = undefined;
  #id: string | undefined = undefined;

  constructor(raw: AmqpDelivery, place: Place) {
    this.raw = raw;
    this.lane = place.lane;
    const { o } = this.wire;
    const { partition, topic } =
      (place.lane === "stream" && place.whole !== true) || place.lane === "queue"
        ? splitPlace(o ?? raw.fields.routingKey)
        : { partition: 0, topic: o ?? raw.fields.routingKey };
    this.topic = topic;
    this.number = partition;
    this.partition = place.partition ?? (place.stream === undefined ? undefined : `${place.stream}/${partition}`);
    this.copy = place.lane === "queue" ? decodeNote(this.wire.n) : undefined;
    this.noted =
      this.copy === undefined
        ? nothing
        : { attempts: this.copy.a, notBefore: undefined, headers: this.copy.h, back: 0 };
    this.#position = place.position;
    // a classic queue says that it was handed out before, and not how often
    const before = raw.properties.headers?.["x-delivery-count"] ?? (raw.fields.redelivered ? 1 : 0);
    this.#counted = place.deliveries ?? 1 + Number(before);
  }

  get wire(): WireHeaders {
    return (this.raw.properties.headers ?? {}) as WireHeaders;
  }

  get id(): string {
    return (this.#id ??= this.raw.properties.messageId ?? contentId(this.raw));
  }

  get tag(): number {
    return this.raw.fields.deliveryTag;
  }

  /** It was handed out before, by the server's count: notes may say more. */
  get isRepeated(): boolean {
    return this.#counted > 1;
  }

  /** Ms since the epoch. */
  get publishedAt(): number {
    return timeOf(this.raw) ?? 0;
  }

  get body(): Uint8Array {
    return this.raw.content;
  }

  get size(): number {
    return this.raw.content.byteLength + 256;
  }

  get key(): string | undefined {
    const { k } = this.wire;
    return typeof k === "string" ? k : undefined;
  }

  get replyTo(): string | undefined {
    return this.wire.r;
  }

  get expiresAt(): number | undefined {
    const { e } = this.wire;
    return typeof e === "number" ? e : undefined;
  }

  get position(): string | undefined {
    if (this.#position !== undefined) return this.#position;
    return this.lane === "stream" || this.lane === "queue" ? `~${this.publishedAt} ${this.id}` : undefined;
  }

  get deliveries(): number {
    return this.#counted === 0 ? 0 : Math.max(this.#counted - this.noted.back, 1);
  }

  get attempts(): number {
    return this.noted.attempts;
  }

  get notBefore(): number | undefined {
    return this.noted.notBefore;
  }

  header(name: string): string | undefined {
    return valueOf(this.noted.headers, name) ?? valueOf(this.own(), name);
  }

  note(name: string): string | undefined {
    return valueOf(this.noted.headers, name);
  }

  headers(): Headers {
    const { headers } = this.noted;
    if (headers.length === 0) return this.own();
    return [...this.own().filter(([name]) => valueOf(headers, name) === undefined), ...headers];
  }

  /** Those that it was published with. */
  own(): Headers {
    const { h } = this.wire;
    return (this.#headers ??= h === undefined ? amqpHeaders(this.raw.properties) : decodeHeaders(h));
  }
}

/** Of a message that its publisher gave no id: the same each time that it comes. */
export function contentId({ content, fields, properties }: AmqpDelivery): string {
  const { o } = (properties.headers ?? {}) as WireHeaders;
  const place = `${o ?? fields.routingKey} ${properties.timestamp ?? ""} `;
  return createHash("sha256").update(place).update(content).digest("base64url").slice(0, 22);
}

export function valueOf(headers: Headers, name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 1) {
    const header = headers[index]!;
    if (header[0] === name) return header[1];
  }
  return undefined;
}
