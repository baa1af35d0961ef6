import type { Headers, OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Delays } from "./delays.ts";
import type { More } from "./headers.ts";
import type { Queues } from "./queues.ts";
import type { Room } from "./room.ts";
import type { Session } from "./session.ts";

/** What the bus publishes to streams and queues, on its way into partitions. */
export class Sender {
  readonly #session: Session;
  readonly #queues: Queues;
  readonly #delays: Delays;
  readonly #room: Room;
  readonly #missing: (stream: string) => void;
  #flush: Disposable | undefined;

  /** `missing`: a stream that stands in the control log has no topic. */
  constructor(session: Session, queues: Queues, delays: Delays, room: Room, missing: (stream: string) => void) {
    this.#missing = missing;
    this.#room = room;
    this.#session = session;
    this.#queues = queues;
    this.#delays = delays;
  }

  send(message: OutMessage): void {
    const { to } = message;
    if (to.kind === "topic") this.#toStream(message, to.stream, to.topic);
    else if (to.kind === "queue") this.#toQueue(message, to.group, to.topic);
  }

  /** After all of a turn were given. */
  flush(): void {
    const { producer, options, clock } = this.#session;
    if (options.lingerMs === 0) return producer.flush();
    this.#flush ??= clock.after(options.lingerMs, () => {
      this.#flush = undefined;
      producer.flush();
    });
  }

  #flushing = false;

  /** What was let in later, at the end of its turn. */
  #clockFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  /** What lingers goes now. */
  hurry(): void {
    this.#flush?.[Symbol.dispose]();
    this.#flush = undefined;
    this.#session.producer.flush();
  }

  #toStream(message: OutMessage, stream: string, topic: string): void {
    const { names, control } = this.#session;
    const entry = control.fold.streams.get(stream);
    if (entry === undefined)
      return message.failed(
        "no",
        new DriverError("BUS_NOT_FOUND", `kafka: there is no stream "${stream}"`, { retryable: true }),
      );
    const { maxBytes, partitions } = entry.options;
    if (message.body.byteLength > maxBytes)
      return message.failed(
        "no",
        new DriverError(
          "BUS_TOO_LARGE",
          `kafka: larger than all that the stream "${stream}" may have (${maxBytes} bytes)`,
        ),
      );
    const partition = message.hash % partitions;
    const header = entry.options.attached?.topicHeader;
    if (entry.options.maxMessages === undefined)
      return this.#put(message, topic, names.stream(stream), partition, header);
    this.#room.admit(entry.options, {
      go: () => {
        this.#put(message, topic, names.stream(stream), partition);
        this.#clockFlush();
      },
      refuse: (error) => message.failed("no", error),
    });
  }

  #toQueue(message: OutMessage, group: string, topic: string): void {
    const partitions = this.#queues.partitions(group);
    const name = this.#session.names.queue(group);
    if (partitions !== undefined) return this.#put(message, topic, name, message.hash % partitions);
    this.#queues.make(group).then(
      (made) => {
        this.#put(message, topic, name, message.hash % made);
        this.flush();
      },
      (error: unknown) => message.failed("no", error),
    );
  }

  /** `topicHeader`: where others look for the topic. */
  #put(message: OutMessage, topic: string, name: string, partition: number, topicHeader?: string): void {
    const { producer, clock } = this.#session;
    const { notBefore, expiresAt, replyTo, key } = message;
    const due = notBefore !== undefined && notBefore > clock.now() ? notBefore : undefined;
    const beside: More | undefined =
      due === undefined && expiresAt === undefined && replyTo === undefined
        ? undefined
        : {
            ...(due === undefined ? {} : { due }),
            ...(expiresAt === undefined ? {} : { expires: expiresAt }),
            ...(replyTo === undefined ? {} : { reply: replyTo }),
          };
    const all = topicHeader === undefined ? message.headers : withTopic(message.headers, topicHeader, topic);
    const record = {
      key,
      value: message.body,
    };
    const told = {
      stored: (offset: bigint): void => message.stored(offset < 0n ? undefined : String(offset)),
      failed: (stored: "no" | "unknown", error: unknown): void => {
        const { code } = error as { readonly code?: unknown };
        if (message.to.kind === "topic" && code === "BUS_NOT_FOUND") this.#missing(message.to.stream);
        message.failed(stored, error);
      },
    };
    if (due !== undefined && !(message.to.kind === "queue" && this.#delays.isHeld(due))) {
      const headers = this.#session.headers(topic, { ...beside, target: [name, partition] }, all);
      return this.#delays.put(
        due,
        this.#session.parcel({ ...record, headers }, { ...told, stored: () => message.stored() }),
      );
    }
    const headers = this.#session.headers(topic, beside, all);
    producer.add(name, partition, this.#session.parcel({ ...record, headers }, told));
  }
}

const withTopic = (headers: Headers, name: string, topic: string): Headers =>
  headers.some(([each]) => each === name) ? headers : [...headers, [name, topic]];
