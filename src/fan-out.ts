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

export type FanOutSource = { readonly kind: "tail"; readonly stream: string } | { readonly kind: "direct"; readonly group: string | undefined };

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
  readonly #last = new Map<string, string>();
  #consumption: Consumption | undefined;
  #opening: Promise<void> | undefined;

  constructor(core: Core, broker: Broker, source: FanOutSource, from: StartAt = { at: "newest" }) {
    this.#source = source;
    this.#from = from;
    this.what = source.kind === "tail" ? `the tail of "${source.stream}"` : source.group === undefined ? "the direct lane" : `the direct lane of group "${source.group}"`;
    this.supervisor = new Supervisor(core, broker, this);
  }

  get empty(): boolean {
    return this.#all.size === 0;
  }

  /** Resolves when what is published from now on reaches the receiver; again, when its patterns have changed. */
  async add(receiver: Receiver): Promise<void> {
    this.#forget(receiver);
    const patterns = [...receiver.patterns];
    this.#all.set(receiver, patterns);
    for (const pattern of patterns) this.#receivers.add(pattern, receiver);
    try {
      await (this.#opening ??= this.supervisor.open());
      await this.#want();
    } catch (error) {
      this.#opening = undefined;
      this.#forget(receiver);
      throw error;
    }
  }

  /** Resolves when it is out; the last one closes the consumption. */
  async remove(receiver: Receiver): Promise<void> {
    this.#forget(receiver);
    if (this.#all.size > 0) await this.#want();
    else if (this.#opening !== undefined) await this.close(AbortSignal.abort());
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#opening = undefined;
    this.#consumption = undefined;
    await this.supervisor.close(signal);
  }

  prepare(_connection: DriverConnection): Promise<void> {
    return Promise.resolve();
  }

  /** Everything up to the last delivered message is in a receiver's buffer here: it goes on behind that. */
  source(resume: ReadonlyMap<string, string> | undefined): Source {
    if (this.#source.kind === "direct") return this.#source;
    return { ...this.#source, from: this.#from, resume: resume === undefined ? undefined : new Map(this.#last) };
  }

  window(): Window {
    return fanOutWindow;
  }

  opened(consumption: Consumption): void {
    this.#consumption = consumption;
    this.#want().catch((error: unknown) => this.supervisor.ended(error, true));
  }

  deliver(messages: readonly InMessage[]): void {
    const reached = new Set<Receiver>();
    for (const message of messages) {
      for (const receiver of this.#receivers.match(message.topic)) {
        if (receiver.answers !== (message.replyTo !== undefined)) continue;
        receiver.take(message);
        reached.add(receiver);
      }
      if (message.partition !== undefined && message.position !== undefined) this.#last.set(message.partition, message.position);
    }
    this.#consumption?.ack(messages);
    for (const receiver of reached) receiver.taken();
  }

  revoked(): void {
    // a tail owns nothing: what was delivered is in the buffers
  }

  #want(): Promise<void> {
    const of = (answers: boolean): string[] => [...new Set([...this.#all].filter(([receiver]) => receiver.answers === answers).flatMap(([, patterns]) => patterns))];
    return this.#consumption?.wants(of(false), of(true)) ?? Promise.resolve();
  }

  #forget(receiver: Receiver): void {
    for (const pattern of this.#all.get(receiver) ?? []) this.#receivers.remove(pattern, receiver);
    this.#all.delete(receiver);
  }
}
