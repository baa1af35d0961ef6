import type { GroupMember } from "./group-member.ts";
import type { MemoryMessage } from "./memory-message.ts";

/** Messages that a member gave up for another one. They wait for one with room, or go to the same when it is alone. */
export class Releases {
  #waiting: { readonly message: MemoryMessage; readonly avoid: GroupMember }[] = [];

  add(message: MemoryMessage, avoid: GroupMember): void {
    this.#waiting.push({ message, avoid });
  }

  handOut(ready: readonly GroupMember[], ticks: number): void {
    if (this.#waiting.length === 0) return;
    this.#waiting = this.#waiting.filter(({ message, avoid }) => {
      if (!message.from!.has(message)) return false;
      const others = ready.filter((member) => member !== avoid && !member.use.paused);
      const taker = (others.length > 0 ? others : ready).find(
        (member) => member.use.hasRoom && !member.blocks(message.from!),
      );
      taker?.retake(message, ticks);
      return taker === undefined;
    });
  }
}
