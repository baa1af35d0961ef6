import type { Core } from "./core.ts";
import type { Consumption, DriverConnection, InMessage, Source, StartAt, Window } from "./driver.ts";
import { TopicTrie } from "./internal/topic-trie.ts";
import { Supervisor, type Broker, type Consumer } from "./supervisor.ts";

/** Whoever gets a copy of what its patterns match, at once and without a say about the next. */
export interface Receiver {
  readonly patterns: readonly string[];
  /** Whether it takes requests, or everything else. */
  readonly answers: boolean;
  take(message: InMessage): void;
  /** A whole delivery has been taken. */
  taken(): void;
}

export type FanOutSource =
  | { readonly kind: "tail"; readonly stream: string }
  | { readonly kind: "direct"; readonly group: string | undefined };

const exactPatterns = 64;
const fanOutWindow: Window = { messages: 1_024, bytes: 16 * 1_048_576 };

/** One tail of a stream, or one end of the direct lane, for everybody in this process who listens: matched by the topic trie. */
export class FanOut implements Consumer {
  readonly what: string;
  readonly supervisor: Supervisor;
  readonly #source: FanOutSource;
  readonly #from: StartAt;
  readonly #receivers = new TopicTrie<Receiver>();
  /** With the patterns that it is known by here; they may have grown since. */
  readonly #all = new Map<Receiver, readonly string[]>();
  /** How many receivers have each pattern, and answer each request. */
  readonly #patterns = new Map<string, number>();
  readonly #answers = new Map<string, number>();
  #wanted: { readonly what: string; readonly by: Consumption; readonly inForce: Promise<void> } | undefined;
  /** Of a tail: the last position of each partition that was delivered, or that it starts behind. */
  #last: Map<string, string> | undefined;

  constructor(core: Core, broker: Broker, source: FanOutSource, from: StartAt = { at: "newest" }) {
    this.#source = source;
    this.#from = from;
    this.what =
      source.kind === "tail"
        ? `the tail of "${source.stream}"`
        : source.group === undefined
          ? "the direct lane"
          : `the direct lane of group "${source.group}"`;
    this.supervisor = new Supervisor(core, broker, this);
  }

  get stream(): string | undefined {
    return this.#source.kind === "tail" ? this.#source.stream : undefined;
  }
  get empty(): boolean {
    return this.#all.size === 0;
  }

  /** Resolves when what is published from now on reaches the receiver; again, when its patterns have changed. */
  async add(receiver: Receiver): Promise<void> {
    const known = this.#all.has(receiver);
    this.#know(receiver);
    try {
      await this.supervisor.open();
      await this.#want();
    } catch (error) {
      if (!known) void this.remove(receiver);
      throw error;
    }
  }

  /** Resolves when it is out, or, of one that `stays`, when what it no longer wants is; the last one closes the consumption. Never rejects. */
  async remove(receiver: Receiver, stays = false): Promise<void> {
    if (stays) this.#know(receiver);
    else this.#forget(receiver);
    const ending = this.#all.size > 0 ? this.#want() : this.close(AbortSignal.abort());
    await ending.catch((error: unknown) => this.supervisor.untold("leaving", error)); // it is out all the same
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#last = undefined;
    await this.supervisor.close(signal);
  }

  /** A tail fixes where it starts before it does, so that it knows where to go on even when it ends before its first message. */
  async prepare(connection: DriverConnection): Promise<void> {
    if (this.#source.kind === "direct" || this.#last !== undefined) return;
    const newest = "at" in this.#from && this.#from.at === "newest";
    this.#last = new Map(newest ? Object.entries(await connection.admin.positions(this.#source.stream)) : []);
  }

  /** Everything up to the last delivered message is in a receiver's buffer here: it goes on behind that. */
  source(resume: ReadonlyMap<string, string> | undefined): Source {
    if (this.#source.kind === "direct") return this.#source;
    const last = this.#last ?? new Map<string, string>();
    return {
      ...this.#source,
      from: last.size === 0 ? this.#from : { positions: Object.fromEntries(last) },
      resume: resume === undefined ? undefined : new Map(last),
    };
  }

  window(): Window {
    return fanOutWindow;
  }

  opened(): Promise<void> {
    return this.#want();
  }

  deliver(messages: readonly InMessage[]): void {
    const reached = new Set<Receiver>();
    for (const message of messages) {
      for (const receiver of this.#receivers.match(message.topic)) {
        if (receiver.answers !== (message.replyTo !== undefined)) continue;
        receiver.take(message);
        reached.add(receiver);
      }
      if (message.partition !== undefined && message.position !== undefined)
        this.#last?.set(message.partition, message.position);
    }
    this.supervisor.consumption?.ack(messages);
    for (const receiver of reached) receiver.taken();
  }

  revoked(): void {
    // a tail owns nothing: what was delivered is in the buffers
  }

  /** Above some number of patterns everything is wanted, and the trie here tells what for whom: else each new one costs all. */
  async #want(): Promise<void> {
    const { consumption } = this.supervisor;
    if (consumption === undefined) return; // it comes back, and asks then
    const patterns = this.#patterns.size > exactPatterns ? [">"] : [...this.#patterns.keys()];
    const answers = [...this.#answers.keys()];
    const wanted = `${patterns.join(" ")}|${answers.join(" ")}`;
    if (this.#wanted?.what === wanted && this.#wanted.by === consumption) return this.#wanted.inForce;
    const inForce = consumption.wants(patterns, answers);
    this.#wanted = { what: wanted, by: consumption, inForce };
    try {
      await inForce;
    } catch (error) {
      if (this.#wanted?.inForce === inForce) this.#wanted = undefined;
      if (this.supervisor.consumption === consumption) throw error;
    }
  }

  #count(receiver: Receiver, by: 1 | -1): void {
    const counts = receiver.answers ? this.#answers : this.#patterns;
    for (const pattern of this.#all.get(receiver) ?? []) {
      const count = (counts.get(pattern) ?? 0) + by;
      if (count === 0) counts.delete(pattern);
      else counts.set(pattern, count);
    }
  }

  #know(receiver: Receiver): void {
    this.#forget(receiver);
    const patterns = [...receiver.patterns];
    this.#all.set(receiver, patterns);
    this.#count(receiver, 1);
    for (const pattern of patterns) this.#receivers.add(pattern, receiver);
  }

  #forget(receiver: Receiver): void {
    this.#count(receiver, -1);
    for (const pattern of this.#all.get(receiver) ?? []) this.#receivers.remove(pattern, receiver);
    this.#all.delete(receiver);
  }
}
