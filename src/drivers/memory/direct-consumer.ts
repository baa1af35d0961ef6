import type { Consumption, InMessage, Note, Settlement, Sink, StoredMessage, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import type { Consumer } from "./group-member.ts";
import { MemoryMessage, recorded, type Entry } from "./memory-message.ts";
import { Ring } from "./ring.ts";
import type { StoreTime, TurnTaker } from "./store-time.ts";

/** What waits for one consumer of the direct lane or one inbox; beyond it the oldest goes, which is said. */
const bufferLimit = 10_000;

/** What a direct consumer or an inbox needs of its lane. */
export interface DirectHost {
  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): void;
  /** It takes nothing more; what it had not delivered is another's, if there is one. */
  directClosed(consumer: DirectConsumer, waiting: readonly Entry[]): void;
  keepLetter(letter: StoredMessage): void;
}

/** A consumer of the direct lane, or an inbox: messages that are in no stream. */
export class DirectConsumer implements Consumption, TurnTaker {
  readonly address: string | undefined;
  readonly group: string | undefined;
  woken = false;
  readonly #sink: Sink;
  readonly #use: Credit;
  readonly #time: StoreTime;
  readonly #connection: Consumer;
  readonly #host: DirectHost;
  readonly #waiting = new Ring<Entry>();
  #lost = 0;
  #open = true;

  constructor(
    address: string | undefined,
    group: string | undefined,
    sink: Sink,
    window: Window,
    time: StoreTime,
    connection: Consumer,
    host: DirectHost,
  ) {
    this.address = address;
    this.group = group;
    this.#sink = sink;
    this.#use = new Credit(window);
    this.#time = time;
    this.#connection = connection;
    this.#host = host;
  }

  offer(entry: Entry): void {
    if (this.#waiting.length >= bufferLimit) {
      this.#waiting.shift();
      this.#lost += 1;
    }
    this.#waiting.push(entry);
    if (!this.woken) this.#time.wake(this);
  }

  turn(): void {
    if (!this.#open) return;
    if (this.#lost > 0) {
      const lost = this.#lost;
      this.#lost = 0;
      this.#sink.lost(lost, "more waited than the buffer holds");
    }
    if (this.#waiting.length === 0 || !this.#use.hasRoom) return;
    const now = this.#time.now();
    const ticks = this.#time.ticks();
    const batch: MemoryMessage[] = [];
    while (this.#use.hasRoom) {
      const entry = this.#waiting.shift();
      if (entry === undefined) break;
      if (entry.expiresAt <= now) continue;
      this.#use.take(entry.bytes);
      batch.push(new MemoryMessage(entry, undefined, this, 1, ticks));
    }
    if (batch.length > 0) this.#sink.deliver(batch);
  }

  window(window: Window, partition?: string): void {
    if (partition !== undefined) return;
    this.#use.window = window;
    this.#time.wake(this);
  }

  wants(patterns: readonly string[], answers: readonly string[]): Promise<void> {
    if (this.#open) this.#host.wants(this, patterns, answers);
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly MemoryMessage[]) this.#free(message);
  }

  /** A letter is kept. Nothing else can be asked of a message that is not stored: it is let go. */
  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    return Promise.resolve(
      batch.map((settlement) => {
        if (!this.#free(settlement.message as MemoryMessage) || settlement.how !== "dead") return "stale";
        this.#host.keepLetter(settlement.letter);
        return "done";
      }),
    );
  }

  record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return Promise.resolve(notes.map((note) => recorded(note, this)));
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.leave();
    return Promise.resolve();
  }

  close(): Promise<void> {
    return this.stop();
  }

  leave(): void {
    if (!this.#open) return;
    this.#open = false;
    const waiting: Entry[] = [];
    for (let entry = this.#waiting.shift(); entry !== undefined; entry = this.#waiting.shift()) waiting.push(entry);
    this.#connection.forget(this);
    this.#host.directClosed(this, waiting);
  }

  #free(message: MemoryMessage): boolean {
    if (message.holder !== this) return false;
    message.holder = undefined;
    this.#use.give(message.entry.bytes);
    if (!this.woken && this.#waiting.length > 0) this.#time.wake(this);
    return true;
  }
}
