import type { Consumption, InMessage, Sink, StartAt, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { isBusy } from "./classify.ts";
import { RowMessage } from "../../internal/rows/message.ts";
import { startAfter, startOf, type Start } from "./start.ts";
import type { Store, Watcher } from "./store.ts";
import { partitionName } from "./streams.ts";
import { TopicFilter } from "./topic-filter.ts";

const scanAtOnce = 5_000;
const mostAtOnce = 1_000;

interface Read {
  readonly messages: RowMessage[];
  readonly lost: number;
  readonly more: boolean;
}

/** Reads a stream from some place on, for this process alone; nothing is stored. */
export class Tail extends AckOnly implements Consumption, Watcher {
  readonly address: undefined = undefined;
  readonly #store: Store;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #stream: number;
  readonly #names: readonly string[];
  readonly #skips: ReadonlyMap<number, number>;
  #filter = new TopicFilter([">"]);
  #next: number;
  #state: "open" | "stopped" | "closed" = "open";
  #scheduled = false;

  constructor(
    store: Store,
    name: string,
    from: StartAt,
    resume: ReadonlyMap<string, string> | undefined,
    sink: Sink,
    window: Window,
  ) {
    super("sqlite", "tail");
    const stream = store.streams.named(name);
    if (stream === undefined) throw new DriverError("BUS_NOT_FOUND", `sqlite: there is no stream "${name}"`);
    this.#store = store;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#stream = stream.id;
    this.#names = Array.from({ length: stream.partitions }, (_, partition) => partitionName(stream, partition));
    const known =
      resume === undefined ? undefined : new Map([...resume].filter(([partition]) => this.#names.includes(partition)));
    const start: Start =
      known === undefined || known.size === 0
        ? startOf(store.streams, stream, from)
        : startAfter(stream, fill(known, this.#names));
    this.#next = start.seq;
    this.#skips = new Map([...start.partitions].filter(([, seq]) => seq > start.seq));
    // What went while we were away is said; where to go on is before it.
    const before = known === undefined || known.size === 0 ? undefined : Math.min(...[...known.values()].map(Number));
    if (before !== undefined && before < stream.first - 1)
      sink.lost(undefined, "dropped by retention while the tail was away");
    store.watchers.add(this);
    this.#later();
  }

  /** Comes once for many commits of a turn. */
  look(): void {
    if (this.#state !== "open" || this.#scheduled || this.#credit.messages === 0) return;
    this.#read();
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#later();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#filter = new TopicFilter(patterns);
    this.#later();
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly RowMessage[]);
    this.#later();
  }

  stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#state = "closed";
    this.#store.watchers.delete(this);
    return Promise.resolve();
  }

  end(error: unknown): void {
    if (this.#state === "closed") return;
    void this.close();
    this.#sink.ended(error, false);
  }

  #later(): void {
    if (this.#scheduled || this.#state !== "open") return;
    this.#scheduled = true;
    this.#store.clock.soon(() => {
      this.#scheduled = false;
      if (this.#state === "open" && this.#credit.messages > 0) this.#read();
    });
  }

  #read(): void {
    try {
      this.#readOnce();
    } catch (error) {
      if (this.#state !== "open") return;
      if (isBusy(error)) this.#store.later(5, () => this.#later());
      else this.end(error);
    }
  }

  #readOnce(): void {
    const read = this.#store.database.snapshot(() => this.#look());
    if (read === undefined) return this.end(new DriverError("BUS_NOT_FOUND", "sqlite: the stream was deleted"));
    // Of what is gone nobody can tell any more whether it was wanted.
    if (read.lost > 0)
      this.#sink.lost(this.#filter.all ? read.lost : undefined, "dropped by retention before the tail came to it");
    if (read.more) this.#later();
    if (read.messages.length > 0) this.#sink.deliver(read.messages);
  }

  #look(): Read | undefined {
    const stream = this.#store.streams.byId(this.#stream);
    if (stream === undefined) return undefined;
    const messages: RowMessage[] = [];
    if (this.#filter.patterns.length === 0) this.#next = stream.last; // nobody listens
    const lost = Math.max(0, stream.first - 1 - this.#next);
    this.#next += lost;
    if (this.#next >= stream.last) return { messages, lost, more: false };
    const upper = Math.min(stream.last, this.#next + scanAtOnce);
    const limit = Math.min(this.#credit.messages, mostAtOnce);
    const now = this.#store.clock.now();
    const log = this.#store.streams.log(stream.id);
    const { rows, complete } = log.read(stream, this.#next, upper, limit, this.#credit.bytes, this.#filter.globs);
    let reached = this.#next;
    let full = false;
    for (const row of rows) {
      if ((full = this.#credit.messages === 0)) break;
      reached = row.seq;
      if (!this.#filter.matches(row.topic) || row.seq <= (this.#skips.get(row.partition) ?? 0)) continue;
      if (row.expires !== null && row.expires <= now) continue;
      const message = new RowMessage(row, undefined, "stream", this.#names[row.partition]);
      this.#credit.take(message.size);
      messages.push(message);
    }
    this.#next = complete && !full ? upper : reached;
    return { messages, lost, more: this.#next < stream.last };
  }
}

/** A partition that was not heard of is taken from where the others are: it had nothing. */
function fill(known: ReadonlyMap<string, string>, names: readonly string[]): ReadonlyMap<string, string> {
  const lowest = String(Math.min(...[...known.values()].map(Number)));
  return new Map(names.map((name) => [name, known.get(name) ?? lowest]));
}
