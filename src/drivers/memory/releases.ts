import type { GroupMember } from "./group-member.ts";
import type { Entry, MemoryMessage } from "./memory-message.ts";

/**
 * Messages that a member gave up for another one. Whoever has not seen one yet gets it at once; when all have released it, it
 * rests, until a member joins at the latest. One that is alone gets it back.
 */
export class Releases {
  /** Who released it, since all did. */
  readonly #refused = new WeakMap<Entry, Set<GroupMember>>();
  readonly #resting = new Set<() => void>();
  #waiting: MemoryMessage[] = [];

  /** Whether it is to rest: nobody is left who has not seen it, or nobody of them takes it. */
  refuse(message: MemoryMessage, by: GroupMember, members: readonly GroupMember[]): boolean {
    const refused = this.#refused.get(message.entry) ?? new Set();
    const again = refused.has(by);
    refused.add(by);
    const left = members.some((member) => member.state === "open" && !refused.has(member));
    this.#refused.set(message.entry, left ? refused : new Set([by]));
    return again || !left;
  }

  /** What ends its rest: to be called after its time, and called before when somebody joins. */
  rest(end: () => void): () => void {
    const over = (): void => {
      if (this.#resting.delete(over)) end();
    };
    this.#resting.add(over);
    return over;
  }

  /** Perhaps the new one can handle what the others released. */
  joined(): void {
    for (const over of [...this.#resting]) over();
  }

  add(message: MemoryMessage): void {
    this.#waiting.push(message);
  }

  handOut(ready: readonly GroupMember[], ticks: number): void {
    if (this.#waiting.length === 0) return;
    this.#waiting = this.#waiting.filter((message) => {
      if (!message.from!.has(message)) return false;
      const refused = this.#refused.get(message.entry);
      const others = ready.filter((member) => refused?.has(member) !== true && !member.use.paused);
      const taker = (others.length > 0 ? others : ready).find(
        (member) => member.use.hasRoom && !member.blocks(message.from!),
      );
      taker?.retake(message, ticks);
      return taker === undefined;
    });
  }
}
