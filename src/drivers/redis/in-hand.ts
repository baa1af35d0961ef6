import type { RedisMessage } from "./message.ts";

interface Held {
  readonly message: RedisMessage;
  /** Those that came in the same answer, whose bytes they share. */
  readonly answer: Set<RedisMessage>;
}

export interface Pending {
  readonly ref: string;
  readonly id: string;
  readonly count: number;
}

/** What is delivered and unsettled, by partition, in the order in which it came. */
export class InHand {
  readonly #refs = new Map<string, Map<string, Held>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** What came in one answer. */
  add(messages: readonly RedisMessage[]): void {
    const answer = new Set(messages);
    for (const message of messages) {
      let held = this.#refs.get(message.ref!);
      if (held === undefined) this.#refs.set(message.ref!, (held = new Map()));
      held.set(message.id!, { message, answer });
    }
    this.#size += messages.length;
  }

  /** The last one of an answer keeps no more than its own bytes in memory. */
  remove(message: RedisMessage): void {
    const refs = this.#refs.get(message.ref!);
    const held = refs?.get(message.id!);
    if (held?.message !== message) return;
    refs!.delete(message.id!);
    this.#size -= 1;
    held.answer.delete(message);
    if (held.answer.size === 1) for (const last of held.answer) last.keepBytes();
  }

  /** Partitions of which there is something. */
  refs(): readonly string[] {
    return [...this.#refs].filter(([, held]) => held.size > 0).map(([ref]) => ref);
  }

  *of(ref: string): IterableIterator<RedisMessage> {
    for (const { message } of this.#refs.get(ref)?.values() ?? []) yield message;
  }

  *all(): IterableIterator<RedisMessage> {
    for (const ref of this.#refs.keys()) yield* this.of(ref);
  }

  /** What the server holds for us and we don't have: the answer that brought it was lost. */
  missing(pending: readonly Pending[]): readonly Pending[] {
    return pending.filter(({ ref, id }) => this.#refs.get(ref)?.has(id) !== true);
  }
}
