import type { Consumption, InMessage, Sink, Source, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { Fifo } from "../../internal/fifo.ts";
import { TopicTrie } from "../../internal/topic-trie.ts";
import type { AmqpDelivery } from "./client.ts";
import { LogReader, type Offset } from "./log-reader.ts";
import { RabbitMessage } from "./message.ts";
import type { Shared } from "./shared.ts";
import type { StoredStream } from "./stream-plan.ts";
import { markOf, timeOf, type WireHeaders } from "./wire.ts";

const prefetch = 1_000;
const againMs = 100;
const fixMs = 1_000;

interface Read {
  readonly raw: AmqpDelivery;
  /** Whose credit it has. */
  readonly reader: LogReader;
}

/** A position of a log says which log it is of: an offset that a younger one has not reached yet would be waited for. */
export const positionOf = (offset: number, { born }: Pick<StoredStream, "born">): string => `${offset}@${born}`;

/** Reads a stream's log from somewhere on, for everybody in this process. */
export class Tail extends AckOnly implements Consumption {
  readonly address: undefined = undefined;
  readonly #shared: Shared;
  readonly #stream: string;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #waiting = new Fifo<Read>();
  readonly #given = new Set<RabbitMessage>();
  #wanted = new TopicTrie<true>();
  #reader: LogReader | undefined;
  #next: number | undefined;
  /** Until the first record. */
  #start: Offset = "next";
  /** Something was read, or is not waited for any more. */
  readonly #begun = Promise.withResolvers<void>();
  #checkGap = false;
  #retry: Disposable | undefined;
  #stopped = false;

  constructor(shared: Shared, stream: string, sink: Sink, window: Window) {
    super("rabbitmq", "tail");
    this.#shared = shared;
    this.#stream = stream;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#wanted.add(">", true);
  }

  /** Resolves when it is fixed where it begins. */
  async open({ from, resume }: Extract<Source, { kind: "tail" }>): Promise<void> {
    const stream = this.#shared.streams.get(this.#stream);
    const position = resume?.get(this.#stream) ?? ("positions" in from ? from.positions[this.#stream] : undefined);
    const [offset, born] = (position ?? "").split("@");
    let start: Offset = "next";
    if (offset !== undefined && offset !== "" && born === stream.born) {
      start = this.#next = Number(offset) + 1;
      this.#checkGap = true;
    } else if (position !== undefined || ("at" in from && from.at === "oldest") || "positions" in from) {
      start = "first";
      if (position !== undefined && resume !== undefined) this.#sink.lost(undefined, "the stream was made again");
    } else if ("time" in from) start = { time: from.time };
    this.#start = start;
    await this.#open(start);
    if (start === "next") await this.#fix();
  }

  /**
   * A record of ours says where it begins, also for a line that is lost before anything else came. A server that takes none now, as
   * one whose disk is full, is not waited for.
   */
  async #fix(): Promise<void> {
    const { clock } = this.#shared.session;
    const timer = clock.after(fixMs, () => this.#begun.resolve());
    this.#shared.logs.mark(this.#stream).catch(() => this.#begun.resolve());
    await this.#begun.promise;
    timer[Symbol.dispose]();
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#pump();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#wanted = new TopicTrie();
    for (const pattern of patterns) this.#wanted.add(pattern, true);
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly RabbitMessage[]) {
      if (!this.#given.delete(message)) continue;
      this.#credit.give(message.size);
      (message.holder as LogReader).release(message.raw);
    }
    this.#pump();
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.#begun.resolve();
    this.#retry?.[Symbol.dispose]();
    this.#reader?.close();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.stop();
    this.#shared.left(this);
  }

  async #open(from: Offset): Promise<void> {
    const reader = new LogReader(
      this.#shared.session,
      this.#shared.session.names.stream(this.#stream),
      {
        record: (message, offset) => this.#take(reader, message, offset),
        ended: (error, missing) => {
          if (this.#reader !== reader || this.#stopped) return;
          this.#reader = undefined;
          if (missing) return this.#sink.ended(error, false);
          this.#again();
        },
      },
      true,
    );
    this.#reader = reader;
    await reader.open(from, prefetch);
    if (this.#stopped) reader.close();
  }

  /** The line is gone: from the last on that was taken in. */
  #again(): void {
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#shared.session.clock.after(againMs, () => {
      this.#checkGap = this.#next !== undefined;
      this.#open(this.#next ?? this.#start).catch((error: unknown) => {
        if (this.#stopped) return;
        if ((error as { readonly code?: unknown }).code === 404) this.#sink.ended(error, false);
        else this.#again();
      });
    });
  }

  #take(reader: LogReader, message: AmqpDelivery, offset: number): void {
    if (this.#stopped) return;
    if (this.#next !== undefined && offset < this.#next) return reader.release(message);
    if (this.#checkGap && this.#next !== undefined && offset > this.#next) void this.#sayGap(this.#next, offset);
    this.#checkGap = false;
    this.#next = offset + 1;
    this.#begun.resolve();
    const { e } = (message.properties.headers ?? {}) as WireHeaders;
    const now = this.#shared.session.clock.now();
    const isEarly = typeof this.#start === "object" && (timeOf(message) ?? now) < this.#start.time; // a chunk is given whole
    if (markOf(message) !== undefined || isEarly || (typeof e === "number" && e <= now)) return reader.release(message);
    this.#waiting.push({ raw: message, reader });
    this.#pump();
  }

  /** Offsets have gaps of their own: only what the log begins behind is lost. */
  async #sayGap(wanted: number, found: number): Promise<void> {
    const first = await this.#shared.logs.firstOffset(this.#stream).catch(() => undefined); // not known, not said
    if (first !== undefined && first > wanted && first >= found && !this.#stopped)
      this.#sink.lost(undefined, "gone from the stream before it was read");
  }

  #pump(): void {
    const batch: RabbitMessage[] = [];
    const born = this.#shared.definitions.streams.get(this.#stream)?.born ?? "";
    while (!this.#stopped && this.#waiting.length > 0 && this.#credit.hasRoom) {
      const { raw, reader } = this.#waiting.shift()!;
      const offset = Number(raw.properties.headers?.["x-stream-offset"]);
      const message = new RabbitMessage(raw, {
        lane: "stream",
        stream: undefined,
        whole: this.#shared.definitions.streams.get(this.#stream)?.attached !== undefined,
        position: positionOf(offset, { born }),
        deliveries: 0,
        partition: this.#stream,
      });
      if (this.#wanted.match(message.topic).length === 0) {
        reader.release(raw);
        continue;
      }
      message.holder = reader;
      this.#given.add(message);
      this.#credit.take(message.size);
      batch.push(message);
    }
    if (batch.length > 0) this.#sink.deliver(batch);
  }
}
