import type { Consumption, OutMessage, Sink, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { NewTopic } from "./client.ts";
import { DirectConsumer } from "./direct-consumer.ts";
import { DirectFold, type Seat } from "./direct-fold.ts";
import { FoldedLog } from "./folded-log.ts";
import { readHeaders, recordHeaders } from "./headers.ts";
import { KafkaMessage, type Place } from "./message.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { Session } from "./session.ts";
import { makeOwnTopics, ownMessageBytes } from "./own-topics.ts";

const leaseMs = 10_000;
const inboxPartitions = 8;
const config = {
  ...{ "retention.ms": "600000", "segment.ms": "300000", "retention.bytes": "536870912" },
  "max.message.bytes": ownMessageBytes,
};
const direct: Place = { lane: "direct", partition: undefined, topic: "" };
const inbox: Place = { lane: "inbox", partition: undefined, topic: "" };

/** What is stored for nobody: requests, answers and at-most-once, in logs that every listener reads and that keep ten minutes. */
export class DirectLane {
  readonly #session: Session;
  readonly #process: string;
  readonly #fold = new DirectFold(leaseMs);
  readonly #seats = new Map<string, { readonly seat: Seat; readonly consumer: DirectConsumer }>();
  readonly #inboxes = new Map<string, DirectConsumer>();
  /** Requests that are to be told whether somebody is there, by their places. */
  readonly #asked = new Map<number, OutMessage>();
  /** Those that were read before their sender was told where they are. */
  readonly #recent = new Map<number, boolean>();
  #log: FoldedLog | undefined;
  #opening: Promise<FoldedLog> | undefined;
  #inboxLog: Promise<{ readonly log: FoldedLog; readonly partition: number }> | undefined;
  #making: Promise<void> | undefined;
  #renewal: Disposable | undefined;
  #live = false;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
    this.#process = `${session.context.member.id}.${secret(session)}`;
  }

  // ── Sending ──

  send(message: OutMessage): void {
    const { to, notBefore } = message;
    const { clock } = this.#session;
    if (notBefore !== undefined && notBefore > clock.now())
      return message.failed(
        "no",
        new DriverError("BUS_UNSUPPORTED", "kafka: what is stored for nobody can't be delayed"),
      );
    const ready =
      to.kind === "direct" && message.replyTo !== undefined ? this.#follow().then(() => undefined) : this.#make();
    ready.then(
      () => this.#put(message),
      (error: unknown) => message.failed("no", error),
    );
  }

  #put(message: OutMessage): void {
    const { to, replyTo, expiresAt, key, body, headers } = message;
    const { own: producer, names } = this.#session;
    const isRequest = to.kind === "direct" && replyTo !== undefined;
    const partition = to.kind === "inbox" ? partitionOf(to.address) : 0;
    if (this.#closed) return message.failed("no", new DriverError("BUS_CLOSED", "kafka: the connection is closed"));
    if (partition === undefined)
      return message.failed(
        "no",
        new DriverError("BUS_NOT_FOUND", "kafka: the address of the answer is not an inbox's"),
      );
    const beside = {
      ...(replyTo === undefined ? {} : { reply: replyTo }),
      ...(expiresAt === undefined ? {} : { expires: expiresAt }),
    };
    const topic = to.kind === "inbox" ? to.address : to.kind === "direct" ? to.topic : "";
    const record = {
      key,
      value: body,
      headers: recordHeaders(topic, beside, headers),
    };
    const parcel = this.#session.parcel(record, {
      stored: (offset) => {
        if (isRequest) this.#told(Number(offset), message);
        else message.stored();
      },
      failed: (stored, error) => message.failed(stored, error),
    });
    producer.add(to.kind === "inbox" ? names.inboxes : names.direct, partition, parcel);
    producer.flush();
  }

  #told(offset: number, message: OutMessage): void {
    const isThere = this.#recent.get(offset);
    if (isThere === undefined) this.#asked.set(offset, message);
    else answer(message, isThere);
  }

  // ── Listening ──

  async open(
    source: { readonly kind: "direct"; readonly group: string | undefined } | { readonly kind: "inbox" },
    sink: Sink,
    window: Window,
    left: () => void,
  ): Promise<Consumption> {
    const { clock } = this.#session;
    if (source.kind === "direct") {
      await this.#follow();
      const id = `${this.#process}.${this.#seatCount++}`;
      return new DirectConsumer(clock, undefined, sink, window, {
        wants: (consumer, patterns, answers) =>
          this.#sit(consumer, { id, group: source.group, patterns: [...patterns], answers: [...answers] }),
        stops: () => this.#stand(id),
        left,
      });
    }
    const { partition } = await (this.#inboxLog ??= this.#followInbox());
    const address = `${partition}.${secret(this.#session)}`;
    const consumer = new DirectConsumer(clock, address, sink, window, {
      wants: () => Promise.resolve(),
      stops: () => {
        this.#inboxes.delete(address);
        return Promise.resolve();
      },
      left,
    });
    this.#inboxes.set(address, consumer);
    return consumer;
  }

  #seatCount = 0;

  async #sit(consumer: DirectConsumer, seat: Seat): Promise<void> {
    this.#seats.set(seat.id, { seat, consumer });
    await this.#say();
    this.#renewLater();
  }

  /** What was sent to it before everybody knew still comes. */
  async #stand(id: string): Promise<void> {
    const found = this.#seats.get(id);
    if (found === undefined) return;
    this.#leaving.set(id, found.consumer);
    this.#seats.delete(id);
    try {
      await this.#say();
    } finally {
      this.#leaving.delete(id);
    }
  }

  readonly #leaving = new Map<string, DirectConsumer>();

  async #say(): Promise<void> {
    const log = await this.#follow();
    const here = { process: this.#process, seats: [...this.#seats.values()].map(({ seat }) => seat) };
    const offset = await log.append(new Uint8Array(0), undefined, recordHeaders("", { here }, []));
    await log.reached(offset);
  }

  #renewLater(): void {
    this.#renewal ??= this.#session.clock.after(leaseMs / 3, () => {
      this.#renewal = undefined;
      if (this.#closed || this.#seats.size === 0) return;
      void this.#say().catch(() => undefined); // the next one says it
      this.#renewLater();
    });
  }

  /** Reads the lane from a lease's time before its end, and so knows whoever lives. */
  async #follow(): Promise<FoldedLog> {
    if (this.#log !== undefined) return this.#log;
    return await (this.#opening ??= this.#open().finally(() => (this.#opening = undefined)));
  }

  async #open(): Promise<FoldedLog> {
    await this.#make();
    const { cluster, names, loop, own: producer, options, clock } = this.#session;
    const log = new FoldedLog({
      ...{ cluster, loop, producer, topic: names.direct, partition: 0 },
      timeoutMs: options.requestTimeoutMs * 2,
      record: (record) => this.#record(record),
    });
    await followed(log, Math.max(0, clock.now() - leaseMs));
    this.#live = true;
    return (this.#log = log);
  }

  async #followInbox(): Promise<{ readonly log: FoldedLog; readonly partition: number }> {
    try {
      await this.#make();
      const { cluster, names, loop, own: producer, options, clock } = this.#session;
      const partition = Math.floor(clock.random() * inboxPartitions);
      const log = new FoldedLog({
        ...{ cluster, loop, producer, topic: names.inboxes, partition },
        timeoutMs: options.requestTimeoutMs * 2,
        record: (record) => this.#answered(record),
      });
      await followed(log, -1);
      return { log, partition };
    } catch (error) {
      this.#inboxLog = undefined;
      throw error;
    }
  }

  #record(record: FetchedRecord): void {
    const { more, topic } = readHeaders(record);
    const { here, reply, expires } = more;
    if (topic === undefined) return;
    if (here !== undefined) return this.#fold.here(here.process, here.seats, record.time);
    const chosen = this.#fold.chosen(topic, reply !== undefined, record.offset, record.time);
    if (reply !== undefined) {
      const message = this.#asked.get(record.offset);
      this.#asked.delete(record.offset);
      if (message !== undefined) answer(message, chosen.length > 0);
      else {
        this.#recent.set(record.offset, chosen.length > 0);
        if (this.#recent.size > 1_024) this.#recent.delete(this.#recent.keys().next().value!);
      }
    }
    if (!this.#live || (expires !== undefined && expires <= this.#session.clock.now())) return;
    for (const id of chosen) {
      const consumer = this.#seats.get(id)?.consumer ?? this.#leaving.get(id);
      consumer?.take(new KafkaMessage(record, direct));
    }
  }

  #answered(record: FetchedRecord): void {
    const { topic = "", more } = readHeaders(record);
    if (more.expires !== undefined && more.expires <= this.#session.clock.now()) return;
    this.#inboxes.get(topic)?.take(new KafkaMessage(record, inbox));
  }

  #make(): Promise<void> {
    return (this.#making ??= this.make([]).catch((error: unknown) => {
      this.#making = undefined;
      throw error;
    }));
  }

  /** What is missing of these and its own; with the first connect, so that the first request need not wait for it. */
  async make(others: readonly NewTopic[]): Promise<void> {
    const { names } = this.#session;
    await makeOwnTopics(this.#session, [
      ...others,
      this.#session.ownTopic(names.direct, 1, config),
      this.#session.ownTopic(names.inboxes, inboxPartitions, config),
    ]);
  }

  /** Nobody chooses us any more. */
  async leave(): Promise<void> {
    this.#renewal?.[Symbol.dispose]();
    if (this.#seats.size === 0) return;
    this.#seats.clear();
    await this.#say();
  }

  close(error: unknown): void {
    this.#closed = true;
    this.#renewal?.[Symbol.dispose]();
    this.#log?.close(error);
    void this.#inboxLog?.then(({ log }) => log.close(error)).catch(() => undefined); // it was never opened
    for (const message of this.#asked.values()) message.failed("unknown", error);
    this.#asked.clear();
  }
}

function answer(message: OutMessage, isThere: boolean): void {
  if (isThere) message.stored();
  else
    message.failed(
      "no",
      new DriverError(
        "BUS_NO_RESPONDER",
        `kafka: nobody answers "${message.to.kind === "direct" ? message.to.topic : ""}"`,
      ),
    );
}

/** 128 bits of chance. */
function secret({ clock }: Session): string {
  let text = "";
  for (let word = 0; word < 4; word += 1)
    text += Math.floor(clock.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  return text;
}

function partitionOf(address: string): number | undefined {
  const match = /^(\d{1,4})\.[0-9a-f]{32}$/.exec(address);
  const partition = Number(match?.[1]);
  return match === null || partition >= inboxPartitions ? undefined : partition;
}

/** One that can't be followed is closed: the next one would have its records twice. */
async function followed(log: FoldedLog, from: number): Promise<void> {
  try {
    await log.follow(from);
  } catch (error) {
    log.close(error);
    throw error;
  }
}
