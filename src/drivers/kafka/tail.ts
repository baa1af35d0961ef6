import type { Consumption, InMessage, Sink, Source, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { placeIn } from "./attach.ts";
import { KafkaMessage, type Place } from "./message.ts";
import { refOf } from "./names.ts";
import { Reading } from "./reading.ts";
import type { Session } from "./session.ts";
import { startOffsets } from "./start-offsets.ts";
import { TopicFilter } from "./topic-filter.ts";

const unauthorized = 29;
const unlimited: Window = { messages: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };

/** Reads a stream from some place on, for this process alone; nothing of it stays at the broker. */
export class Tail extends AckOnly implements Consumption {
  readonly address: undefined = undefined;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #left: () => void;
  readonly #heal: () => Promise<void>;
  readonly #session: Session;
  readonly #topic: string;
  #topicId = "";
  readonly #parts: TailPart[];
  readonly #partOf: (partition: number, start: number) => TailPart;
  readonly #listening: Disposable;
  #filter = new TopicFilter([">"]);
  #state: "open" | "closed" = "open";
  #pumping = false;

  private constructor(
    session: Session,
    stream: string,
    { starts, topicId }: { readonly starts: readonly number[]; readonly topicId: string },
    sink: Sink,
    window: Window,
    left: () => void,
    heal: () => Promise<void>,
  ) {
    super("kafka", "tail");
    this.#heal = heal;
    this.#session = session;
    this.#topic = session.names.stream(stream);
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#left = left;
    const listener = {
      came: () => this.#pump(),
      lost: (reason: string) => this.#state === "open" && this.#sink.lost(undefined, reason),
      wake: () => session.loop.wake(),
      gone: (errorCode: number) => this.#doubt(errorCode),
    };
    const entry = session.control.fold.streams.get(stream);
    this.#partOf = (partition, start) => {
      const place = placeIn(entry?.options, "stream", refOf(stream, partition), stream);
      return new TailPart(new Reading(session, this.#topic, partition, start, listener), place);
    };
    this.#parts = starts.map((start, partition) => this.#partOf(partition, start));
    const { revision } = entry ?? { revision: 0 };
    this.#listening = session.control.listen((what, name) => {
      if (what !== "streams" || (name !== stream && name !== "")) return;
      const now = session.control.fold.streams.get(stream);
      if (now !== undefined && revision !== 0) return this.#grow(now.options.partitions);
      this.#end(new DriverError("BUS_NOT_FOUND", `kafka: the stream "${stream}" was deleted`));
    });
    this.#goBy(topicId);
    for (const { reading } of this.#parts) session.loop.add(reading);
    this.#grow(entry?.options.partitions ?? 0); // it may have grown while the places were asked for
  }

  /** What others add to a topic of theirs is read from its beginning. */
  #grow(partitions: number): void {
    for (let partition = this.#parts.length; partition < partitions; partition += 1) {
      const part = this.#partOf(partition, 0);
      part.reading.topicId = this.#topicId;
      part.reading.pause(this.#healing);
      this.#parts.push(part);
      this.#session.loop.add(part.reading);
    }
  }

  #healing = false;

  /** A broker that lags says so too. Made again under its name, as another topic, it is read from its oldest. */
  #doubt(errorCode: number): void {
    if (this.#healing || this.#state === "closed") return;
    if (errorCode === unauthorized)
      return this.#end(new DriverError("BUS_AUTHENTICATION", `kafka: ${this.#topic} may not be read`));
    this.#healing = true;
    for (const { reading } of this.#parts) reading.pause(true);
    void this.#isAnother()
      .catch(() => false) // the next answer says it again
      .then((isAnother) => {
        this.#healing = false;
        if (isAnother && this.#state === "open") this.#sink.lost(undefined, "its topic was deleted");
        for (const { reading } of this.#parts) {
          if (isAnother) reading.restart();
          reading.pause(false);
        }
      });
  }

  #goBy(topicId: string): void {
    this.#topicId = topicId;
    for (const { reading } of this.#parts) reading.topicId = topicId;
  }

  async #isAnother(): Promise<boolean> {
    const { cluster } = this.#session;
    await cluster.topology.refresh();
    if (cluster.topology.place(this.#topic)?.id.startsWith(this.#topicId) !== true) await this.#heal();
    const found = await cluster.topicIdIfAny(this.#topic);
    const isAnother = this.#topicId !== "" && found !== this.#topicId; // it was said when there was none
    this.#goBy(found);
    return isAnother;
  }

  static async open(
    session: Session,
    { stream, from, resume }: Extract<Source, { readonly kind: "tail" }>,
    sink: Sink,
    window: Window,
    left: () => void,
    heal: (stream: string) => Promise<void>,
  ): Promise<Tail> {
    const fold = await session.control.current();
    const partitions = fold.streams.get(stream)?.options.partitions;
    if (partitions === undefined) throw new DriverError("BUS_NOT_FOUND", `kafka: there is no stream "${stream}"`);
    const starts = await startOffsets(session, stream, partitions, from, resume);
    const topicId = await session.cluster.topicId(session.names.stream(stream));
    return new Tail(session, stream, { starts, topicId }, sink, window, left, () => heal(stream));
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else for (const part of this.#parts) if (part.place.partition === partition) part.credit.window = window;
    this.#pump();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#filter = new TopicFilter(patterns);
    for (const part of this.#parts) part.head = undefined;
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly KafkaMessage[]) {
      if (message.over) continue;
      message.over = true;
      this.#credit.give(message.size);
      (message.owner as TailPart).credit.give(message.size);
    }
    this.#pump();
  }

  stop(): Promise<void> {
    this.#end();
    return Promise.resolve();
  }

  close(): Promise<void> {
    return this.stop();
  }

  #end(error?: unknown): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#listening[Symbol.dispose]();
    for (const { reading } of this.#parts) reading.close();
    this.#left();
    if (error !== undefined) this.#sink.ended(error, false);
  }

  /** After all that came with it: one call for many. */
  #pump(): void {
    if (this.#pumping || this.#state === "closed") return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      if (this.#state === "open") this.#deliver();
    });
  }

  #deliver(): void {
    const batch: KafkaMessage[] = [];
    const ready = new Set(this.#parts);
    for (let part = this.#next(ready); part !== undefined; part = this.#next(ready)) {
      const message = part.head!;
      part.head = undefined;
      part.reading.shift();
      this.#credit.take(message.size);
      part.credit.take(message.size);
      batch.push(message);
    }
    if (batch.length > 0) this.#sink.deliver(batch);
  }

  /** That with the oldest head: within a partition the order is its own, whatever a leader's clock says. */
  #next(ready: Set<TailPart>): TailPart | undefined {
    if (!this.#credit.hasRoom) return undefined;
    let best: TailPart | undefined;
    for (const part of ready) {
      if (part.peek(this.#filter) === undefined || !part.credit.hasRoom) ready.delete(part);
      else if (best === undefined || part.head!.record.time < best.head!.record.time) best = part;
    }
    return best;
  }
}

class TailPart {
  readonly reading: Reading;
  readonly place: Place;
  readonly credit: Credit = new Credit(unlimited);
  /** What is handed out next: somebody wants it. */
  head: KafkaMessage | undefined;

  constructor(reading: Reading, place: Place) {
    this.reading = reading;
    this.place = place;
  }

  /** Passes by what nobody wants. */
  peek(filter: TopicFilter): KafkaMessage | undefined {
    const { reading, place } = this;
    for (let record = reading.peek(); record !== undefined; record = reading.peek()) {
      if (this.head?.record === record) return this.head;
      const message = new KafkaMessage(record, place);
      message.owner = this;
      if (filter.matches(message.topic)) return (this.head = message);
      reading.shift();
    }
    return (this.head = undefined);
  }
}
