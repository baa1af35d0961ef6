import type { Consumption, InMessage, Sink, Source, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { matchesPattern } from "../../internal/topic-trie.ts";
import { disjoint } from "./filters.ts";
import { NatsMessage, type Place } from "./message.ts";
import { Reader, type ReaderMessage, type ReaderStart, type Room } from "./reader.ts";
import type { Shared } from "./shared.ts";
import type { StreamFacts } from "./stream-plan.ts";

const lookMs = 1_000;

type TailSource = Extract<Source, { readonly kind: "tail" }>;

/** Reads a stream from some place on, for this process alone; nothing of it stays at the server. */
export class Tail extends AckOnly implements Consumption {
  readonly address: undefined = undefined;
  readonly #shared: Shared;
  readonly #facts: StreamFacts;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #place: Place;
  readonly #left: () => void;
  #reader: Reader | undefined;
  /** Undefined until something is wanted: then everything from the start on. */
  #patterns: ReadonlyMap<string, number> | undefined;
  /** Up to here not every pattern is wanted yet. */
  #newest = 0;
  #position = 0;
  #pending = 0;
  #changing: Promise<void> = Promise.resolve();
  #state: "open" | "stopped" | "closed" = "open";

  private constructor(shared: Shared, facts: StreamFacts, sink: Sink, window: Window, left: () => void) {
    super("nats", "tail");
    this.#shared = shared;
    this.#facts = facts;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#left = left;
    const { name, topicOf, created } = facts;
    this.#place = { lane: "stream", partition: name, topic: topicOf, created };
  }

  static async open(shared: Shared, source: TailSource, sink: Sink, window: Window, left: () => void): Promise<Tail> {
    const found = await shared.streams.look(source.stream);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `nats: there is no stream "${source.stream}"`);
    const { facts, native } = found;
    const tail = new Tail(shared, facts, sink, window, left);
    await tail.#begin([">"], startOf(source, facts, native.state.last_seq));
    return tail;
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.#reader?.ask();
  }

  wants(patterns: readonly string[]): Promise<void> {
    const changed = this.#changing.then(() => this.#want(patterns));
    this.#changing = changed.catch(() => undefined); // told to who asked; the next change need not fail for it
    return changed;
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly NatsMessage[]);
    this.#reader?.ask();
  }

  async stop(): Promise<void> {
    if (this.#state !== "open") return;
    await this.#changing;
    this.#state = "stopped";
    this.#reader?.close();
  }

  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#looking?.[Symbol.dispose]();
    this.#reader?.close();
    this.#left();
  }

  async #begin(patterns: readonly string[], start: ReaderStart): Promise<void> {
    const reader = new Reader(
      this.#shared.session,
      this.#shared.api,
      { stream: this.#facts.native, filters: this.#filters(patterns), start, created: this.#facts.created },
      {
        messages: (messages) => this.#arrived(messages),
        room: () => this.#room(),
        gap: (expected, first) => this.#lost(first - expected),
        ended: (error) => this.#end(error),
      },
    );
    this.#reader = reader;
    this.#position = reader.position;
    await reader.open();
    this.#position = reader.position;
  }

  /** What is new begins at the end of the stream; what was wanted before goes on where it is. */
  async #want(patterns: readonly string[]): Promise<void> {
    const reader = this.#reader;
    if (this.#state !== "open" || reader === undefined) return;
    const before = this.#patterns;
    if (before === undefined) {
      // from the place where the tail was opened
      this.#patterns = new Map(patterns.map((pattern) => [pattern, 0]));
      if (patterns.includes(">")) return;
      return await reader.refilter(this.#filters(patterns));
    }
    if (patterns.length === before.size && patterns.every((pattern) => before.has(pattern))) return;
    const grown = patterns.some((pattern) => !before.has(pattern));
    let end = 0;
    let caughtUp = false;
    if (grown) {
      const info = await this.#shared.api.streamInfo(this.#facts.native);
      if (info === undefined) throw new DriverError("BUS_NOT_FOUND", "nats: the stream was deleted");
      end = info.state.last_seq;
      caughtUp = before.size === 0 || (await reader.isCaughtUp(end));
    }
    // what came while the server was asked stays behind us
    const position = caughtUp ? Math.max(end, this.#position) : this.#position;
    if (end > position) this.#newest = Math.max(this.#newest, end);
    this.#patterns = new Map(patterns.map((pattern) => [pattern, before.get(pattern) ?? end]));
    this.#position = position;
    await reader.refilter(this.#filters(patterns), position);
  }

  /** A consumer without filters would get everything: what nobody wants has a subject that is never published. */
  #filters(patterns: readonly string[]): readonly string[] {
    if (patterns.length === 0) return [this.#facts.filter("=nothing=")];
    return disjoint(patterns).map((pattern) => this.#facts.filter(pattern));
  }

  #room(): Room {
    const { messages, bytes, outstanding } = this.#credit;
    return { messages, bytes, alone: outstanding === 0 };
  }

  #arrived(arrived: readonly ReaderMessage[]): void {
    if (this.#state !== "open") return;
    const messages: NatsMessage[] = [];
    for (const { raw, delivery } of arrived) {
      // while more was waiting, what is missing in between is another's, or gone
      if (this.#pending > 0 && delivery.sequence > this.#position + 1) this.#missed(this.#position + 1);
      this.#position = delivery.sequence;
      this.#pending = delivery.pending;
      const message = new NatsMessage(raw, delivery, this.#place);
      if (delivery.sequence <= this.#newest && !this.#wanted(message)) continue;
      this.#credit.take(message.size);
      messages.push(message);
    }
    if (messages.length > 0) this.#sink.deliver(messages);
  }

  #wanted({ topic, sequence }: NatsMessage): boolean {
    for (const [pattern, since] of this.#patterns ?? [])
      if (sequence > since && matchesPattern(pattern, topic)) return true;
    return this.#patterns === undefined;
  }

  /** The first that did not come since the stream was last looked at. */
  #gap: number | undefined;
  #looking: Disposable | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** Where others' topics lie in between every message may be behind a gap: then it is asked once a second. */
  #missed(expected: number, atOnce: boolean = this.#patterns?.has(">") === true): void {
    this.#gap ??= expected;
    const { clock } = this.#shared.session;
    const wait = atOnce ? 0 : this.#lookedAt + lookMs - clock.ticks();
    this.#looking ??= clock.after(Math.max(wait, 0), () => void this.#look());
  }

  async #look(): Promise<void> {
    if (this.#state === "closed" || this.#gap === undefined) return;
    const expected = this.#gap;
    const position = this.#position;
    let failed = false;
    this.#gap = undefined;
    this.#lookedAt = this.#shared.session.clock.ticks();
    try {
      const info = await this.#shared.api.streamInfo(this.#facts.native);
      const first = Math.min(info?.state.first_seq ?? 0, position);
      if (first > expected) this.#lost(first - expected);
    } catch {
      failed = true;
      this.#gap = expected;
    }
    this.#looking = undefined;
    // what can't be asked while it is disconnected is asked at the next gap
    if (this.#gap !== undefined && this.#shared.session.connected) this.#missed(this.#gap, failed ? false : undefined);
  }

  /** Of what is gone nobody can tell any more whether it was wanted. */
  #lost(count: number): void {
    if (this.#state !== "open") return;
    this.#sink.lost(
      this.#patterns?.has(">") === true ? count : undefined,
      "dropped by retention before the tail came to it",
    );
  }

  #end(error: unknown): void {
    if (this.#state === "closed") return;
    void this.close();
    this.#sink.ended(error, false);
  }
}

/** Behind a position; one that the stream has not reached is of another that had its name: then from the oldest. */
function startOf({ from, resume }: TailSource, { name, created }: StreamFacts, last: number): ReaderStart {
  const positions = resume !== undefined && resume.size > 0 ? Object.fromEntries(resume) : undefined;
  if (positions === undefined) {
    if ("at" in from) return { seq: from.at === "oldest" ? 1 : last + 1 };
    if ("time" in from) return { time: from.time };
  }
  const position = (positions ?? ("positions" in from ? from.positions : {}))[name];
  const [digits, of = created] = position?.split("@", 2) ?? [];
  const sequence = digits === undefined || of !== created ? 0 : Number(digits);
  return { seq: Number.isSafeInteger(sequence) && sequence >= 0 && sequence <= last ? sequence + 1 : 1 };
}
