import type { GroupMember } from "./group-member.ts";
import type { Entry, MemoryMessage } from "./memory-message.ts";

interface Released {
  readonly message: MemoryMessage;
  /** Its delay has passed: those who released it may have it again. */
  rested: boolean;
}

/**
 * Messages that a member gave up for another one. Whoever has not seen one yet gets it at once, or as soon as there is room,
 * while those who released it wait for its delay. When all have, it rests, until a member joins at the latest.
 */
export class Releases {
  /** Who released it, since all did. */
  readonly #refused = new WeakMap<Entry, Set<GroupMember>>();
  readonly #resting = new Set<Released>();
  #waiting: Released[] = [];

  /** What is to be called when its delay has passed. */
  add(message: MemoryMessage, by: GroupMember, members: readonly GroupMember[]): () => void {
    const refused = this.#refused.get(message.entry) ?? new Set();
    refused.add(by);
    this.#refused.set(message.entry, refused);
    const left = (): boolean => members.some((member) => member.state === "open" && !refused.has(member));
    const released: Released = { message, rested: false };
    this.#resting.add(released);
    if (left()) this.#offer(released);
    return () => {
      released.rested = true;
      // everybody may have it again, the others first
      if (!left()) this.#refused.set(message.entry, new Set([by]));
      this.#offer(released);
    };
  }

  /** Perhaps the new one can handle what the others released. */
  joined(): void {
    for (const released of this.#resting) this.#offer(released);
  }

  handOut(ready: readonly GroupMember[], ticks: number): void {
    if (this.#waiting.length === 0 || !ready.some(({ use }) => use.hasRoom)) return;
    this.#waiting = this.#waiting.filter(({ message, rested }) => {
      if (!message.from!.has(message)) return false;
      const refused = this.#refused.get(message.entry);
      const others = ready.filter((member) => refused?.has(member) !== true && !member.use.paused);
      const taker = (others.length === 0 && rested ? ready : others).find(
        (member) => member.use.hasRoom && !member.blocks(message.from!),
      );
      taker?.retake(message, ticks);
      return taker === undefined;
    });
  }

  #offer(released: Released): void {
    if (!this.#resting.delete(released)) return;
    if (released.message.from!.releaseTo(released.message)) this.#waiting.push(released);
  }
}
